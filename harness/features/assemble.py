"""Making a feature set from arrays, and checking one that a stranger made."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from avbench.harness.errors import DataError
from avbench.harness.features.featureset import FeatureSet
from avbench.harness.features.hashing import content_hash
from avbench.harness.features.manifest import Manifest
from avbench.harness.tracks import Track
from avbench.splits import PARTS, Split

if TYPE_CHECKING:
    from torch import Tensor

HASHED = ("audio", "visual", "class_id", "vectors")
CHUNK = 4096
"""Rows looked at at once in a check."""


def feature_set(
    track: Track,
    split: Split,
    *,
    counts: Mapping[str, int],
    class_id: NDArray[np.int64],
    audio: NDArray[np.float32],
    visual: NDArray[np.float32],
    vectors: NDArray[np.float32],
    source: str,
    simulated: bool = False,
) -> FeatureSet:
    """A feature set from arrays whose rows are ordered by part: train, val_seen, val_unseen, test_seen, test_unseen.

    ``counts``: clips of each part. ``class_id`` (N,) source class ids, ``audio`` (N, Da), ``visual`` (N, Dv),
    ``vectors`` (source classes, Dt), unit norm. ``source``: where the features come from, in words. The arrays are
    shared, not copied.
    """
    import torch

    arrays: dict[str, NDArray[np.generic]] = {
        "audio": audio,
        "visual": visual,
        "class_id": class_id,
        "vectors": vectors,
    }
    manifest = Manifest(
        dataset=track.dataset,
        features=track.features,
        partition=split.partition,
        audio_dim=audio.shape[1],
        visual_dim=visual.shape[1],
        text_dim=vectors.shape[1],
        counts={part: counts[part] for part in PARTS},
        content_hash=content_hash(arrays),
        source=source,
        simulated=simulated,
    )
    tensors = {name: torch.from_numpy(array) for name, array in arrays.items()}
    return FeatureSet(track, split, manifest, rows=part_rows(manifest.counts), **tensors)


def part_rows(counts: Mapping[str, int]) -> dict[str, slice]:
    """The rows of each part, one part after the other."""
    ends = np.cumsum([counts[part] for part in PARTS]).tolist()
    return {part: slice(end - counts[part], end) for part, end in zip(PARTS, ends, strict=True)}


def misplaced(class_id: NDArray[np.int64], rows: Mapping[str, slice], split: Split) -> str | None:
    """A part that holds clips of classes which have no place in it: above all, unseen classes in training."""
    for part, members in rows.items():
        if not np.isin(class_id[members], [c.id for c in split.classes_of(part)]).all():
            return part
    return None


def check(features: FeatureSet, track: Track) -> None:
    """Refuse what a run cannot trust: raises :class:`DataError` that says what is wrong with features of a stranger."""
    import torch

    manifest, split = features.manifest, features.split
    count = sum(manifest.counts.values())
    if (features.track, Track(manifest.dataset, manifest.features)) != (track, track):
        raise DataError(f"{track}: the feature set calls itself {features.track}, its manifest {manifest.dataset}")
    if set(manifest.counts) != set(PARTS) or features.rows != part_rows(manifest.counts):
        raise DataError(f"{track}: rows are not ordered by part as the counts of the manifest say")
    expected: dict[str, tuple[torch.dtype, tuple[int, ...]]] = {
        "audio": (torch.float32, (count, manifest.audio_dim)),
        "visual": (torch.float32, (count, manifest.visual_dim)),
        "class_id": (torch.int64, (count,)),
        "vectors": (torch.float32, (len(split.classes), manifest.text_dim)),
    }
    tensors: dict[str, Tensor] = {name: getattr(features, name) for name in HASHED}
    for name, tensor in tensors.items():
        if (tensor.dtype, tuple(tensor.shape)) != expected[name]:
            raise DataError(f"{track}: {name} is {tensor.dtype} {tuple(tensor.shape)}, expected {expected[name]}")
    for name in ("audio", "visual"):
        if not all(bool(chunk.isfinite().all()) for chunk in torch.split(tensors[name], CHUNK)):
            raise DataError(f"{track}: {name} holds NaN or infinity")
    if part := misplaced(features.class_id.numpy(), features.rows, split):
        raise DataError(f"{track}: {part} holds clips of classes that do not belong there")
    if content_hash(tensors) != manifest.content_hash:
        raise DataError(f"{track}: the content hash of the manifest is not that of the features")
