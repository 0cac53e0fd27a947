"""The two stages of a run: choose epoch and offset on validation, train afresh, test once. Imports torch late."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from time import perf_counter
from typing import TYPE_CHECKING

from avbench.harness.errors import MethodError
from avbench.harness.evaluation.evidence import TEST, VALIDATION, Evidence
from avbench.harness.evaluation.fit_progress import FitCompanion, FitProgress, answered, opaque
from avbench.harness.evaluation.metrics import Metrics, evaluate, harmonic_mean, mean_class_accuracy, predict
from avbench.harness.evaluation.protocol import Protocol

if TYPE_CHECKING:
    from avbench.harness.contract.method import Method
    from avbench.harness.evaluation.compiler import Compiler
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
    compiler: Compiler | None = None,
) -> Choice:
    """Train on the training clips and choose epoch and offset on validation. The test parts may be missing.

    The arguments are those of :func:`run_two_stages`, ``compiler`` of :func:`run_together`. Raises
    :class:`MethodError` when the method breaks its contract.
    """
    run = TwoStages(StagesData(features, protocol), epochs, seed, listener, compiler=compiler)
    fit = run.begin_stage_1()
    if compiler is None:
        fit.run(make())
    else:
        fit_together(run.data.stage_1, [(fit, make())])
        if fit.failure is not None:
            raise fit.failure
    return run.choice()


def run_two_stages(
    make: Callable[[], Method],
    features: FeatureSet,
    protocol: Protocol,
    *,
    epochs: int,
    seed: int,
    listener: EpochListener = lambda _: None,
    fitted: Callable[[Method], None] = lambda _: None,
) -> Result:
    """Stage 1 chooses epoch and offset on validation; stage 2 trains afresh on train + validation and is tested once.

    ``make`` gives a fresh method. ``features`` are on the device of the run. ``fitted`` is called with the method of
    stage 2 after its test.

    Raises :class:`MethodError` when the method breaks its contract.
    """
    run = TwoStages(StagesData(features, protocol), epochs, seed, listener, fitted)
    run.begin_stage_1().run(make())
    method = make()
    run.begin_stage_2().run(method)
    return run.tested(method)


def run_together(
    make: Callable[[], Method],
    features: FeatureSet,
    protocol: Protocol,
    *,
    epochs: int,
    seeds: Sequence[int],
    listeners: Sequence[EpochListener],
    fitted: Sequence[Callable[[Method], None]],
    compiler: Compiler | None = None,
) -> list[Result | BaseException]:
    """The same for several seeds, which a method that can trains in one step. Each has its own epoch and offset.

    ``compiler`` compiles the step, which may be that of one seed.
    Gives for each seed its result, or what went wrong with it. No test is taken before all seeds are trained.
    """
    data = StagesData(features, protocol)
    runs = [
        TwoStages(data, epochs, seed, listener, told, compiler)
        for seed, listener, told in zip(seeds, listeners, fitted, strict=True)
    ]
    fits = [run.begin_stage_1() for run in runs]
    fit_together(data.stage_1, [(fit, make()) for fit in fits])
    left = [run for run, fit in zip(runs, fits, strict=True) if fit.failure is None]
    second = {id(run): (run.begin_stage_2(), make()) for run in left}
    if left:
        fit_together(data.stage_2, list(second.values()))
    results: list[Result | BaseException] = []
    for run, fit in zip(runs, fits, strict=True):
        if fit.failure is None:
            fit, method = second[id(run)]
        results.append(fit.failure or _caught(lambda: run.tested(method)))  # noqa: B023 (called at once)
    return results


def _caught(call: Callable[[], Result]) -> Result | BaseException:
    try:
        return call()
    except KeyboardInterrupt:
        raise
    except BaseException as error:
        return error


class StagesData:
    """The data of both stages, which runs of any seed share."""

    def __init__(self, features: FeatureSet, protocol: Protocol) -> None:
        self.features, self.protocol = features, protocol.on(features.track)

    @cached_property
    def stage_1(self) -> StageData:
        from avbench.harness.evaluation.stages import stage_data

        return stage_data(self.features, self.protocol, stage=1)

    @cached_property
    def stage_2(self) -> StageData:
        from avbench.harness.evaluation.stages import stage_data

        return stage_data(self.features, self.protocol, stage=2)


class TwoStages:
    """One seed's way through the two stages; how its methods are fitted is the caller's."""

    def __init__(
        self,
        data: StagesData,
        epochs: int,
        seed: int,
        listener: EpochListener,
        fitted: Callable[[Method], None] = lambda _: None,
        compiler: Compiler | None = None,
    ) -> None:
        self.data, self.epochs, self.seed, self.listener, self.fitted = data, epochs, seed, listener, fitted
        self.compiler = compiler
        self.start = perf_counter()

    def begin_stage_1(self) -> Fit:
        stage = self.data.stage_1
        self.first = Fit(stage, stage, self.data.protocol, self.epochs, self.seed, self.listener, self.compiler)
        return self.first

    def choice(self) -> Choice:
        """What stage 1 chose, once it has ended."""
        fit = self.first
        offset, branch_offsets = fit.chosen_offset()
        return Choice(fit.stage, fit.best + 1, offset, branch_offsets, tuple(fit.history), fit.evidence)

    def begin_stage_2(self) -> Fit:
        """Once stage 1 has ended: as many epochs as were best there."""
        self.chosen = self.choice()
        self.middle = perf_counter()
        data, epochs = self.data, self.chosen.epochs
        return Fit(data.stage_2, data.stage_1, data.protocol, epochs, self.seed, self.listener, self.compiler)

    def tested(self, method: Method) -> Result:
        """The test of the method of stage 2."""
        test = self.data.stage_2.evidence(method)
        self.fitted(method)
        chosen = self.chosen
        return Result(
            metrics=evaluate(test, chosen.offset, allow_empty=self.data.features.incomplete),
            offset=chosen.offset,
            branch_offsets=chosen.branch_offsets,
            epochs=chosen.epochs,
            validation=chosen.validation,
            parameters=method.parameters(),
            evidence={TEST: test, **{_table(branch): table for branch, table in chosen.evidence.items()}},
            seconds=(self.middle - self.start, perf_counter() - self.middle),
        )


def _table(branch: str) -> str:
    return VALIDATION if not branch else f"{VALIDATION}.{branch}"


class Fit:
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
        compiler: Compiler | None = None,
    ) -> None:
        self.stage, self.validation, self.protocol, self.listener = stage, validation, protocol, listener
        self.compiler = compiler
        self.epochs, self.seed = epochs, seed
        self.allow_empty = stage.features.incomplete
        self.history: list[Epoch] = []
        self.best = 0
        self.evidence: Mapping[str, Evidence] = {}
        """Validation evidence of the best epoch: the combined scores under "", and each branch under its name."""
        self.failure: BaseException | None = None
        """What ended it, where it is one of several."""

    def run(self, method: Method) -> None:
        ask = opaque(answered(self.epoch_done))
        self.stage.fit(method, FitProgress(self.epochs, self.stage.device, self.seed, ask))
        if not self.history:  # a method without epochs
            self.epoch_done(method)

    def companion(self) -> FitCompanion:
        """What its method holds of the harness while it is fitted with others."""
        return FitCompanion(self.stage.device, self.seed, self.compiler, opaque(self._epoch_of_several))

    def _epoch_of_several(self, method: Method) -> float | None:
        """The same as :meth:`epoch_done`, but None after the last epoch, and after a failure, which is kept."""
        if self.failure is not None:
            return None
        try:
            hm = self.epoch_done(method)
        except KeyboardInterrupt:
            raise
        except BaseException as error:
            self.failure = error
            return None
        return hm if len(self.history) < self.epochs else None

    def epoch_done(self, method: Method) -> float:
        if len(self.history) >= self.epochs:
            raise MethodError(f"{method.info.slug}.fit reported more epochs than the {self.epochs} it was given")
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


def fit_together(stage: StageData, fits: Sequence[tuple[Fit, Method]]) -> None:
    """Fit methods on one stage at once. What goes wrong with one, or with all that are left, is kept as a failure."""
    try:
        stage.fit_together([method for _, method in fits], [fit.companion() for fit, _ in fits])
    except KeyboardInterrupt:
        raise
    except BaseException as error:
        for fit, _ in fits:
            if len(fit.history) < fit.epochs:
                fit.failure = fit.failure or error
    for fit, method in fits:
        if fit.failure is None and len(fit.history) < fit.epochs:
            fit.failure = MethodError(f"{method.info.slug}.fit_together ended before seed {fit.seed} had its epochs")
