"""Delta-hyperbolicity of points: how far from a tree they lie (Fournier et al. 2015; Hong et al. 2023, table 7).

With the Gromov product ``(x|y)_p = (D_xp + D_yp - D_xy) / 2`` at a base point p, ``delta_p`` is the largest
``min((x|z)_p, (z|y)_p) - (x|y)_p`` over x, y, z. The definition of the relative value is ``2 delta_p / diameter``, in
[0, 1]; the public code that came with Hong et al. leaves out the 2.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from avbench.analysis.analysis import Analysis
from avbench.harness.errors import UsageError

if TYPE_CHECKING:
    from matplotlib.figure import Figure

Doubles = NDArray[np.float64]
FEWEST = 4
"""With fewer points delta is 0 whatever they are."""


@dataclass(frozen=True)
class Draw:
    """One draw of points."""

    points: int
    delta: float
    """At the base point, in the unit of the distances."""
    diameter: float

    @property
    def definition(self) -> float:
        return 2 * self.code

    @property
    def code(self) -> float:
        """The form of the public code: half the definition."""
        return self.delta / self.diameter if self.diameter else 0.0


def delta_at(distances: Doubles, base: int = 0) -> float:
    """``delta_p`` of points with distances (n, n) at the base point. O(n^3) time, O(n^2) memory."""
    products = (distances[base][:, None] + distances[base] - distances) / 2
    largest = 0.0
    for x, row in enumerate(products):
        reach = np.minimum(row, products[x:]).max(axis=1)  # products are symmetric
        largest = max(largest, float((reach - row[x:]).max()))
    return largest


def measure(points: NDArray[np.floating], *, clips: int, draws: int, seed: int) -> list[Draw]:
    """Draws of ``clips`` points (N, F) each without replacement, the first of each draw its base point.

    Where there are not more, all are taken once. Raises :class:`UsageError` for fewer than four points.
    """
    from scipy.spatial.distance import cdist

    if len(points) < FEWEST or clips < FEWEST:
        raise UsageError(f"delta-hyperbolicity compares {FEWEST} points or more, here are {min(len(points), clips)}")
    random = np.random.default_rng(seed)
    found = []
    for _ in range(draws if len(points) > clips else 1):
        chosen = points[random.permutation(len(points))[:clips]].astype(np.float64)
        distances = cdist(chosen, chosen)
        found.append(Draw(len(chosen), delta_at(distances), float(distances.max())))
    return found


def analyse(drawn: Mapping[str, list[Draw]], simulated: bool) -> Analysis:
    """Draws by the name of what they are of."""
    import pandas as pd

    rows = [
        {
            "of": name,
            "draw": number,
            "points": draw.points,
            "delta": draw.delta,
            "diameter": draw.diameter,
            "relative": draw.definition,
            "relative_in_code": draw.code,
        }
        for name, draws in drawn.items()
        for number, draw in enumerate(draws)
    ]

    def line(name: str, draws: list[Draw]) -> str:
        values = np.array([draw.definition for draw in draws])
        often = f"{len(draws)} draws" if len(draws) > 1 else "all clips once"

        def told(values: np.ndarray) -> str:
            return f"{values.mean():.4f}" + (f" ± {values.std(ddof=1):.4f}" if len(draws) > 1 else "")

        return (
            f"{name}: delta_rel {told(values)} by its definition, {told(values / 2)} as the public code has it, "
            f"{often}, {draws[0].points} clips"
        )

    def draw(figure: Figure) -> None:
        axes = figure.subplots()
        places = list(range(len(drawn)))
        for label, form in (("definition, 2 δ / diameter", "definition"), ("public code, δ / diameter", "code")):
            values = [[getattr(one, form) for one in draws] for draws in drawn.values()]
            means = [float(np.mean(v)) for v in values]
            spreads = [float(np.std(v, ddof=1)) if len(v) > 1 else 0.0 for v in values]
            axes.errorbar(means, places, xerr=spreads, fmt="o", label=label)
        axes.set_yticks(places, list(drawn))
        axes.set(
            xlabel="relative delta-hyperbolicity (0: a tree), mean and standard deviation of draws",
            ylim=(len(drawn) - 0.5, -0.5),
        )
        axes.set_xlim(left=0)
        axes.legend()

    return Analysis(
        pd.DataFrame(rows),
        "; ".join(line(*item) for item in drawn.items()),
        draw,
        (6.4, 1.6 + 0.4 * len(drawn)),
        simulated,
    )
