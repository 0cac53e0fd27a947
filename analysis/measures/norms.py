"""Lengths of encodings, how many a hyperbolic map cuts, and shares of the gradient (Hong et al., ICCV 2023).

With the product of norms as similarity, alignment under curvature -k acts only on clips shorter than the radius
``0.999 / sqrt(k)``: where all are longer its gradient vanishes, and the method is AVCA.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from avbench.analysis.analysis import Analysis, one_row
from avbench.harness.errors import UsageError

if TYPE_CHECKING:
    from matplotlib.figure import Figure

MODALITIES = ("audio", "visual")
Floats = NDArray[np.floating]


@dataclass(frozen=True, eq=False)
class Lengths:
    """Of one run. ``encoded``: norms (N,) by modality; ``aligned``: those of what a map takes; ``radius`` (N, K)."""

    encoded: Mapping[str, Floats]
    aligned: Mapping[str, Floats]
    radius: Floats | None
    gradients: Mapping[str, float]
    """Lengths by term of the loss, and ``total``."""


def lengths(clips: Mapping[str, Floats], gradients: Mapping[str, float], name: str) -> Lengths:
    """From embeddings (N, F) by name. Raises :class:`UsageError` for a method that shows no encodings."""

    def norms(kind: str) -> dict[str, Floats]:
        found = {x: clips[f"{kind}-{x}"] for x in MODALITIES if f"{kind}-{x}" in clips}
        return {x: np.linalg.norm(rows.astype(np.float64), axis=1) for x, rows in found.items()}

    if not norms("encoded"):
        raise UsageError(f"{name}: its method shows no encodings; avca and the hyper methods do")
    return Lengths(norms("encoded"), norms("aligned"), clips.get("radius"), gradients)


def facts(found: Lengths) -> list[tuple[str, float]]:
    """Named numbers, in a stable order."""
    rows: list[tuple[str, float]] = []
    for x, norms in found.encoded.items():
        rows += [
            (f"{x} mean", float(norms.mean())),
            (f"{x} least", float(norms.min())),
            (f"{x} 1 % quantile", float(np.quantile(norms, 0.01))),
            (f"{x} all-zero clips", float((norms == 0).sum())),
        ]
    if found.radius is not None:
        for space in range(found.radius.shape[1]):
            limit = found.radius[:, space]
            rows.append((f"radius {space + 1} mean", float(limit.mean())))
            rows += [(f"{x} share outside radius {space + 1}", outside(n, limit)) for x, n in found.aligned.items()]
    total = found.gradients.get("total", 0.0)
    for term, length in found.gradients.items():
        rows.append((f"gradient {term}", length))
        if term != "total" and total > 0:
            rows.append((f"gradient {term} / total", length / total))
    return rows


def outside(norms: Floats, radius: Floats) -> float:
    """Share of clips at least as long as their radius."""
    return float((norms >= radius).mean())


def analyse(runs: Mapping[str, Lengths], simulated: bool) -> Analysis:
    """Runs by name."""
    import pandas as pd

    rows = [{"run": n, "quantity": q, "value": v} for n, found in runs.items() for q, v in facts(found)]

    def draw(figure: Figure) -> None:
        for axes, (name, found) in zip(one_row(figure, len(runs)), runs.items(), strict=True):
            highest = max(float(norms.max()) for norms in found.encoded.values()) or 1.0
            for x, norms in found.encoded.items():
                axes.hist(norms, np.linspace(0, highest, 41).tolist(), histtype="step", label=x)
            if found.radius is not None:
                for limit in np.median(found.radius, axis=0):
                    axes.axvline(float(limit), linestyle="--", color="C2", label="radius (median)")
            axes.set(title=name, xlabel="length of the encoding", ylabel="test clips")
            axes.legend()

    told = "; ".join(f"{name}: {_told(facts(found))}" for name, found in runs.items())
    return Analysis(pd.DataFrame(rows), told, draw, (4.2 * len(runs), 3.4), simulated)


def _told(rows: Sequence[tuple[str, float]]) -> str:
    chosen = [(q, v) for q, v in rows if q.endswith(("mean", "least", "/ total")) or "share" in q]
    return ", ".join(f"{quantity} {value:.3g}" for quantity, value in chosen)
