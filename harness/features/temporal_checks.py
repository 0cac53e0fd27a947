"""What must hold of a loaded set over time: tensors, lengths, values, content hash."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from avbench.harness.features.featureset import FeatureSet
from avbench.harness.features.hashing import sequence_hash
from avbench.harness.features.manifest import TEXT, Manifest
from avbench.harness.features.temporal_draft import timeline

if TYPE_CHECKING:
    from torch import Tensor

CHUNK = 4096
"""Steps looked at at once."""


def expected_tensors(manifest: Manifest, classes: int) -> dict[str, tuple[str, tuple[int, ...]]]:
    """Names, dtypes and shapes that the manifest of a set over time implies, but for ``video_id``."""
    time, count = manifest.time, sum(manifest.counts.values())
    assert time is not None
    return {
        "class_id": ("torch.int64", (count,)),
        "audio_offsets": ("torch.int64", (count + 1,)),
        "visual_offsets": ("torch.int64", (count + 1,)),
        "seconds": ("torch.float64", (2,)),
        "audio": (f"torch.{time.dtype}", (time.audio.total, manifest.audio_dim)),
        "visual": (f"torch.{time.dtype}", (time.visual.total, manifest.visual_dim)),
        "vectors": ("torch.float32", (classes, manifest.text_dim)),
        **{TEXT + name: ("torch.float32", (classes, text.dim)) for name, text in manifest.texts.items()},
    }


def blocks(tensor: Tensor) -> Iterator[Tensor]:
    """Some rows after the other."""
    return (tensor[start : start + CHUNK] for start in range(0, len(tensor), CHUNK))


def problems_over_time(features: FeatureSet, ids: Tensor | None = None) -> list[str]:
    """What is wrong with the steps of a set over time that is there already; everything is read once, in blocks."""
    manifest, offsets = features.manifest, features.offsets
    assert manifest.time is not None
    assert offsets is not None
    places = offsets.audio.numpy(), offsets.visual.numpy()
    seconds = manifest.time.audio.seconds, manifest.time.visual.seconds
    found = [
        f"{name}: offsets do not ascend from 0 to the {end:,} steps"
        for name, o, end in zip(("audio", "visual"), places, (len(features.audio), len(features.visual)), strict=True)
        if o[0] != 0 or o[-1] != end or (np.diff(o) < 1).any()
    ]
    if found:
        return found
    if timeline(places, seconds, manifest.time.dtype) != manifest.time:
        found.append("the lengths of the clips are not those of the manifest")
    for name, tensor in (("audio", features.audio), ("visual", features.visual)):
        if bad := sum(int((~block.isfinite().all(dim=1)).sum()) for block in blocks(tensor)):
            found.append(f"{name}: {bad:,} steps hold NaN or infinity")
    if over_time_hash(features, ids) != manifest.content_hash:
        found.append("the content hash is not that of the manifest: the file was changed or damaged")
    return found


def over_time_hash(features: FeatureSet, ids: Tensor | None = None) -> str:
    """The content hash of a set over time; ``ids``: the video ids (N, W) of a stored one."""
    offsets, time = features.offsets, features.manifest.time
    assert offsets is not None
    assert time is not None
    tensors: Mapping[str, Any] = {
        "class_id": features.class_id,
        "audio_offsets": offsets.audio,
        "visual_offsets": offsets.visual,
        "seconds": np.array([time.audio.seconds, time.visual.seconds]),
        "audio": features.audio,
        "visual": features.visual,
        "vectors": features.vectors,
        **{TEXT + name: vectors for name, vectors in features.texts.items()},
    }
    return sequence_hash(tensors if ids is None else {**tensors, "video_id": ids})
