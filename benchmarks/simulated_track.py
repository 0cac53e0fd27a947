"""Noise with the genuine sizes of a track: its classes, the clips of each class in each part, the feature widths."""

from __future__ import annotations

from itertools import chain, repeat

import numpy as np

from avbench.harness.features.assemble import feature_set
from avbench.harness.features.featureset import FeatureSet
from avbench.harness.tracks import Track
from avbench.splits import PARTS, Split, load_split

WIDTHS = {"main": (512, 512), "cls": (128, 4096)}
"""Audio and visual features."""
TEXT = 300


def clips_of_classes(split: Split, part: str) -> dict[int, int]:
    """Clips by class id. Where no public list tells them (VGGSound train), the part's total is shared out evenly."""
    members = split.classes_of(part)
    total = split.parts[part].videos or 0
    return {
        c.id: total // len(members) + (rank < total % len(members)) if c.videos[part] is None else c.videos[part]
        for rank, c in enumerate(members)
    }


def simulated_track(track: Track) -> FeatureSet:
    """The first part's clips first, and so on; features tell a little about the class, so that metrics are not 0."""
    split = load_split(track.dataset, track.features)
    generator = np.random.default_rng(0)
    ids: list[int] = []
    counts = {}
    for part in PARTS:
        clips = clips_of_classes(split, part)
        counts[part] = sum(clips.values())
        ids += chain.from_iterable(repeat(i, count) for i, count in clips.items())
    class_id = np.array(ids, dtype=np.int64)
    vectors = generator.standard_normal((len(split.classes), TEXT), dtype=np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)

    def view(width: int) -> np.ndarray[tuple[int, int], np.dtype[np.float32]]:
        centres = vectors @ generator.standard_normal((TEXT, width), dtype=np.float32)
        return centres[class_id] + generator.standard_normal((len(class_id), width), dtype=np.float32)

    audio, visual = map(view, WIDTHS[track.features])
    return feature_set(
        track,
        split,
        counts=counts,
        class_id=class_id,
        audio=audio,
        visual=visual,
        vectors=vectors,
        source="simulated for benchmarks",
        simulated=True,
    )
