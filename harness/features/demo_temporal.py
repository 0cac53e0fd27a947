"""The embedded demo over time: real classes and label vectors, simulated clips that show their class now and then.

A clip has a few steps of each modality. In one stretch of them, at the same time in both, something of its class is to
be heard and seen; before and after there is one of a few scenes, which say nothing of the class. Each step is noisy. So
most of a clip dilutes its mean, and a method that finds the stretch has clearer evidence than its averaged input.
"""

from __future__ import annotations

import math
import zlib
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from avbench.harness.features.assemble import Sequences, feature_set, feature_set_over_time
from avbench.harness.features.demo import GRID, Modality, bell_shaped, class_centres, demo_clips
from avbench.harness.features.demo_text import label_vectors
from avbench.harness.features.featureset import FeatureSet
from avbench.harness.features.temporal_draft import offsets_of, view_of
from avbench.harness.tracks import DEMO_TEMPORAL, Track
from avbench.splits import load_split

AUDIO = Modality(width=64, textual=0.4, spread=1.5)
VISUAL = Modality(width=128, textual=0.5, spread=1.2)
SECONDS = (0.96, 0.64)
"""Length of an audio and of a visual step, as of VGGish and C3D."""
SHORTEST, LONGEST = 4, 10
"""Audio steps of a clip; it has half as many visual steps more."""
SHOWN = 0.25
"""Share of a clip in which its class shows."""
SCENES = 8
"""What the rest of it shows."""


def demo_temporal(dataset: str, seed: int = 0) -> FeatureSet:
    """The demo over time of a data set: audio steps of 64 numbers, visual steps of 128, label vectors of 384.

    The same seed gives the same bits on every machine. Raises SplitError for an unknown data set.
    """
    split = load_split(dataset, "main")
    class_id, counts = demo_clips(split)
    audio, visual, vectors = _simulated(dataset, seed)
    return feature_set_over_time(
        Track(dataset, DEMO_TEMPORAL),
        split,
        counts=counts,
        class_id=class_id,
        audio=audio,
        visual=visual,
        vectors=vectors,
        source=_source(seed),
        simulated=True,
    )


def demo_mean(dataset: str, seed: int = 0) -> FeatureSet:
    """The averaged view of the demo over time."""
    split = load_split(dataset, "main")
    class_id, counts = demo_clips(split)
    audio, visual, vectors = _simulated(dataset, seed)
    return feature_set(
        view_of(Track(dataset, DEMO_TEMPORAL)),
        split,
        counts=counts,
        class_id=class_id,
        audio=_on_grid(audio.means()),
        visual=_on_grid(visual.means()),
        vectors=vectors,
        source=f"means over time of {_source(seed)}",
        simulated=True,
    )


def _source(seed: int) -> str:
    return f"simulated audio and visual features over time (seed {seed}); label vectors by all-MiniLM-L6-v2"


@lru_cache(maxsize=1)
def _simulated(dataset: str, seed: int) -> tuple[Sequences, Sequences, NDArray[np.float32]]:
    """Audio and visual steps of all clips, and the label vectors of the classes."""
    split = load_split(dataset, "main")
    vectors = label_vectors(split)
    class_id, _ = demo_clips(split)
    bits = np.random.PCG64(np.random.SeedSequence([seed, zlib.crc32(dataset.encode()), 1]))
    heard = SHORTEST + (bits.random_raw(len(class_id)) % (LONGEST - SHORTEST + 1)).astype(np.int64)
    begin = (bits.random_raw(len(class_id)) >> np.uint64(11)) / 2.0**53 * (1 - SHOWN)
    found = []
    for modality, lengths, seconds in zip((AUDIO, VISUAL), (heard, heard * 3 // 2), SECONDS, strict=True):
        values = _steps(modality, vectors, class_id, lengths, begin, bits)
        found.append(Sequences(values, offsets_of(lengths), seconds))
    return found[0], found[1], vectors


def _steps(
    modality: Modality,
    vectors: NDArray[np.float32],
    class_id: NDArray[np.int64],
    lengths: NDArray[np.int64],
    begin: NDArray[np.float64],
    bits: np.random.PCG64,
) -> NDArray[np.float32]:
    """All steps of one modality, (sum of T, width), non-negative. ``begin``: where in a clip its class is shown."""
    centres = class_centres(modality, vectors, bits)
    scenes = bell_shaped(bits, SCENES, modality.width)
    clip = np.repeat(np.arange(len(lengths)), lengths)
    step = np.arange(len(clip)) - np.repeat(offsets_of(lengths)[:-1], lengths)
    first = np.floor(begin * lengths).astype(np.int64)
    count = np.maximum(1, np.rint(SHOWN * lengths)).astype(np.int64)
    shows = (step >= first[clip]) & (step < (first + count)[clip])
    scene = (bits.random_raw(len(clip)) % SCENES).astype(np.int64)
    values = np.where(shows[:, None], centres[class_id[clip]], scenes[scene])
    values += modality.spread * bell_shaped(bits, len(clip), modality.width)
    scale = math.sqrt(2 / (modality.width * (1 + modality.spread**2)))
    return _on_grid(scale * np.maximum(values, 0))


def _on_grid(values: NDArray[np.floating]) -> NDArray[np.float32]:
    """Multiples of 1/GRID: coarse enough to hide how a machine rounds the last bit of a sum."""
    found: NDArray[np.float32] = (np.round(GRID * values) / GRID).astype(np.float32)
    return found
