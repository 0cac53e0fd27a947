"""t-SNE panels of clips and classes (van der Maaten and Hinton, JMLR 2008). Needs scikit-learn.

Papers of the field give no settings: exact vectors of the test clips, perplexity 30, PCA start, learning rate "auto",
1000 iterations, Euclidean, at most 100 clips a class, the same ones in every panel. Clips and classes are laid out
together where classes are drawn. A layout proves nothing, so each panel has a number beside it: the silhouette of the
true classes in the original space.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from avbench.analysis.analysis import COLOURS, Analysis, one_row
from avbench.analysis.subject import Subject
from avbench.harness.errors import UsageError

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from avbench.splits import SplitClass

PERPLEXITY = 30.0
ITERATIONS = 1000
Points = NDArray[np.float32]


@dataclass(frozen=True, eq=False)
class Panel:
    """Points to lay out: clips (n, F), and classes (C, F) or none."""

    title: str
    clips: Points
    classes: Points | None = None


@dataclass(frozen=True)
class Settings:
    """How points are laid out."""

    perplexity: float = PERPLEXITY
    iterations: int = ITERATIONS
    seed: int = 0

    def require_enough(self, points: int) -> None:
        """Raise :class:`UsageError` for too few points."""
        if points <= self.perplexity:
            raise UsageError(
                f"t-SNE with perplexity {self.perplexity:g} needs more than {self.perplexity:g} points and these "
                f"classes have {points} test clips: name more with --class, or lower --perplexity"
            )

    def layout(self, points: Points) -> NDArray[np.float32]:
        """(n, 2) of points (n, F). One thread: the order of sums in several would change the picture."""
        from sklearn.manifold import TSNE
        from threadpoolctl import threadpool_limits

        self.require_enough(len(points))
        with threadpool_limits(limits=1):
            placed: NDArray[np.float32] = TSNE(
                2,
                perplexity=self.perplexity,
                init="pca",
                learning_rate="auto",
                max_iter=self.iterations,
                metric="euclidean",
                random_state=self.seed,
            ).fit_transform(points)
        return placed


def silhouette(points: Points, labels: NDArray[np.int32]) -> float:
    """Mean silhouette (Rousseeuw 1987) of the true classes, in [-1, 1]: how well they stand apart."""
    from sklearn.metrics import silhouette_score

    return float(silhouette_score(points, labels))


def chosen_clips(labels: NDArray[np.int32], classes: Sequence[SplitClass], most: int, seed: int) -> NDArray[np.intp]:
    """Rows of at most ``most`` clips of each class, drawn without replacement, ascending."""
    random = np.random.default_rng(seed)
    rows = [random.permutation(np.flatnonzero(labels == c.id))[:most] for c in classes]
    return np.sort(np.concatenate(rows))


def analyse(
    subject: Subject, panels: Sequence[Panel], classes: Sequence[SplitClass], labels: NDArray[np.int32], how: Settings
) -> Analysis:
    """Panels over the same clips with class ids ``labels`` (n,). Raises :class:`UsageError` for too few points."""
    import pandas as pd

    if len(classes) < 2:
        raise UsageError("t-SNE panels compare two classes or more: name them with --class, or take --figure")
    how.require_enough(len(labels))
    names = {c.id: c.name for c in classes}
    unseen = {c.id for c in subject.stage.unseen}
    rows, placed, silhouettes = [], [], []
    for panel in panels:
        both = panel.clips if panel.classes is None else np.concatenate([panel.clips, panel.classes])
        points = how.layout(both)
        placed.append(points)
        silhouettes.append(silhouette(panel.clips, labels))
        ids = [*labels.tolist(), *([c.id for c in classes] if panel.classes is not None else [])]
        rows += [
            {
                "panel": panel.title,
                "kind": "clip" if index < len(labels) else "class",
                "class": names[i],
                "side": "unseen" if i in unseen else "seen",
                "x": float(x),
                "y": float(y),
            }
            for index, (i, (x, y)) in enumerate(zip(ids, points, strict=True))
        ]

    def draw(figure: Figure) -> None:
        for axes, panel, points, value in zip(one_row(figure, len(panels)), panels, placed, silhouettes, strict=True):
            of_clips, of_classes = points[: len(labels)], points[len(labels) :]
            for row, c in enumerate(classes):
                colour = COLOURS[row % len(COLOURS)]
                own = of_clips[labels == c.id]
                marker = "^" if c.id in unseen else "o"
                axes.scatter(own[:, 0], own[:, 1], s=9, color=colour, marker=marker, label=c.name, linewidths=0)
                if panel.classes is not None:
                    axes.scatter(of_classes[row, 0], of_classes[row, 1], s=70, color=colour, marker="x", linewidths=2)
            axes.set(xticks=[], yticks=[], title=f"{panel.title}\nsilhouette {value:.3f}")
        handles, texts = axes.get_legend_handles_labels()
        figure.legend(handles, texts, loc="outside lower center", ncols=min(5, len(classes)), markerscale=2)

    shown = ", ".join(f"{panel.title} {value:.3f}" for panel, value in zip(panels, silhouettes, strict=True))
    line = f"{len(labels)} clips of {len(classes)} classes; silhouette in the original space: {shown}"
    return Analysis(pd.DataFrame(rows), line, draw, (3.2 * len(panels), 3.8), subject.simulated)
