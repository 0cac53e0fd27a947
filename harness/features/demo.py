"""The embedded demo features: real classes and label vectors, simulated clips. No download, a fraction of a second.

A clip is ``relu(centre + spread * noise)``. The centre of a class is a random linear image of its label vector, in
which classes of similar texts look alike, plus a part of its own that no text tells. So a class without training clips
can be recognised through its text only, and a trained class more easily. Vision is wider, less noisy and nearer to the
text than audio, as in the papers.
"""

from __future__ import annotations

import math
import zlib
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from avbench.harness.features.assemble import feature_set
from avbench.harness.features.demo_text import label_vectors
from avbench.harness.features.featureset import FeatureSet
from avbench.harness.tracks import DEMO, Track
from avbench.splits import PARTS, Split, load_split

if TYPE_CHECKING:
    from numpy.typing import NDArray

CLIP_SHARE = 1 / 8
"""Clips of the demo per clip of the real data set."""
MIN_CLIPS = 3
"""Fewest clips of a class in a part."""
UNKNOWN_CLIPS = 96
"""Stands for counts that no public list tells (VGGSound train): about what classes of the other data sets have."""
GRID = 4096
"""Features are multiples of 1/GRID: coarse enough to hide how a machine rounds the last bit of a sum."""


@dataclass(frozen=True)
class Modality:
    """How one modality is simulated."""

    width: int
    textual: float
    """Share of a class centre's variance that follows from the label vector."""
    spread: float
    """Standard deviation of a clip around its class centre, in standard deviations of the centres."""


AUDIO = Modality(width=128, textual=0.4, spread=2.5)
VISUAL = Modality(width=256, textual=0.5, spread=2.0)


def demo(dataset: str, seed: int = 0) -> FeatureSet:
    """The demo features of a data set, main partition: audio (N, 128), visual (N, 256), label vectors (classes, 384).

    Label vectors have unit norm; clips are non-negative, with a norm of about one in each modality. The same seed gives
    the same bits on every machine. Raises SplitError for an unknown data set.
    """
    split = load_split(dataset, "main")
    vectors = label_vectors(split)
    class_id, counts = demo_clips(split)
    bits = np.random.PCG64(np.random.SeedSequence([seed, zlib.crc32(dataset.encode())]))
    return feature_set(
        Track(dataset, DEMO),
        split,
        counts=counts,
        class_id=class_id,
        audio=_simulate(AUDIO, vectors, class_id, bits),
        visual=_simulate(VISUAL, vectors, class_id, bits),
        vectors=vectors,
        source=f"simulated audio and visual features (seed {seed}); label vectors by all-MiniLM-L6-v2",
        simulated=True,
    )


def demo_clips(split: Split) -> tuple[NDArray[np.int64], dict[str, int]]:
    """Class ids of all clips, (N,), part after part and class after class, and the clips of each part."""
    ids: list[int] = []
    counts = {}
    for part in PARTS:
        start = len(ids)
        for c in split.classes_of(part):
            videos = c.videos[part]
            ids += [c.id] * max(MIN_CLIPS, round(CLIP_SHARE * (UNKNOWN_CLIPS if videos is None else videos)))
        counts[part] = len(ids) - start
    return np.array(ids, dtype=np.int64), counts


def _simulate(
    modality: Modality, vectors: NDArray[np.float32], class_id: NDArray[np.int64], bits: np.random.PCG64
) -> NDArray[np.float32]:
    """Features of one modality, (N, width) float32, non-negative, about half of them zero."""
    width = modality.width
    centres = class_centres(modality, vectors, bits)
    clips = centres[class_id] + modality.spread * bell_shaped(bits, len(class_id), width)
    scale = math.sqrt(2 / (width * (1 + modality.spread**2)))  # half of the variance survives the relu
    features: NDArray[np.float32] = (np.round(GRID * scale * np.maximum(clips, 0)) / GRID).astype(np.float32)
    return features


def class_centres(modality: Modality, vectors: NDArray[np.float32], bits: np.random.PCG64) -> NDArray[np.float64]:
    """What all clips of a class have in common, (classes, width), of variance 1: partly told by its text."""
    classes, width = len(vectors), modality.width
    text = vectors - vectors.mean(axis=0, dtype=np.float64)
    told = (text @ text.T) @ bell_shaped(bits, classes, width)
    told *= math.sqrt(width) / np.linalg.norm(told, axis=1, keepdims=True)
    own = bell_shaped(bits, classes, width)
    centres: NDArray[np.float64] = math.sqrt(modality.textual) * told + math.sqrt(1 - modality.textual) * own
    return centres


def bell_shaped(bits: np.random.PCG64, rows: int, columns: int) -> NDArray[np.float64]:
    """Nearly normal numbers, mean 0, variance 1: each the sum of four uniform 16-bit numbers.

    Made of raw bits because NumPy keeps those the same in all versions, and its normal numbers not.
    """
    quarters = bits.random_raw(rows * columns).view(np.uint16).reshape(rows, columns, 4)
    sums: NDArray[np.float64] = quarters.sum(axis=2, dtype=np.float64)
    return (sums - 2 * 0xFFFF) * (math.sqrt(3) / 0x10000)
