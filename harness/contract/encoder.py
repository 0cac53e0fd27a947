"""The contract of an encoder: steps of frames or of sound in, one vector a step out. Listing loads no NumPy."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, ClassVar, Literal

from pydantic import BaseModel, ConfigDict, Field

from avbench.harness.errors import DataError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

Modality = Literal["audio", "visual"]
Seen = Literal["the data set", "unseen classes", "neither", "not declared"]
"""What the encoders of a track had met before: clips of the data set itself, or only examples of its unseen classes."""
Text = Annotated[str, Field(max_length=2_000)]


class Facts(BaseModel):
    """Base of every part."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class TrainedOn(Facts):
    """What an encoder was trained on, as its author or the user declares it. None: not declared."""

    corpora: tuple[Text, ...] = ()
    """In words, such as ``AudioSet``."""
    datasets: tuple[Text, ...] | None = None
    """Data sets of the benchmark of which clips were trained on."""
    unseen_classes: tuple[Text, ...] | None = None
    """Data sets of the benchmark whose unseen classes were labels or captions of the training data."""

    def seen(self, dataset: str) -> Seen:
        """What this says about one data set."""
        if self.datasets is not None and dataset in self.datasets:
            return "the data set"
        if self.unseen_classes is not None and dataset in self.unseen_classes:
            return "unseen classes"
        return "not declared" if self.datasets is None or self.unseen_classes is None else "neither"


def gravest(found: Iterable[Seen]) -> Seen:
    """The first in the order: the data set, unseen classes, not declared, neither. Nothing said: not declared."""
    said = set(found) or {"not declared"}
    order: tuple[Seen, ...] = ("the data set", "unseen classes", "not declared", "neither")
    return next(s for s in order if s in said)


class FrameSampling(Facts):
    """Which frames of a video an encoder gets.

    ``rate``: frames a second, taken at the middle of equal intervals. ``size``: the shorter side is scaled to it and
    the middle square kept; None: whole frames as they were decoded. ``clip``: frames that make one step of time.
    """

    kind: Literal["frames"] = "frames"
    rate: float = Field(gt=0, le=1000)
    size: int | None = Field(default=None, ge=8, le=4096)
    clip: int = Field(default=1, ge=1, le=512)

    @property
    def step_seconds(self) -> float:
        return self.clip / self.rate


class SoundSampling(Facts):
    """How sound is cut: mono at ``rate`` Hz, in steps of ``seconds`` that follow each other without a gap."""

    kind: Literal["sound"] = "sound"
    rate: int = Field(ge=1000, le=384_000)
    seconds: float = Field(gt=0, le=600)

    @property
    def step_seconds(self) -> float:
        return self.seconds

    @property
    def samples(self) -> int:
        """Samples of a whole step."""
        return max(1, round(self.rate * self.seconds))


@dataclass(frozen=True)
class Weights:
    """A folder of weights in the safetensors format.

    ``name``: as a manifest may show it. ``revision``: the pinned commit, of weights given by name. ``sha256``: over
    the safetensors files.
    """

    folder: Path
    name: str
    revision: str | None
    sha256: str


class Encoder(ABC):
    """Turns one modality of a video into a sequence of vectors. Subclass :class:`FrameEncoder` or
    :class:`SoundEncoder`.

    A plugin returns its classes from the hook ``avbench_encoders``. Two encoders of one package, one a modality, may
    share a name: ``avbench data extract --encoder NAME`` then takes both. An instance lives in one process and is
    asked video by video; the same steps must give the same bits.
    """

    name: ClassVar[str]
    summary: ClassVar[str]
    modality: ClassVar[Modality]
    takes_weights: ClassVar[bool] = False
    trained_on: ClassVar[TrainedOn] = TrainedOn()
    """What is known of every set of weights of this encoder; by default nothing is declared."""

    width: int
    """Of the vectors; known when the instance is made."""

    def __init__(self, weights: Weights | None, device: str) -> None:
        """``weights`` is None for an encoder that takes none; ``device`` is one of torch's, such as ``cuda``."""
        self.weights = weights
        self.device = device

    def templates(self, dataset: str) -> tuple[str, ...]:
        """Sentences for the names of classes, with ``{}`` for the name; none where there is no text tower."""
        return ()

    def text(self, sentences: Sequence[str]) -> NDArray[np.float32]:
        """Vectors (sentences, Dt) of the text tower, for an encoder that has templates."""
        raise DataError(f"encoder {self.name!r} has no text tower")


class FrameEncoder(Encoder):
    """An encoder of frames, or of clips of frames."""

    modality = "visual"
    sampling: FrameSampling

    @abstractmethod
    def encode(self, steps: Sequence[NDArray[np.uint8]]) -> NDArray[np.float32]:
        """Vectors (n, width) of n steps, each uint8 RGB (clip, height, width, 3)."""


class SoundEncoder(Encoder):
    """An encoder of windows of sound."""

    modality = "audio"
    sampling: SoundSampling

    @abstractmethod
    def encode(self, steps: Sequence[NDArray[np.float32]]) -> NDArray[np.float32]:
        """Vectors (n, width) of n steps, each mono float32 in [-1, 1]; the last of a video may be shorter."""
