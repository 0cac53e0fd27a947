"""The description of a track as a figure: how near the evaluated clips are to those learnt from, and separability."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from avbench.harness.features.describe import NEAR, Description
from avbench.harness.picture import picture

if TYPE_CHECKING:
    from avbench.harness.tracks import Track

BINS = 40


def write_figure(path: Path, track: Track, found: Description, near: float = NEAR) -> None:
    """Write an SVG, PNG or PDF; the same description gives the same bytes. Raises :class:`UsageError` for others."""
    with picture(path, (9, 3.2)) as figure:
        histogram, bars = figure.subplots(1, 2, width_ratios=(3, 1))
        lowest = min(float(values["both"].min()) for values in found.similarity.values())
        edges = np.linspace(min(lowest, near), 1.0, BINS)
        for part, values in found.similarity.items():
            share = np.ones(len(values["both"])) / len(values["both"])
            histogram.hist(values["both"], edges, weights=share, histtype="step", label=part)
        histogram.axvline(near, color="0.5", linestyle="--")
        histogram.set(xlabel="cosine to the nearest clip learnt from", ylabel="share of clips", title=str(track))
        histogram.legend()
        apart = found.separability
        bars.bar(["audio", "visual"], [apart.audio or 0.0, apart.visual or 0.0], color="0.6")
        bars.axhline(apart.chance, color="0.2", linestyle=":")
        bars.set(ylabel="nearest class mean (%)", ylim=(0, 100))
