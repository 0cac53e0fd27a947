"""How far the mean over seeds of a metric may be off, and the difference of two such means.

It would be another number on other classes of the same kind, and with other seeds. Its squared standard error is the
sum of what the classes contribute, seen and unseen apart, and what the seeds contribute:

- classes by the jackknife: a class is left out, of all seeds, and the number taken anew. Two rows are on the same
  classes, so their difference is taken class by class: what makes a class hard for both does not count;
- seeds by their variance.

Noise of a class in a single run is in both: a little too careful. The ratio to the standard error is referred to t with
Satterthwaite's degrees of freedom, but at most those of the fewest classes: with nine unseen classes the standard error
is itself uncertain. The choice was made by simulation, see ``benchmarks/statistics.py``.

Where all classes say the same (U is 0 for every class; two rows differ by a constant) they contribute nothing to the
standard error, which says only that the classes at hand are alike, not that all of the kind are. There the rule of
three holds instead, see :class:`Errors`. Seeds that agree are taken at their word: methods may be deterministic.

Sources: Efron and Stein (1981), The jackknife estimate of variance; Satterthwaite (1946), An approximate distribution
of estimates of variance components; Owen (2007), The pigeonhole bootstrap (contributions of two crossed factors add up
to a careful variance); Hanley and Lippman-Hand (1983), If nothing goes wrong, is everything all right? (the rule of
three).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from avbench.harness.evaluation.accuracy import harmonic_mean
from avbench.leaderboard.claims import Metric
from avbench.leaderboard.recalls import Doubles, Recalls

LEVEL = 0.95
"""Of intervals."""

_ROUNDING = 1e-9
"""Points below which a difference is rounding."""
_ALIKE = 1e-6
"""Points of standard error from classes below which they are alike: a clip in a class is thousands of times as much."""
_SIDES: Mapping[Metric, tuple[str, ...]] = {
    "S": ("seen",),
    "U": ("unseen",),
    "HM": ("seen", "unseen"),
    "ZSL": ("zero_shot",),
}


@dataclass(frozen=True, eq=False)
class Estimates:
    """A metric of K rows on the same classes, with the squared standard errors of all differences."""

    value: Doubles
    """(K,) the mean over seeds."""
    seeds: Doubles
    """(K,) the part of the seeds in the squared standard error of each row; 0 for a single seed."""
    runs: Doubles
    """(K,) numbers of seeds."""
    classes: tuple[Doubles, ...]
    """Per side, (K, K): the part of its classes in the covariance of the rows."""
    degrees: tuple[int, ...]
    """Per side, its classes less one."""

    @classmethod
    def of(cls, rows: Sequence[Recalls], metric: Metric) -> Estimates:
        """Raises ``ValueError`` for rows on different numbers of classes."""
        if len({row.classes for row in rows}) > 1:
            raise ValueError("the rows are on different classes")
        values = [_metric(metric, [side.mean(axis=1) for side in _sides(row, metric)]) for row in rows]
        spread = [found.var(ddof=1) / len(found) if len(found) > 1 else 0.0 for found in values]
        influences = [np.stack(side) for side in zip(*(_influences(row, metric) for row in rows), strict=True)]
        degrees = tuple(side.shape[1] - 1 for side in influences)
        return cls(
            value=np.array([found.mean() for found in values]),
            seeds=np.array(spread),
            runs=np.array([len(found) for found in values], np.float64),
            classes=tuple(
                side @ side.T / max(number * (number + 1), 1) for side, number in zip(influences, degrees, strict=True)
            ),
            degrees=degrees,
        )

    def rows(self) -> Errors:
        """(K,) of the rows."""
        return self._errors([np.diagonal(side) for side in self.classes], [self.seeds], [self.runs])

    def pairs(self) -> Errors:
        """(K, K) of the differences of rows."""
        own = [np.diagonal(side) for side in self.classes]
        classes = [
            np.maximum(variance[:, None] + variance[None, :] - 2 * side, 0)
            for variance, side in zip(own, self.classes, strict=True)
        ]
        shape = self.classes[0].shape
        seeds, runs = ([np.broadcast_to(x[:, None], shape), np.broadcast_to(x, shape)] for x in (self.seeds, self.runs))
        return self._errors(classes, seeds, runs)

    def p_values(self) -> Doubles:
        """(K, K) two-sided p-values of the differences of rows, each by itself."""
        points = np.abs(self.value[:, None] - self.value[None, :])
        return np.where(points < _ROUNDING, 1.0, self.pairs().p_values(points))

    def _errors(self, classes: Sequence[Doubles], seeds: Sequence[Doubles], runs: Sequence[Doubles]) -> Errors:
        freedom = [*(np.asarray(number, np.float64) for number in self.degrees), *(number - 1 for number in runs)]
        parts = list(zip([*classes, *seeds], freedom, strict=True))
        variance = np.sum([part for part, _ in parts], axis=0)
        spread = np.sum([part**2 / np.maximum(number, 1) for part, number in parts], axis=0)
        degrees = np.clip(variance**2 / np.where(spread > 0, spread, 1), 1, min(self.degrees))
        alike = np.sum(classes, axis=0) < _ALIKE**2
        return Errors(variance, degrees, alike, min(self.degrees) + 1, len(self.degrees), len(seeds))


@dataclass(frozen=True, eq=False)
class Errors:
    """How far values may be off: values of rows (K,), or differences of two rows each (K, K).

    Where the n classes of a side are all alike, the rule of three: a share q of the classes of the kind is otherwise
    with a chance of (1 - q)^n of not having been seen. They would change S, U or ZSL by at most 100 q points, and HM by
    at most twice as much, its slopes in S and U being at most 2 together. For HM, which has two sides, the chance is
    doubled, and n is that of the fewer classes. A difference may change by both of its rows.
    """

    variance: Doubles
    """Squared standard errors."""
    degrees: Doubles
    alike: NDArray[np.bool_]
    """Classes contribute nothing."""
    classes: int
    """Of the side with the fewest."""
    sides: int
    rows: int
    """One, or two for differences."""

    @property
    def most(self) -> float:
        """Points that the classes which were not seen may change, at :data:`LEVEL`, where those seen are alike."""
        share = 1 - min((1 - LEVEL) / self.sides, 1) ** (1 / self.classes)
        return self._reach * float(share)

    def half_widths(self) -> Doubles:
        """Of intervals at :data:`LEVEL`."""
        widths = half_widths_by_t(self.variance, self.degrees)
        return np.where(self.alike, np.maximum(widths, self.most), widths)

    def p_values(self, points: Doubles) -> Doubles:
        """Two-sided, of values so far from 0; below 0.05 exactly where they are farther than :meth:`half_widths`."""
        from scipy.special import stdtr  # not scipy.stats: its import takes longer than a whole board

        with np.errstate(divide="ignore", invalid="ignore"):
            found: Doubles = 2 * stdtr(self.degrees, -points / np.sqrt(self.variance))
        chance = self.sides * np.maximum(1 - points / self._reach, 0) ** self.classes
        return np.where(self.alike, np.fmax(found, np.minimum(chance, 1)), found)

    @property
    def _reach(self) -> float:
        return 100.0 * self.sides * self.rows


def half_widths_by_t(variance: Doubles, degrees: Doubles) -> Doubles:
    """Of intervals at :data:`LEVEL`, from squared standard errors and their degrees of freedom."""
    from scipy.special import stdtrit

    widths: Doubles = stdtrit(degrees, (1 + LEVEL) / 2) * np.sqrt(variance)
    return widths


def _sides(row: Recalls, metric: Metric) -> list[Doubles]:
    return [getattr(row, side) for side in _SIDES[metric]]


def _metric(metric: Metric, accuracies: Sequence[Doubles]) -> Doubles:
    return harmonic_mean(accuracies[0], accuracies[1]) if metric == "HM" else accuracies[0]


def _influences(row: Recalls, metric: Metric) -> list[Doubles]:
    """Per side, (classes,): what each class adds to the mean over seeds, by leaving it out; 0 for a single class."""
    sides = _sides(row, metric)
    means = [side.mean(axis=1, keepdims=True) for side in sides]
    found = []
    for place, side in enumerate(sides):
        rest = side.shape[1] - 1
        without = (side.sum(axis=1, keepdims=True) - side) / max(rest, 1)
        accuracies = [without if other == place else mean + 0 * side for other, mean in enumerate(means)]
        values = _metric(metric, accuracies).mean(axis=0)
        found.append(rest * (values.mean() - values))
    return found
