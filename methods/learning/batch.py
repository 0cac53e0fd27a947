"""What a network and a loss get to see: sizes, and one batch. Knows no torch."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from avbench.harness.contract.data import TrainingSet

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True)
class Dims:
    """Sizes that a network may depend on."""

    audio: int
    visual: int
    text: int
    classes: int
    """Training classes."""
    unseen: int
    """Candidate unseen classes shown to a method that declares ``uses_unseen_names``; otherwise 0."""

    @classmethod
    def of(cls, train: TrainingSet) -> Dims:
        return cls(
            audio=train.clips.audio.shape[1],
            visual=train.clips.visual.shape[1],
            text=train.classes.vectors.shape[1],
            classes=len(train.classes),
            unseen=len(train.unseen) if train.unseen else 0,
        )


@dataclass(frozen=True)
class Batch:
    """One class-balanced batch (guide: How a number is made, "Batches").

    With pairs every tensor has a group dimension after the first: index 0 is the positive half, 1 the negative half.
    Without pairs that dimension is absent.
    """

    audio: Tensor
    """(B, 2, Da), without pairs (B, Da)."""
    visual: Tensor
    """(B, 2, Dv) or (B, Dv)."""
    labels: Tensor
    """(B, 2) or (B,), int64: rows of ``classes``."""
    vectors: Tensor
    """(B, 2, Dt) or (B, Dt): label vectors of the clips' classes."""
    classes: Tensor
    """(C, Dt): label vectors of all training classes."""
