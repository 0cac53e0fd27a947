"""The two stages of a run: choose epoch and offset on validation, train afresh, test once. Imports torch late."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from time import perf_counter
from typing import TYPE_CHECKING

from avbench.harness.errors import MethodError
from avbench.harness.evaluation.evidence import TEST, VALIDATION, Evidence
from avbench.harness.evaluation.fit_progress import FitProgress, answered, opaque
from avbench.harness.evaluation.metrics import Metrics, evaluate, harmonic_mean, mean_class_accuracy, predict
from avbench.harness.evaluation.protocol import Protocol

if TYPE_CHECKING:
    from avbench.harness.contract.method import Method
    from avbench.harness.evaluation.stages import StageData
    from avbench.harness.features.featureset import FeatureSet


@dataclass(frozen=True)
class Epoch:
    """Validation after one epoch, in percent, at the best offset."""

    S: float
    U: float
    HM: float
    offset: float


@dataclass(frozen=True)
class Choice:
    """What stage 1 chose, on validation alone. No test clip was looked at."""

    stage: StageData
    epochs: int
    """For stage 2: those of the best epoch."""
    offset: float
    branch_offsets: Mapping[str, float]
    validation: tuple[Epoch, ...]
    evidence: Mapping[str, Evidence]
    """Of the best epoch, on validation: the combined scores under "", and each branch under its name."""

    @property
    def best(self) -> Epoch:
        """Validation of the chosen epoch."""
        return self.validation[self.epochs - 1]


@dataclass(frozen=True)
class Result:
    """What the two stages gave."""

    metrics: Metrics
    offset: float
    branch_offsets: Mapping[str, float]
    epochs: int
    validation: tuple[Epoch, ...]
    parameters: int
    evidence: Mapping[str, Evidence]
    seconds: tuple[float, float]
    """Wall time of stage 1 and of stage 2 with the test."""


@dataclass(frozen=True)
class EpochDone:
    """News of a run: an epoch and its validation are done."""

    stage: int
    """1 or 2."""
    epoch: int
    """Epochs done in this stage."""
    epochs: int
    """Epochs that this stage has at most."""
    validation: Epoch


EpochListener = Callable[[EpochDone], None]


def run_stage_1(
    make: Callable[[], Method],
    features: FeatureSet,
    protocol: Protocol,
    *,
    epochs: int,
    seed: int,
    listener: EpochListener = lambda _: None,
    pause: Callable[[], None] = lambda: None,
) -> Choice:
    """Train on the training clips and choose epoch and offset on validation. The test parts may be missing.

    The arguments are those of :func:`run_two_stages`. Raises :class:`MethodError` when the method breaks its contract.
    """
    from avbench.harness.evaluation.stages import stage_data

    protocol = protocol.on(features.track)
    stage = stage_data(features, protocol, stage=1)
    fit = _Fit(stage, stage, protocol, epochs, seed, listener, pause)
    fit.run(make())
    offset, branch_offsets = fit.chosen_offset()
    return Choice(stage, fit.best + 1, offset, branch_offsets, tuple(fit.history), fit.evidence)


def run_two_stages(
    make: Callable[[], Method],
    features: FeatureSet,
    protocol: Protocol,
    *,
    epochs: int,
    seed: int,
    listener: EpochListener = lambda _: None,
    pause: Callable[[], None] = lambda: None,
    fitted: Callable[[Method], None] = lambda _: None,
) -> Result:
    """Stage 1 chooses epoch and offset on validation; stage 2 trains afresh on train + validation and is tested once.

    ``make`` gives a fresh method. ``features`` are on the device of the run. ``pause`` is called at the end of each
    epoch, before its validation is waited for: there another run may take its turn. ``fitted`` is called with the
    method of stage 2 after its test.

    Raises :class:`MethodError` when the method breaks its contract.
    """
    from avbench.harness.evaluation.stages import stage_data

    start = perf_counter()
    chosen = run_stage_1(make, features, protocol, epochs=epochs, seed=seed, listener=listener, pause=pause)
    middle = perf_counter()

    protocol = protocol.on(features.track)
    stage_2 = stage_data(features, protocol, stage=2)
    method = make()
    _Fit(stage_2, chosen.stage, protocol, chosen.epochs, seed, listener, pause).run(method)
    test = stage_2.evidence(method)
    fitted(method)
    return Result(
        metrics=evaluate(test, chosen.offset, allow_empty=features.incomplete),
        offset=chosen.offset,
        branch_offsets=chosen.branch_offsets,
        epochs=chosen.epochs,
        validation=chosen.validation,
        parameters=method.parameters(),
        evidence={TEST: test, **{_table(branch): table for branch, table in chosen.evidence.items()}},
        seconds=(middle - start, perf_counter() - middle),
    )


def _table(branch: str) -> str:
    return VALIDATION if not branch else f"{VALIDATION}.{branch}"


class _Fit:
    """One fit, seen from the harness: answers the method's progress and keeps the best validation epoch.

    The validation clips, and their seen and unseen classes, are those of stage 1 in both stages.
    """

    def __init__(
        self,
        stage: StageData,
        validation: StageData,
        protocol: Protocol,
        epochs: int,
        seed: int,
        listener: EpochListener,
        pause: Callable[[], None],
    ) -> None:
        self.stage, self.validation, self.protocol, self.listener = stage, validation, protocol, listener
        self.epochs, self.seed, self.pause = epochs, seed, pause
        self.allow_empty = stage.features.incomplete
        self.history: list[Epoch] = []
        self.best = 0
        self.evidence: Mapping[str, Evidence] = {}
        """Validation evidence of the best epoch: the combined scores under "", and each branch under its name."""

    def run(self, method: Method) -> None:
        ask = opaque(answered(self.epoch_done))
        self.stage.fit(method, FitProgress(self.epochs, self.stage.device, self.seed, ask))
        if not self.history:  # a method without epochs
            self.epoch_done(method)

    def epoch_done(self, method: Method) -> float:
        if len(self.history) >= self.epochs:
            raise MethodError(f"{method.info.slug}.fit reported more epochs than the {self.epochs} it was given")
        self.pause()
        combined = self.validation.evidence(method, trained=self.stage)
        epoch = self._validate(combined, stacking=method.info.calibrated_stacking)
        self.history.append(epoch)
        if not self.evidence or self.protocol.replaces(epoch.HM, self.history[self.best].HM):
            self.best = len(self.history) - 1
            branches = (
                self.validation.branch_evidence(method, trained=self.stage) if self.protocol.averaged_offset else {}
            )
            self.evidence = {"": combined, **branches}
        self.listener(EpochDone(self.stage.number, len(self.history), self.epochs, epoch))
        return epoch.HM

    def _validate(self, evidence: Evidence, *, stacking: bool) -> Epoch:
        """Metrics at the best offset, or at 0 for methods whose scores are final."""
        offset = self.protocol.find_offset(evidence, allow_empty=self.allow_empty).value if stacking else 0.0
        seen, unseen = mean_class_accuracy(evidence, predict(evidence, offset), allow_empty=self.allow_empty)
        return Epoch(seen, unseen, harmonic_mean(seen, unseen), offset)

    def chosen_offset(self) -> tuple[float, dict[str, float]]:
        """The offset of the best epoch, and the branch optima it is the mean of (none for most methods)."""
        combined = self.history[self.best].offset
        branches = {
            name: self.protocol.find_offset(table, allow_empty=self.allow_empty).value
            for name, table in self.evidence.items()
            if name
        }
        if not branches:
            return combined, {}
        branches["combined"] = combined
        return sum(branches.values()) / len(branches), branches
