"""Calibrated stacking over all offsets at once (Chao, Changpinyo, Gong, Sha, ECCV 2016).

Only clips whose best class on their own side is right can ever be right; their margins are the only offsets at which an
accuracy changes. One sort of them gives the whole seen-unseen curve in O(N log N), summed in float64.

Every function raises :class:`RecordError` for a class without clips, unless ``allow_empty``
(:func:`avbench.harness.evaluation.accuracy.class_weights`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache

import numpy as np

from avbench.harness.evaluation.accuracy import (
    Doubles,
    class_weights,
    exceeds,
    harmonic_mean,
    mean_class_accuracy,
    predict,
)
from avbench.harness.evaluation.evidence import Evidence

GRID: tuple[float, ...] = tuple(step / 5 for step in range(16))
"""0, 0.2, ..., 3.0: the offsets that the code of Mercea et al. (CVPR 2022) tries."""


@dataclass(frozen=True, eq=False)
class SeenUnseenCurve:
    """Accuracies in percent for every offset; entry k holds between ``thresholds[k - 1]`` and ``thresholds[k]``.

    Entry 0 holds below every threshold (all clips seen), entry K above all of them (all clips unseen).
    """

    thresholds: Doubles
    """(K,) margins at which an accuracy changes, ascending and distinct; K may be 0."""
    seen: Doubles
    """(K + 1,) mean class accuracy of the seen classes, never rising."""
    unseen: Doubles
    """(K + 1,) mean class accuracy of the unseen classes, never falling."""

    @cached_property
    def hm(self) -> Doubles:
        """(K + 1,) harmonic means, in percent."""
        return harmonic_mean(self.seen, self.unseen)


@dataclass(frozen=True)
class Offset:
    """A chosen offset: what is subtracted from every seen score, in the unit of the scores."""

    value: float
    hm: float
    """Harmonic mean in percent at this offset, on the clips that chose it."""
    interval: tuple[float, float] | None = None
    """The open interval on which ``hm`` holds; None for a grid, or where no offset gives a harmonic mean above 0."""


@dataclass(frozen=True)
class Area:
    """Area under the seen-unseen curve and the three factors whose product it is, each in percent of 1."""

    ausuc: float
    seen_accuracy: float
    """Seen clips over seen classes only."""
    unseen_accuracy: float
    """Unseen clips over unseen classes only, the ZSL accuracy."""
    auroc: float | None
    """How well the margin tells seen from unseen clips; None where there is no rightly classified clip on one side."""


@lru_cache(maxsize=4)
def curve(evidence: Evidence, *, allow_empty: bool = False) -> SeenUnseenCurve:
    """The seen-unseen curve: mean class accuracies over the joint search space for every real offset.

    The last few are kept, so that offset, area and plots of one evidence share theirs.
    """
    seen, unseen = evidence.seen_class == evidence.label, evidence.unseen_class == evidence.label
    clips = np.flatnonzero(seen | unseen)
    weights = class_weights(evidence, allow_empty=allow_empty)[evidence.class_row[clips]]
    thresholds, row = np.unique(evidence.margin[clips], return_inverse=True)
    lost, won = (
        np.bincount(row, weights=weights * right[clips], minlength=thresholds.size) for right in (seen, unseen)
    )
    # Each sum starts at the end where its accuracy is exactly 0. Rounding must not pass 100.
    correct = np.zeros((2, thresholds.size + 1))
    np.cumsum(lost[::-1], out=correct[0, -2::-1])
    np.cumsum(won, out=correct[1, 1:])
    seen_accuracy, unseen_accuracy = 100 * np.minimum(correct, 1)
    return SeenUnseenCurve(thresholds=thresholds, seen=seen_accuracy, unseen=unseen_accuracy)


def exact_offset(evidence: Evidence, *, allow_empty: bool = False) -> Offset:
    """The offset with the best harmonic mean over all real values: the midpoint of the curve's lowest best interval.

    The two end intervals have a harmonic mean of 0. Where all have, also for want of any right clip, there is nothing
    to calibrate and the offset is 0. An interval too narrow to hold a float64 number is passed over. Strictly
    increasing affine maps of the scores change no decision.
    """
    whole = curve(evidence, allow_empty=allow_empty)
    lower, upper = whole.thresholds[:-1], whole.thresholds[1:]
    middle = lower + (upper - lower) / 2
    hm = np.where((lower < middle) & (middle < upper), whole.hm[1:-1], 0)
    if not hm.any():
        return Offset(value=0.0, hm=0.0)
    best = _first_best(hm)
    return Offset(float(middle[best]), float(hm[best]), interval=(float(lower[best]), float(upper[best])))


def grid_offset(evidence: Evidence, grid: Sequence[float] = GRID, *, allow_empty: bool = False) -> Offset:
    """The smallest offset of an ascending grid with the largest harmonic mean, as under ``as-published``.

    Where a margin equals an offset the lower class id wins, as in :func:`avbench.harness.evaluation.accuracy.predict`.
    """
    whole = curve(evidence, allow_empty=allow_empty)
    entry = np.searchsorted(whole.thresholds, grid)
    hm = whole.hm[entry]
    for tied in np.flatnonzero(np.append(whole.thresholds, np.inf)[entry] == grid):
        predicted = predict(evidence, grid[int(tied)])
        hm[tied] = harmonic_mean(*mean_class_accuracy(evidence, predicted, allow_empty=allow_empty))
    best = _first_best(hm)
    return Offset(float(grid[best]), float(hm[best]))


def ausuc(evidence: Evidence, *, allow_empty: bool = False) -> Area:
    """Area under the seen-unseen curve, exact: the trapezoid rule on every step of it."""
    whole = curve(evidence, allow_empty=allow_empty)
    seen, unseen = float(whole.seen[0]), float(whole.unseen[-1])
    if seen == 0 or unseen == 0:
        return Area(ausuc=0.0, seen_accuracy=seen, unseen_accuracy=unseen, auroc=None)
    area = np.diff(whole.unseen) @ (whole.seen[1:] + whole.seen[:-1]) / 2
    auroc = min(float(area) / (seen * unseen), 1.0)
    return Area(ausuc=seen * unseen * auroc / 100, seen_accuracy=seen, unseen_accuracy=unseen, auroc=100 * auroc)


def _first_best(hm: Doubles) -> int:
    return int(np.argmin(exceeds(float(hm.max()), hm)))
