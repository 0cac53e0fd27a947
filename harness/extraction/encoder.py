"""The contract of an encoder: steps of frames or of sound in, one vector a step out. Listing knows no torch."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from avbench.harness.errors import DataError
from avbench.harness.features.provenance import FrameSampling, Modality, SoundSampling, TrainedOn

Step = NDArray[np.uint8] | NDArray[np.float32]


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
