"""The method under examination: small fits of it, made once and shared by the checks. Imports torch."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, TypeVar

import torch
from pydantic import ValidationError
from torch import Tensor
from torch.overrides import TorchFunctionMode

from avbench.harness.contract.data import Classes, Clips, TrainingSet
from avbench.harness.contract.method import Method
from avbench.harness.contract.options import Options
from avbench.harness.evaluation.random_state import random_state_kept
from avbench.harness.evaluation.stages import checked_scores
from avbench.harness.testing.check import CheckFailedError, NotApplicableError
from avbench.harness.testing.simulated import Task, moved, moved_classes, moved_clips
from avbench.harness.testing.surroundings import Watch, watched
from avbench.harness.tracks import DEMO, Track

T = TypeVar("T")

CPU = torch.device("cpu")
BUDGET: Mapping[str, int] = {"epochs": 2, "batches_per_epoch": 3, "batch_size": 16, "optimisation_steps": 20}
"""Values of shared options that end a fit at once; a method that has no such option, or refuses a value, goes without.
They hold beside the method's own presets for demo features."""


STEPS = 5
"""Most steps of a simulated clip over time."""


class CheckProgress:
    """The harness's side of a fit: after each epoch it asks for scores, as a run does on the validation clips.

    With ``interrupt`` the first epoch ends as if the user had pressed Ctrl-C.
    """

    def __init__(
        self, options: Options, task: Task, seed: int, device: torch.device, *, interrupt: bool = False
    ) -> None:
        self.epochs: int = getattr(options, "epochs", 1)
        self.device = device
        self.epochs_done = 0
        self.seed_was_read = False
        self._seed = seed
        self._interrupt = interrupt
        self._classes = task.candidates
        self._clips = task.evaluated(torch.arange(len(self._classes)), seed=2)

    @property
    def seed(self) -> int:
        self.seed_was_read = True
        return self._seed

    def epoch_done(self, method: Method) -> float:
        self.epochs_done += 1
        if self._interrupt:
            raise KeyboardInterrupt
        clips, classes = moved_clips(self._clips, self.device), moved_classes(self._classes, self.device)
        with random_state_kept(self.device):
            best = checked_scores(method, method.predict(clips, classes), clips, classes).argmax(1)
        return float(100 * (best == torch.arange(len(classes), device=self.device)).float().mean())


