"""Where extracted features come from: encoders, sampling, label vectors, what was wrong with videos. Knows no torch."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, NonNegativeInt

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


class EncoderFacts(Facts):
    """One encoder as it was used."""

    name: Text
    modality: Modality
    width: int = Field(gt=0)
    distribution: Text
    version: Text
    weights: Text | None = None
    """Name of the weights, without paths of the machine; None for an encoder without weights."""
    revision: Text | None = None
    """Pinned commit of weights that were given by name."""
    weights_sha256: Text | None = None
    sampling: Annotated[FrameSampling | SoundSampling, Field(discriminator="kind")]
    trained_on: TrainedOn


class LabelFacts(Facts):
    """Where the label vectors come from."""

    source: Text
    templates: tuple[Text, ...] = ()
    """Sentences whose unit vectors were averaged; ``{}`` stands for the class."""


class Steps(Facts):
    """Steps of time of the clips in one modality, before they were averaged."""

    least: NonNegativeInt
    median: float
    most: NonNegativeInt


class BadVideo(Facts):
    """A video that was not as it should be, and what was done."""

    id: Text
    dropped: bool
    reasons: tuple[Text, ...]


class Extraction(Facts):
    """How a track was made from videos."""

    encoders: tuple[EncoderFacts, ...]
    labels: LabelFacts
    missing_audio: Literal["zeros", "drop", "fail"]
    decoder: Text
    steps: dict[Modality, Steps]
    videos: tuple[BadVideo, ...] = ()
    """Those with something to tell; all others were decoded without remark."""

    def seen(self, dataset: str) -> Seen:
        """The gravest of what the encoders declare: one that has met the data set taints the track."""
        return gravest(e.trained_on.seen(dataset) for e in self.encoders)


def gravest(found: Iterable[Seen]) -> Seen:
    """The first in the order: the data set, unseen classes, not declared, neither. Nothing said: not declared."""
    said = set(found) or {"not declared"}
    order: tuple[Seen, ...] = ("the data set", "unseen classes", "not declared", "neither")
    return next(s for s in order if s in said)
