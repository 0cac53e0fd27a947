"""A loaded feature set: tensors in one row order, with the facts that came with them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING

from avbench.harness.features.manifest import Manifest
from avbench.harness.tracks import Track
from avbench.splits import Split

if TYPE_CHECKING:
    import torch
    from torch import Tensor

    from avbench.harness.contract.packed import PackedClips


STAGE_1 = ("train", "val_seen", "val_unseen")
"""The parts that stage 1 sees, in the order of rows."""


@dataclass(frozen=True, eq=False)
class Offsets:
    """Where the clips of a set over time begin: clip i has the steps ``offsets[i]`` to ``offsets[i + 1] - 1``."""

    audio: Tensor
    """(N + 1,) int64."""
    visual: Tensor
    """(N + 1,) int64."""


@dataclass(frozen=True, eq=False)
class FeatureSet:
    """Features of one track. Rows are ordered by part: train, val_seen, val_unseen, test_seen, test_unseen.

    So the training data of each stage are its first rows; a method gets a copy of them.
    ``audio`` (N, Da) and ``visual`` (N, Dv), float32 unless a run holds them in fewer bits; ``class_id`` (N,) int64,
    source class ids; ``rows``: rows of each part; ``vectors`` (source classes, Dt) float32: row = class id, each class
    with its own label vector (NaN: unknown). ``texts``: several named text vectors of the classes, each (source
    classes, Dk), where the set has them.

    Of a set over time ``audio`` (sum of Ta, Da) and ``visual`` (sum of Tv, Dv) hold the steps of all clips end to end,
    float32 or float16, usually as a mapped file, and ``offsets`` tells where clips begin.
    """

    track: Track
    split: Split
    manifest: Manifest
    audio: Tensor
    visual: Tensor
    class_id: Tensor
    rows: Mapping[str, slice]
    vectors: Tensor
    texts: Mapping[str, Tensor] = field(default_factory=dict)
    offsets: Offsets | None = None
    file: Path | None = None
    """What the tensors are mapped from."""

    @property
    def device(self) -> torch.device:
        """Where methods work. The steps of a set over time may lie elsewhere."""
        return self.class_id.device

    def first_steps(self, count: int) -> PackedClips:
        """The first clips of a set over time in memory of their own: no other clip is behind it.

        Of a mapped file it is another map, which ends with these clips; of steps that are held, a copy.
        """
        from avbench.harness.features.mapped import mapped_rows

        first = self.packed().first(count)
        first = replace(first, audio_offsets=first.audio_offsets.clone(), visual_offsets=first.visual_offsets.clone())
        if self.file is None or self.audio.device.type != "cpu":
            return replace(first, audio=first.audio.clone(), visual=first.visual.clone())
        audio, visual = (mapped_rows(self.file, name, len(getattr(first, name))) for name in ("audio", "visual"))
        return replace(first, audio=audio, visual=visual)

    def packed(self) -> PackedClips:
        """All clips of a set over time: a view."""
        from avbench.harness.contract.packed import PackedClips

        assert self.offsets is not None
        assert self.manifest.time is not None
        return PackedClips(
            self.audio,
            self.visual,
            audio_offsets=self.offsets.audio,
            visual_offsets=self.offsets.visual,
            audio_step=self.manifest.time.audio.seconds,
            visual_step=self.manifest.time.visual.seconds,
            device=self.device,
        )

    def of_stage_1(self) -> FeatureSet:
        """The training and validation clips alone: a view, of which a copy on a device holds no test clip."""
        rows = {part: place for part, place in self.rows.items() if part in STAGE_1}
        count = rows[STAGE_1[-1]].stop
        held = replace(self, class_id=self.class_id[:count], rows=rows)
        if self.offsets is None:
            return replace(held, audio=self.audio[:count], visual=self.visual[:count])
        first = self.packed().first(count)
        offsets = Offsets(first.audio_offsets, first.visual_offsets)
        return replace(held, audio=first.audio, visual=first.visual, offsets=offsets)

    @property
    def incomplete(self) -> bool:
        """Clips or classes were missing at import and the user allowed it; every record says so."""
        return bool(self.manifest.warnings)

    def to(self, device: torch.device, dtype: torch.dtype | None = None) -> FeatureSet:
        """The same feature set on a device, audio and visual as ``dtype`` where one is given. Copies what is not so.

        The steps of a set over time keep their dtype. They go to a GPU where they leave half of its free memory, and
        otherwise stay where they are: then batches are gathered there.
        """
        place, offsets = device, self.offsets
        if offsets is not None:
            dtype, place = None, device if self._fits(device) else self.audio.device
            offsets = Offsets(offsets.audio.to(place), offsets.visual.to(place))
        return replace(
            self,
            audio=self.audio.to(place, dtype),
            visual=self.visual.to(place, dtype),
            class_id=self.class_id.to(device),
            vectors=self.vectors.to(device),
            texts={name: vectors.to(device) for name, vectors in self.texts.items()},
            offsets=offsets,
        )

    def _fits(self, device: torch.device) -> bool:
        """Whether all steps are to be held on a device; of the host's memory the system decides."""
        if device.type != "cuda":
            return device == self.audio.device
        import torch

        free, _ = torch.cuda.mem_get_info(device)
        return 2 * (self.audio.nbytes + self.visual.nbytes) <= free
