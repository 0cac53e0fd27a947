"""Where extracted features come from: encoders, sampling, label vectors, what was wrong with videos. Knows no torch."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, NonNegativeInt

from avbench.harness.contract.encoder import (
    Facts,
    FrameSampling,
    Modality,
    Seen,
    SoundSampling,
    Text,
    TrainedOn,
    gravest,
)


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
    """Where one kind of text vectors comes from."""

    name: Text = ""
    """Of several kinds."""
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
    labels: tuple[LabelFacts, ...]
    """Of which the label vectors are made."""
    missing_audio: Literal["zeros", "drop", "fail"]
    decoder: Text
    steps: dict[Modality, Steps]
    videos: tuple[BadVideo, ...] = ()
    """Those with something to tell; all others were decoded without remark."""

    def seen(self, dataset: str) -> Seen:
        """The gravest of what the encoders declare: one that has met the data set taints the track."""
        return gravest(e.trained_on.seen(dataset) for e in self.encoders)
