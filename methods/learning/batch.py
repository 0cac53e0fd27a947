"""What a network and a loss get to see: sizes, and one batch. Knows no torch."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from avbench.harness.contract.data import Time, TrainingSet

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
    temporal: bool = False
    """Clips are over time."""
    texts: Mapping[str, int] = field(default_factory=dict)
    """Widths of named text vectors, where the track has several kinds of them."""

    @classmethod
    def of(cls, train: TrainingSet) -> Dims:
        from avbench.harness.contract.packed import PackedClips

        return cls(
            audio=train.clips.audio.shape[1],
            visual=train.clips.visual.shape[1],
            text=train.classes.vectors.shape[1],
            classes=len(train.classes),
            unseen=len(train.unseen) if train.unseen else 0,
            temporal=isinstance(train.clips, PackedClips),
            texts={name: vectors.shape[1] for name, vectors in train.classes.texts.items()},
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
    time: Time | None = None
    """Of clips over time, whose audio is (B, 2, T, Da) or (B, T, Da): lengths (B, 2) or (B,), and step lengths."""
    texts: Mapping[str, Tensor] = field(default_factory=dict)
    """Named text vectors of all training classes, (C, Dk) each, where the track has several kinds."""
