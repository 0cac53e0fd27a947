"""Which differences are real: intervals, tests and rank intervals over classes and seeds.

Everything speaks of one number, the one that boards show: the mean over seeds of a metric. How far it may be off is
told by :mod:`avbench.leaderboard.estimates`.

Sources: Holm (1979), A simple sequentially rejective multiple test procedure; Mogstad, Romano, Shaikh and Wilhelm
(2024), Inference for ranks (intervals from all pairs).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from avbench.leaderboard.claims import PRINTED, Metric
from avbench.leaderboard.estimates import Estimates, half_widths_by_t
from avbench.leaderboard.recalls import FEWEST_SEEDS, Doubles, Recalls

ALPHA = 0.05
"""Family-wise level of the tests of one board."""

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


@dataclass(frozen=True)
class Interval:
    """An interval at :data:`avbench.leaderboard.estimates.LEVEL`, in percent or points."""

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
    half = float(half_widths_by_t(total / len(rows) ** 2, freedom))
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
