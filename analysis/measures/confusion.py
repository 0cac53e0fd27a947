"""Confusion matrices of runs (Mo and Morgado, ECCV 2024, figure 3), from their evidence alone.

Zero-shot: unseen test clips over unseen classes, so that the mean of the diagonal is the ZSL accuracy. Generalised: all
test clips over all classes, at the offset of the run. Rows sum to 1; classes stand by category, then name; the scale of
colours is [0, 1] in every panel.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from avbench.analysis.analysis import SEQUENTIAL, Analysis, one_row
from avbench.harness.evaluation.accuracy import predict

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from avbench.harness.evaluation.evidence import Evidence
    from avbench.splits import SplitClass


@dataclass(frozen=True, eq=False)
class Confusion:
    """``shares`` (C, C): of the clips of a class (row), those predicted as each class (column)."""

    classes: Sequence[SplitClass]
    shares: NDArray[np.float64]


def confusion(truth: NDArray[np.int32], predicted: NDArray[np.int32], classes: Sequence[SplitClass]) -> Confusion:
    """Of class ids (N,). Classes without clips are left out of the rows' sums: theirs are 0."""
    row = {c.id: place for place, c in enumerate(classes)}
    counts = np.zeros((len(row), len(row)))
    places = [np.array([row[int(i)] for i in ids], dtype=np.intp) for ids in (truth, predicted)]
    np.add.at(counts, tuple(places), 1)
    return Confusion(classes, counts / np.maximum(counts.sum(axis=1, keepdims=True), 1))


def zero_shot(evidence: Evidence, classes: Sequence[SplitClass]) -> Confusion:
    """Unseen clips over unseen classes. ``classes``: all of the split, by id."""
    clips = ~evidence.is_seen
    return confusion(evidence.label[clips], evidence.unseen_class[clips], _ordered(classes, evidence.unseen_classes))


def generalised(evidence: Evidence, offset: float, classes: Sequence[SplitClass]) -> Confusion:
    """All clips over all classes, with the offset subtracted from seen scores; seen classes before unseen ones."""
    order = [*_ordered(classes, evidence.seen_classes), *_ordered(classes, evidence.unseen_classes)]
    return confusion(evidence.label, predict(evidence, offset), order)


def _ordered(classes: Sequence[SplitClass], ids: NDArray[np.int32]) -> list[SplitClass]:
    return sorted((classes[i] for i in ids.tolist()), key=lambda c: (c.category, c.name))


def crossing(found: Confusion, seen: int) -> tuple[float, float]:
    """Of a generalised matrix with ``seen`` seen classes first: mean share of a class's clips that go from seen to
    unseen classes, and the other way."""
    return float(found.shares[:seen, seen:].sum(1).mean()), float(found.shares[seen:, :seen].sum(1).mean())


def analyse(found: Mapping[str, Confusion], seen: int | None, simulated: bool) -> Analysis:
    """Matrices by the name of their run. ``seen``: how many seen classes come first; None: zero-shot."""
    import pandas as pd

    rows, told = [], []
    for name, one in found.items():
        names = [c.name for c in one.classes]
        rows += [
            {"run": name, "class": names[i], "predicted": names[j], "share": float(one.shares[i, j])}
            for i, j in zip(*np.nonzero(one.shares), strict=True)
        ]
        diagonal = 100 * float(np.diag(one.shares).mean())
        if seen is None:
            told.append(f"{name}: mean of the diagonal {diagonal:.2f} % (ZSL)")
        else:
            there, back = crossing(one, seen)
            told.append(f"{name}: seen to unseen {100 * there:.1f} %, unseen to seen {100 * back:.1f} %")

    def draw(figure: Figure) -> None:
        panels = one_row(figure, len(found))
        for axes, (name, one) in zip(panels, found.items(), strict=True):
            image = axes.imshow(one.shares, vmin=0, vmax=1, cmap=SEQUENTIAL, interpolation="nearest")
            axes.set(title=name, xlabel="predicted class", ylabel="true class")
            if len(one.classes) <= 20:
                names = [c.name for c in one.classes]
                axes.set_xticks(range(len(names)), names, rotation=90, fontsize="x-small")
                axes.set_yticks(range(len(names)), names, fontsize="x-small")
            if seen is not None:
                axes.axhline(seen - 0.5, color="w", linewidth=0.5)
                axes.axvline(seen - 0.5, color="w", linewidth=0.5)
        figure.colorbar(image, ax=panels, label="share of the class's clips", shrink=0.8)

    return Analysis(pd.DataFrame(rows), "; ".join(told), draw, (1 + 4.2 * len(found), 4.2), simulated)
