"""Which differences are real: intervals, tests and rank intervals over classes and seeds.

Everything speaks of one number, the one that boards show: the mean over seeds of a metric. It would be another number
on other classes of the same kind, and with other seeds. Its squared standard error is the sum of what the classes
contribute, seen and unseen apart, and what the seeds contribute:

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
of estimates of variance components; Holm (1979), A simple sequentially rejective multiple test procedure; Mogstad,
Romano, Shaikh and Wilhelm (2024), Inference for ranks (intervals from all pairs); Owen (2007), The pigeonhole bootstrap
(contributions of two crossed factors add up to a careful variance); Hanley and Lippman-Hand (1983), If nothing goes
wrong, is everything all right? (the rule of three).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from avbench.harness.evaluation.accuracy import class_recall, harmonic_mean, predict
from avbench.harness.evaluation.evidence import Evidence
from avbench.leaderboard.claims import PRINTED, Metric

Doubles = NDArray[np.float64]

LEVEL = 0.95
"""Of intervals."""
ALPHA = 0.05
"""Family-wise level of the tests of one board."""
FEWEST_SEEDS = 3
"""A row with fewer cannot be told apart from anything: what the seeds contribute is not known."""

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

TEST_IN_WORDS = (
    "What is compared is what is shown: the mean over seeds of HM. The standard error of a difference covers other "
    "classes of the same kind (jackknife, seen and unseen classes apart, paired by class) and other seeds. All pairs "
    "of rows are tested by t, with at most as many degrees of freedom as there are unseen classes less one, and the "
    "p-values are corrected for all pairs of the board (Holm), so that a wrong difference is found anywhere on a board "
    "with a chance of at most 5 %. Where no class differs from another the standard error would be 0: intervals and "
    "p-values then come from the rule of three for so many classes. The rank of a row is an interval: from one more "
    "than the number of rows that are found better to the number of rows that are not found worse. A row with fewer "
    f"than {FEWEST_SEEDS} seeds cannot be told apart from any other."
)
"""What the tests do, for readers."""


@dataclass(frozen=True, eq=False)
class Recalls:
    """Recall per run and class, in percent. Classes without clips are left out.

    ``seen``: (R, S) of the seen classes; ``unseen``: (R, U) of the unseen ones, both over the joint search space with
    the run's offset; ``zero_shot``: (R, U) over the unseen classes only.
    """

    seen: Doubles
    unseen: Doubles
    zero_shot: Doubles

    @classmethod
    def of(cls, table: Evidence, offset: float) -> Recalls:
        """Of one run, from its test evidence and offset."""
        joint = 100 * class_recall(table, predict(table, offset))
        alone = 100 * class_recall(table, table.unseen_class)
        seen, unseen = table.filled_sides
        return cls(joint[None, seen], joint[None, unseen], alone[None, unseen])

    @classmethod
    def together(cls, runs: Sequence[Recalls]) -> Recalls:
        """Of all runs of a row. They are on the same clips."""
        sides = ([getattr(run, side) for run in runs] for side in ("seen", "unseen", "zero_shot"))
        return cls(*map(np.concatenate, sides))

    @classmethod
    def of_nothing(cls) -> Recalls:
        """Of no run: nothing can be said."""
        return cls(*np.zeros((3, 0, 0)))

    @property
    def classes(self) -> tuple[int, int, int]:
        """Their numbers on the three sides."""
        return self.seen.shape[1], self.unseen.shape[1], self.zero_shot.shape[1]

    @property
    def seeds(self) -> int:
        """Number of runs, R."""
        return len(self.seen)

    @property
    def enough(self) -> bool:
        """There are seeds, and classes of each kind, enough to say anything."""
        return self.seeds >= FEWEST_SEEDS and min(self.classes) > 1


@dataclass(frozen=True)
class Interval:
    """An interval at :data:`LEVEL`, in percent or points."""

    low: float
    high: float


@dataclass(frozen=True)
class Difference:
    """Second row minus first, in points. ``p``: two-sided, for this comparison alone; the interval excludes 0 exactly
    where it is below 0.05. Both are None where a row has fewer than :data:`FEWEST_SEEDS` seeds.
    """

    points: float
    interval: Interval | None
    p: float | None


@dataclass(frozen=True)
class Standing:
    """Ranks that a row may have among all rows of its board."""

    best: int
    worst: int
    p: float | None
    """Largest corrected p-value against any other row: how surely the row is apart from all of them. None for the only
    row and where a row of the board has too few seeds to be tested."""
    enough: bool
    """The row has seeds enough to be told apart from others."""

    @property
    def alone(self) -> bool:
        """The row is told apart from all others."""
        return self.best == self.worst

    def __str__(self) -> str:
        """Such as ``2`` or ``1–3``."""
        return str(self.best) if self.alone else f"{self.best}\N{EN DASH}{self.worst}"


def intervals(recalls: Recalls) -> Mapping[Metric, Interval]:
    """Of S, U, HM and ZSL, around their means over seeds; empty with fewer than :data:`FEWEST_SEEDS` seeds.

    The interval is symmetric on the scale of log-odds, so it stays between 0 and 100; where the classes are all alike
    it is symmetric in percent, and cut there.
    """
    if not recalls.enough:
        return {}
    return {metric: interval(Estimates.of([recalls], metric), 0) for metric in PRINTED}


def average_interval(rows: Sequence[Recalls], metric: Metric) -> Interval | None:
    """Of the mean over data sets of one row on each; None where one of them has too few seeds.

    Data sets share neither classes nor seeds, so squared standard errors add up; degrees of freedom by Satterthwaite.
    """
    if not all(row.enough for row in rows):
        return None
    estimates = [Estimates.of([row], metric) for row in rows]
    errors = [estimate.rows() for estimate in estimates]
    variances, degrees = (np.array([getattr(error, part)[0] for error in errors]) for part in ("variance", "degrees"))
    value = float(np.mean([e.value[0] for e in estimates]))
    total = variances.sum()
    freedom = total**2 / np.sum(variances**2 / degrees) if total > 0 else degrees.min()
    half = float(_half_widths(total / len(rows) ** 2, freedom))
    alike = [error.most for error in errors if error.alike[0]]
    return _around(value, half + sum(alike) / len(rows), bool(alike))


def compare(first: Recalls, second: Recalls) -> Mapping[Metric, Difference]:
    """What changes from the first row to the second. Both are on the same classes; each metric is tested by itself.

    Raises ``ValueError`` for rows on different numbers of classes.
    """
    found = {}
    for metric in PRINTED:
        estimates = Estimates.of([first, second], metric)
        if first.enough and second.enough:
            found[metric] = difference(estimates, 0, 1)
        else:
            found[metric] = Difference(float(estimates.value[1] - estimates.value[0]), None, None)
    return found


def standings(rows: Sequence[Recalls]) -> list[Standing]:
    """Rank intervals by HM (see :data:`TEST_IN_WORDS`), in the order of the rows, whatever it is.

    All rows are on the same classes; ``ValueError`` where their numbers differ.
    """
    tested = [place for place, row in enumerate(rows) if row.enough]
    p = np.full((len(rows), len(rows)), np.nan)
    better = np.zeros(p.shape, bool)
    """better[i, j]: row i is found better than row j."""
    if len(tested) > 1:
        estimates = Estimates.of([rows[place] for place in tested], "HM")
        inner = np.ix_(tested, tested)
        p[inner] = corrected(estimates.p_values())
        better[inner] = (p[inner] < ALPHA) & (estimates.value[:, None] > estimates.value[None, :])
    np.fill_diagonal(p, 0)
    return [
        Standing(
            best=1 + int(better[:, place].sum()),
            worst=len(rows) - int(better[place].sum()),
            p=None if len(rows) == 1 or np.isnan(p[place]).any() else float(p[place].max()),
            enough=row.enough,
        )
        for place, row in enumerate(rows)
    ]


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
        widths = _half_widths(self.variance, self.degrees)
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


def difference(estimates: Estimates, first: int, second: int) -> Difference:
    """Of the second row to the first; both have seeds enough."""
    points = float(estimates.value[second] - estimates.value[first])
    half = float(estimates.pairs().half_widths()[first, second])
    return Difference(points, Interval(points - half, points + half), float(estimates.p_values()[first, second]))


def interval(estimates: Estimates, row: int) -> Interval:
    """Of one row with seeds enough, see :func:`intervals`."""
    errors = estimates.rows()
    return _around(float(estimates.value[row]), float(errors.half_widths()[row]), bool(errors.alike[row]))


def _around(value: float, half: float, alike: bool) -> Interval:
    """Around a value in percent, with this half width there."""
    from scipy.special import expit, logit

    if alike:
        return Interval(max(value - half, 0.0), min(value + half, 100.0))
    share = value / 100
    low, high = 100 * expit(logit(share) + half / (100 * share * (1 - share)) * np.array([-1, 1]))
    return Interval(float(low), float(high))


def corrected(p_values: Doubles) -> Doubles:
    """(K, K) p-values of all pairs of rows, corrected for their number by Holm's step-down (1979)."""
    # Not statsmodels.stats.multitest: it collects garbage at each call, which takes longer than the whole board.
    first, second = np.triu_indices(len(p_values), 1)
    order = np.argsort(p_values[first, second], kind="stable")
    first, second = first[order], second[order]
    found = np.ones_like(p_values)
    stepped = np.maximum.accumulate(np.arange(len(order), 0, -1) * p_values[first, second])
    found[first, second] = found[second, first] = np.minimum(stepped, 1)
    return found


def _half_widths(variance: Doubles, degrees: Doubles) -> Doubles:
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
