"""The contract of a method: what it says about itself, what it may see, what it must return."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, ClassVar, Literal, Protocol, Self

from avbench.harness.contract.data import Classes, Clips, TrainingSet
from avbench.harness.contract.embeddings import Embeddings
from avbench.harness.contract.options import Options as BaseOptions

if TYPE_CHECKING:
    import torch
    from torch import Tensor


@dataclass(frozen=True)
class Difference:
    """One known difference between a paper and its reference code, and which option (if any) chooses a side."""

    topic: str
    paper: str
    code: str
    option: str | None = None


@dataclass(frozen=True)
class MethodInfo:
    """What a method says about itself. Everything here can be listed without importing torch."""

    slug: str
    title: str
    year: int
    summary: str
    """One or two sentences."""
    citation: str
    """One line: authors, title, venue."""
    bibtex: str = ""
    inputs: Literal["averaged", "temporal"] = "averaged"
    """``temporal``: it reads features over time (:class:`avbench.harness.contract.data.Clips`)."""
    also_averaged: bool = False
    """A method that reads features over time takes averaged ones too: clips without ``time``, as of one step."""
    texts: tuple[str, ...] = ()
    """Names of text vectors that it can use on tracks with several kinds per class (``Classes.texts``)."""
    uses_unseen_names: bool = False
    """The method sees names and label vectors of the unseen classes (never clips) before or during training."""
    generative: bool = False
    calibrated_stacking: bool = True
    """False: the method's scores are final, the offset is fixed at 0."""
    scores_depend_on_candidates: bool = False
    """The score of a class may depend on which other classes are candidates, as with a classifier fitted on them."""
    files: tuple[str, ...] = ()
    """Files or folders beside the package's own that decide results, such as weights: relative to the file of the
    method's module, or absolute. Their content is part of a run's identity, as are the package's modules and data."""
    branches: tuple[str, ...] = ()
    """Names of the branches whose scores ``predict_branches`` may give."""
    differences: tuple[Difference, ...] = ()
    notes: tuple[str, ...] = ()
    expected_failures: Mapping[str, str] = field(default_factory=dict)
    """Checks of ``avbench methods check`` that the method is known to fail: name of the check -> reason."""

    def reads(self, inputs: str) -> bool:
        """Whether the method can run on a track with such features, ``averaged`` or ``temporal``."""
        return inputs == self.inputs or (inputs == "averaged" and self.also_averaged)


class Progress(Protocol):
    """The harness's side of a fit."""

    @property
    def epochs(self) -> int:
        """How many epochs to train."""

    @property
    def device(self) -> torch.device:
        """Where every tensor of the training set lives, and where the model must live."""

    @property
    def seed(self) -> int:
        """Seed of the run. The global generators of torch are already seeded with it."""

    def epoch_done(self, method: Method) -> float:
        """Call after each epoch with the method itself. Returns the validation HM in percent (best over offsets).

        It calls ``method.predict`` on the validation clips; random state is left as it was.
        """


class Companion(Protocol):
    """The harness's side of one of several fits that differ in the seed only and train together."""

    @property
    def device(self) -> torch.device:
        """See :class:`Progress`."""

    @property
    def seed(self) -> int:
        """Seed of this fit. The global generators are to be seeded with it before its method draws anything."""

    @property
    def compiler(self) -> Callable[[Callable[..., Tensor]], Callable[..., Tensor]] | None:
        """Compiles a function of tensors that each step calls; None where it is not to be. The same for all."""

    def epoch_done(self, method: Method) -> float | None:
        """Call after each epoch with the method of this fit. Returns the validation HM in percent; None: it has ended.

        A fit that has ended is trained no further, and its method is left as it is. Never raises for its method.
        """


class Method(ABC):
    """A learner. One instance is fitted once: the harness makes a fresh one per stage.

    Import torch inside the functions that need it, not at the top of the module: listings must not pay for it.
    """

    info: ClassVar[MethodInfo]
    Options: ClassVar[type[BaseOptions]] = BaseOptions
    takes_few_bits: ClassVar[bool] = False
    """``fit`` takes clips as float16 or bfloat16, where a run holds them so (``--feature-dtype``). Otherwise it is
    given a float32 copy. ``predict`` is given float32 in any case."""

    def __init__(self, options: BaseOptions) -> None:
        self.options = options

    @abstractmethod
    def fit(self, train: TrainingSet, progress: Progress) -> None:
        """Learn from the training set. Methods without epochs simply never call ``progress.epoch_done``."""

    @classmethod
    def alone_because(cls, options: BaseOptions, inputs: str) -> str:
        """Why runs with these options that differ in the seed only cannot be fitted by :meth:`fit_together`, on
        features that are ``averaged`` or ``temporal``; an empty text where they can."""
        return "its fit is written for one seed at a time"

    @classmethod
    def fit_together(cls, methods: Sequence[Self], train: TrainingSet, companions: Sequence[Companion]) -> None:
        """Fit methods of equal options at once, each as :meth:`fit` does for its companion's seed, up to rounding.

        Each reports its epochs to its companion, until that says that it has ended.
        Called only where :meth:`alone_because` gives no reason.
        """
        raise NotImplementedError

    @abstractmethod
    def predict(self, clips: Clips, classes: Classes) -> Tensor:
        """Scores (N, C) float, higher is better, finite, on the device of ``clips``.

        A clip's scores may not depend on the other clips.
        """

    def predict_branches(self, clips: Clips, classes: Classes) -> Mapping[str, Tensor]:
        """Scores of single branches (such as ``audio`` and ``visual``), each (N, C); empty for most methods.

        Their names stand in :attr:`MethodInfo.branches`.
        Under ``as-published`` the offset is the mean of the grid optima of these and of the combined scores
        (guide: How a number is made, "Averaged offset").
        """
        return {}

    def embeddings(self, clips: Clips, classes: Classes) -> Embeddings:
        """What the fitted model makes of clips and classes, for ``avbench analyse``; nothing for most methods."""
        return Embeddings()

    def gradient_norms(self, train: TrainingSet, seed: int) -> Mapping[str, float]:
        """Length of the training gradient of each term of the loss, and of all together under ``total``.

        For ``avbench analyse``, on batches drawn with ``seed``; empty for methods that do not tell their terms apart.
        The fitted model stays as it is.
        """
        return {}

    @abstractmethod
    def state(self) -> dict[str, Tensor]:
        """All tensors that ``predict`` depends on, by name."""

    @abstractmethod
    def load_state(self, state: Mapping[str, Tensor]) -> None:
        """Become the fitted method whose :meth:`state` is given; afterwards ``predict`` gives the same scores."""

    def parameters(self) -> int:
        """Number of trained parameters, after ``fit``; 0 where nothing is trained by gradient."""
        return 0
