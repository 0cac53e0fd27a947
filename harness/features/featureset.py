"""A loaded feature set: tensors in one row order, with the facts that came with them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from avbench.harness.features.manifest import Manifest
from avbench.harness.tracks import Track
from avbench.splits import Split

if TYPE_CHECKING:
    import torch
    from torch import Tensor


@dataclass(frozen=True, eq=False)
class FeatureSet:
    """Features of one track. Rows are ordered by part: train, val_seen, val_unseen, test_seen, test_unseen.

    So the training data of each stage are its first rows; a method gets a copy of them.
    ``audio`` (N, Da) and ``visual`` (N, Dv), float32 unless a run holds them in fewer bits; ``class_id`` (N,) int64,
    source class ids; ``rows``: rows of each part; ``vectors`` (source classes, Dt) float32: row = class id, each class
    with its own label vector (NaN: unknown).
    """

    track: Track
    split: Split
    manifest: Manifest
    audio: Tensor
    visual: Tensor
    class_id: Tensor
    rows: Mapping[str, slice]
    vectors: Tensor

    @property
    def incomplete(self) -> bool:
        """Clips or classes were missing at import and the user allowed it; every record says so."""
        return bool(self.manifest.warnings)

    def to(self, device: torch.device, dtype: torch.dtype | None = None) -> FeatureSet:
        """The same feature set on a device, audio and visual as ``dtype`` where one is given. Copies what is not so."""
        return replace(
            self,
            audio=self.audio.to(device, dtype),
            visual=self.visual.to(device, dtype),
            class_id=self.class_id.to(device),
            vectors=self.vectors.to(device),
        )
