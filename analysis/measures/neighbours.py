"""Nearest classes before and after label vectors are optimised (Mo and Morgado, ECCV 2024, table 8)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from avbench.analysis.analysis import Analysis
from avbench.analysis.measures.distances import Doubles, cosine_distances
from avbench.harness.errors import UsageError

if TYPE_CHECKING:
    from matplotlib.figure import Figure

SHOWN = 10
"""Base classes in the picture, as in the paper's table: the first by name."""


@dataclass(frozen=True, eq=False)
class Nearest:
    """The nearest other class of each, by cosine distance; the first on ties."""

    row: NDArray[np.intp]
    """(C,)"""
    distance: Doubles
    """(C,)"""


def nearest(distances: Doubles) -> Nearest:
    """Of distances (C, C)."""
    others = distances + np.diag(np.full(len(distances), np.inf))
    row = others.argmin(axis=1)
    return Nearest(row, others[np.arange(len(row)), row])


def kept_order(before: Doubles, after: Doubles) -> float:
    """Share of triples (c, i, j) of distinct classes for which i and j lie in the same order of distance from c.

    Pairs that are level before and after count as kept.
    """
    classes = len(before)
    kept = 0
    for c in range(classes):
        others = np.arange(classes) != c
        signs = [np.sign(d[c, others][:, None] - d[c, others]) for d in (before, after)]
        kept += int((signs[0] == signs[1]).sum()) - (classes - 1)  # each class with itself
    return kept / (classes * (classes - 1) * (classes - 2))


def analyse(
    title: str, names: Sequence[str], text: NDArray[np.float32], optimised: NDArray[np.float32] | None, simulated: bool
) -> Analysis:
    """The table over classes with vectors (C, F). Raises :class:`UsageError` for fewer than three classes."""
    import pandas as pd

    if len(names) < 3:
        raise UsageError(f"nearest classes compare three classes or more, here are {len(names)}")
    distances = [cosine_distances(vectors) for vectors in (text, optimised) if vectors is not None]
    found = [nearest(d) for d in distances]
    columns: dict[str, list[str] | list[float]] = {"class": list(names)}
    for when, one in zip(("before", "after"), found, strict=False):
        columns[f"nearest_{when}"] = [names[row] for row in one.row]
        columns[f"distance_{when}"] = one.distance.tolist()
    means = [float(one.distance.mean()) for one in found]
    line = f"{title}: mean cosine distance to the nearest of {len(names)} classes {means[0]:.3f}"
    if len(found) > 1:
        same = float((found[0].row == found[1].row).mean())
        line += (
            f" before and {means[1]:.3f} after optimisation (x {means[1] / means[0]:.2f}); nearest class unchanged for "
            f"{100 * same:.1f} %, order kept in {100 * kept_order(*distances):.1f} % of triples"
        )

    def draw(figure: Figure) -> None:
        axes = figure.subplots()
        shown = list(names[:SHOWN])
        height = 0.8 / len(found)
        for number, (when, one) in enumerate(zip(("before", "after"), found, strict=False)):
            places = np.arange(len(shown)) + number * height
            axes.barh(places, one.distance[: len(shown)], height, label=when)
            for place, row in zip(places, one.row, strict=False):
                axes.text(0.005, place, names[row], va="center", fontsize="x-small")
        axes.set_yticks(np.arange(len(shown)) + (len(found) - 1) * height / 2, shown)
        axes.invert_yaxis()
        axes.set(xlabel="cosine distance to the nearest class (its name in the bar)", title=title)
        if len(found) > 1:
            axes.legend()

    return Analysis(pd.DataFrame(columns), line, draw, (7.4, 4.4), simulated)