class InterruptedCalls(TorchFunctionMode):
    """Counts the calls of torch functions; the one after the ``last`` ends as if the user had pressed Ctrl-C."""

    def __init__(self, last: int | None = None) -> None:
        super().__init__()
        self.last = last
        self.made = 0
        self.ended = False

    def __torch_function__(
        self, func: Callable[..., Any], types: Any, args: Any = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        if self.made == self.last:
            self.ended = True
            raise KeyboardInterrupt
        self.made += 1
        return func(*args, **(kwargs or {}))


@dataclass(frozen=True)
class Fit:
    """A fitted method, and what was seen while it was fitted and asked for scores."""

    method: Method
    task: Task
    progress: CheckProgress
    watches: list[Watch] = field(default_factory=list)
    """One of the fit, and one of each request for scores."""

    def answers(self, clips: Clips, classes: Classes, *, seed: int = 0) -> dict[str, Tensor]:
        """Scores and, where the method has them, those of its branches, from copies of the inputs.

        ``seed``: that of the global generators.

        Raises :class:`CheckFailedError` for an exception of the method, scores of a wrong kind, or NaN.
        """
        device, method = self.progress.device, self.method
        clips, classes = moved_clips(clips, device), moved_classes(classes, device)
        with watched(seed) as watch:
            self.watches.append(watch)
            answers = {
                "": called("predict", lambda: method.predict(clips, classes)),
                **called("predict_branches", lambda: method.predict_branches(clips, classes)),
            }
        if strangers := sorted(answers.keys() - {"", *method.info.branches}):
            raise CheckFailedError(
                f"predict_branches gives the branches {', '.join(strangers)}, which MethodInfo.branches does not name"
            )
        scores = {name: checked_scores(method, answer, clips, classes) for name, answer in answers.items()}
        for name, table in scores.items():
            if not bool(table.isfinite().all()):
                raise CheckFailedError(f"predict gave NaN or infinite scores{f' for branch {name}' if name else ''}")
        return scores

    def scores(self, clips: Clips, classes: Classes) -> Tensor:
        """Scores (N, C), under the conditions of :meth:`answers`."""
        return self.answers(clips, classes)[""]

    @cached_property
    def clips(self) -> Clips:
        """Clips that were not trained on: 27 of the candidate classes in turn."""
        return self.task.evaluated(torch.arange(27) % (self.task.trained + self.task.unseen))

    @cached_property
    def own_answers(self) -> dict[str, Tensor]:
        """The answers for :attr:`clips` and the task's candidates."""
        return self.answers(self.clips, self.task.candidates)

    @cached_property
    def state(self) -> dict[str, Tensor]:
        """A copy of the fitted state as it was when this was first asked for."""
        return self.current_state()

    def current_state(self) -> dict[str, Tensor]:
        """A copy of the fitted state. Raises :class:`CheckFailedError` where it is no dictionary of tensors."""
        state = called("state", self.method.state)
        if not isinstance(state, dict) or not all(isinstance(tensor, Tensor) for tensor in state.values()):
            raise CheckFailedError("state() must return a dictionary of tensors by name")
        return {name: tensor.detach().clone() for name, tensor in state.items()}


class Subject:
    """A class of methods, and its fits."""

    def __init__(self, kind: type[Method]) -> None:
        self.kind = kind
        self._fits: dict[tuple[Any, ...], Fit] = {}

    def task(self, **changes: Any) -> Task:
        """A task with features of the kind that the method reads. ``changes``: fields of it."""
        steps = STEPS if self.kind.info.inputs == "temporal" else 0
        return Task(**{"steps": steps, "texts": self.kind.info.texts, **changes})

    @cached_property
    def small(self) -> dict[str, Any]:
        """Option values with which a fit ends soon."""
        values = self.kind.Options.preset_values(Track("ucf", DEMO), "aligned")
        return values | self.affordable(BUDGET, values)

    def affordable(self, budget: Mapping[str, Any], values: Mapping[str, Any]) -> dict[str, Any]:
        """What the options take of a budget beside some values."""
        taken: dict[str, Any] = {}
        for name, value in budget.items():
            if name in self.kind.Options.model_fields and self.valid({**values, **taken, name: value}):
                taken[name] = value
        return taken

    def options(self, given: Mapping[str, Any] | None = None) -> Options:
        """Small options with the given values. Raises :class:`pydantic.ValidationError` for a value out of bounds."""
        return self.kind.Options.model_validate({**self.small, **(given or {})})

    def valid(self, values: Mapping[str, Any]) -> bool:
        """Whether the method's options take these values."""
        try:
            self.kind.Options.model_validate(values)
        except ValidationError:
            return False
        return True

    def made(self, given: Mapping[str, Any] | None = None) -> Method:
        """A method that is not fitted."""
        options = self.options(given)
        return called("the constructor", lambda: self.kind(options))

    def fit(self, task: Task | None = None, *, seed: int = 0, options: Mapping[str, Any] | None = None) -> Fit:
        """A fit on a task (default: :meth:`task` as it is), made once."""
        key = (task, seed, str(sorted((options or {}).items())))
        if key not in self._fits:
            self._fits[key] = self.new_fit(task, seed=seed, options=options)
        return self._fits[key]

    def new_fit(
        self,
        task: Task | None = None,
        *,
        seed: int = 0,
        options: Mapping[str, Any] | None = None,
        device: torch.device = CPU,
        train: TrainingSet | None = None,
    ) -> Fit:
        """A fit that no other check sees. ``train``: what it gets to see instead of the task's training set.

        Raises :class:`CheckFailedError` for an exception of the method.
        """
        task, method = task or self.task(), self.made(options)
        train = train or moved(task.training_set(unseen_names=self.kind.info.uses_unseen_names), device)
        progress = CheckProgress(method.options, task, seed, device)
        with watched(seed) as watch:
            called("fit", lambda: method.fit(train, progress))
        return Fit(method, task, progress, [watch])

    def interrupted_fit(self) -> Watch:
        """What was seen during a fit that the user interrupts: when the first epoch ends, or else late between steps.

        Raises :class:`NotApplicableError` for a fit without any step of torch.
        """
        calls = InterruptedCalls()
        watch = self._interrupted(calls)
        if watch is None and calls.made:
            watch = self._interrupted(InterruptedCalls(last=calls.made * 3 // 4))
        if watch is None:
            raise NotApplicableError("the method learns nothing in fit, so there is nothing to interrupt")
        return watch

    def _interrupted(self, calls: InterruptedCalls) -> Watch | None:
        """What was seen during a fit that is interrupted, if it is."""
        task, method = self.task(), self.made()
        train = task.training_set(unseen_names=self.kind.info.uses_unseen_names)
        progress = CheckProgress(method.options, task, seed=0, device=CPU, interrupt=True)
        with watched(progress.seed) as watch:
            try:
                with calls:
                    called("fit", lambda: method.fit(train, progress))
            except KeyboardInterrupt:
                if progress.epochs_done or calls.ended:
                    return watch
                raise  # it is the user who wants this to end
        return None


def called(what: str, call: Callable[[], T]) -> T:
    """The result of a call of the method. Raises :class:`CheckFailedError` for its exception."""
    try:
        return call()
    except Exception as error:
        raise CheckFailedError(f"{what} raised {type(error).__name__}: {error}") from error
