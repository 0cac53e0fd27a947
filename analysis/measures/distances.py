"""Cosine distances of all pairs of classes, before and after label vectors are optimised."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from avbench.analysis.analysis import SEQUENTIAL, Analysis, one_row
from avbench.harness.errors import UsageError

if TYPE_CHECKING:
    from matplotlib.figure import Figure

Doubles = NDArray[np.float64]


def cosine_distances(vectors: NDArray[np.float32]) -> Doubles:
    """``1 - cos`` (C, C) of the rows of vectors (C, F), in float64. Raises :class:`UsageError` for a row of zeros."""
    rows = vectors.astype(np.float64)
    norms = np.linalg.norm(rows, axis=1, keepdims=True)
    if not norms.all():
        raise UsageError(f"{int((norms == 0).sum())} of {len(rows)} class vectors are zero: they have no direction")
    rows = rows / norms
    found: Doubles = 1 - rows @ rows.T
    return found


def analyse(
    title: str, names: Sequence[str], text: NDArray[np.float32], optimised: NDArray[np.float32] | None, simulated: bool
) -> Analysis:
    """All pairs of classes with vectors (C, F). Raises :class:`UsageError` for fewer than two classes."""
    import pandas as pd

    if len(names) < 2:
        raise UsageError("distances of classes compare two classes or more")
    found = {
        when: cosine_distances(vectors)
        for when, vectors in (("before", text), ("after", optimised))
        if vectors is not None
    }
    first, second = np.triu_indices(len(names), k=1)
    pairs = {when: distances[first, second] for when, distances in found.items()}
    frame = pd.DataFrame(
        {"class": [names[i] for i in first.tolist()], "other": [names[i] for i in second.tolist()]}
        | {f"distance_{when}": values for when, values in pairs.items()}
    )
    told = ", ".join(
        f"{when} mean {values.mean():.3f}, least {values.min():.3f}, most {values.max():.3f}"
        for when, values in pairs.items()
    )

    def draw(figure: Figure) -> None:
        *maps, histogram = one_row(figure, len(found) + 1)
        highest = max(float(values.max()) for values in pairs.values())
        for axes, (when, distances) in zip(maps, found.items(), strict=True):
            image = axes.imshow(distances, vmin=0, vmax=highest, cmap=SEQUENTIAL, interpolation="nearest")
            axes.set(title=f"{title}, {when}" if len(found) > 1 else title, xlabel="class", ylabel="class")
        figure.colorbar(image, ax=maps, label="cosine distance", shrink=0.8)
        for when, values in pairs.items():
            histogram.hist(values, np.linspace(0, highest, 41).tolist(), histtype="step", label=when)
        histogram.set(xlabel="cosine distance", ylabel="pairs")
        histogram.legend()

    line = f"{title}: cosine distances of {len(first)} pairs of {len(names)} classes: {told}"
    return Analysis(frame, line, draw, (3.6 * (len(found) + 1), 3.4), simulated)
