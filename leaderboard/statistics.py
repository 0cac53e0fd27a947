"""Which differences are real: intervals, tests and rank intervals over classes and seeds.

Everything speaks of one number, the one that boards show: the mean over seeds of a metric. It would be another number
on other classes of the same kind, and with other seeds. So a draw takes as many classes anew, seen and unseen apart and
the same ones for all rows (classes are hard for every method), and as many of each row's seeds. What a statement rests
on is the studentised deviation of the draws from the data: (number of the draw - number of the data) / its standard
error in the draw. With nine unseen classes this widens intervals where a plain bootstrap is too sure.

The choice was made by simulation, see ``benchmarks/statistics.py``. Everything is drawn from fixed seeds: the same
records give the same bytes.

Sources: Efron and Tibshirani (1993), An Introduction to the Bootstrap, section 12.5 (bootstrap-t); Romano and Wolf
(2016), Efficient computation of adjusted p-values for resampling-based stepdown multiple testing; Mogstad, Romano,
Shaikh and Wilhelm (2024), Inference for Ranks (rank intervals from all pairs); Owen (2007), The pigeonhole bootstrap
(two crossed factors are resampled independently).
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache

import numpy as np
from numpy.typing import NDArray

from avbench.harness.evaluation.accuracy import class_recall, harmonic_mean, predict
from avbench.harness.evaluation.evidence import Evidence
from avbench.leaderboard.claims import PRINTED, Metric

Doubles = NDArray[np.float64]
Places = NDArray[np.intp]

LEVEL = 0.95
"""Of intervals."""
ALPHA = 0.05
"""Family-wise level of the tests of one board."""
FEWEST_SEEDS = 3
"""A row with fewer cannot be told apart from anything: what the seeds contribute is not known."""
DRAWS = 1_999
SEED = 20_220_308

_CELLS = 2**22
"""Draws times pairs that are held at once."""
_ROUNDING = 1e-9
"""Points below which a difference is rounding."""
_SIDES: Mapping[Metric, tuple[str, ...]] = {
    "S": ("seen",),
    "U": ("unseen",),
    "HM": ("seen", "unseen"),
    "ZSL": ("zero_shot",),
}

TEST_IN_WORDS = (
    "What is compared is what is shown: the mean over seeds of HM. All pairs of rows are tested by a studentised "
    "bootstrap that draws classes anew, seen and unseen apart and the same for all rows, and the seeds of each row; "
    f"{DRAWS:,} draws. The p-values are corrected for all pairs of the board (step-down of Romano and Wolf), so that "
    "a wrong difference is found anywhere on a board with a chance of 5 %. The rank of a row is an interval: from one "
    "more than the number of rows that are found better to the number of rows that are not found worse. A row with "
    f"fewer than {FEWEST_SEEDS} seeds cannot be told apart from any other."
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
        counted = table.class_clips > 0
        seen, unseen = counted & table.class_is_seen, counted & ~table.class_is_seen
        return cls(joint[None, seen], joint[None, unseen], alone[None, unseen])

    @classmethod
    def together(cls, runs: Sequence[Recalls]) -> Recalls:
        """Of all runs of a row. They are on the same clips."""
        sides = ([getattr(run, side) for run in runs] for side in ("seen", "unseen", "zero_shot"))
        return cls(*map(np.concatenate, sides))

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

    The bootstrap-t interval is symmetric on the scale of log-odds, so it stays between 0 and 100.
    """
    if not recalls.enough:
        return {}
    return {metric: interval(Redrawn.of([recalls], metric), 0) for metric in PRINTED}


def compare(first: Recalls, second: Recalls) -> Mapping[Metric, Difference]:
    """What changes from the first row to the second. Both are on the same classes; each metric is tested by itself.

    Raises ``ValueError`` for rows on different numbers of classes.
    """
    enough = first.enough and second.enough
    redrawn = {metric: Redrawn.of([first, second], metric, DRAWS if enough else 0) for metric in PRINTED}
    if enough:
        return {metric: difference(found, 0, 1) for metric, found in redrawn.items()}
    return {metric: Difference(float(r.value[0, 1] - r.value[0, 0]), None, None) for metric, r in redrawn.items()}


def standings(rows: Sequence[Recalls]) -> list[Standing]:
    """Rank intervals by HM (see :data:`TEST_IN_WORDS`), in the order of the rows, whatever it is.

    All rows are on the same classes; ``ValueError`` where their numbers differ.
    """
    tested = [place for place, row in enumerate(rows) if row.enough]
    better = np.zeros((len(rows), len(rows)), bool)
    """better[i, j]: row i is found better than row j."""
    p = np.full((len(rows), len(rows)), np.nan)
    if len(tested) > 1:
        redrawn = Redrawn.of([rows[place] for place in tested], "HM")
        first, second = np.triu_indices(len(tested), 1)
        corrected = step_down(redrawn, first, second)
        points = redrawn.value[0, first] - redrawn.value[0, second]
        i, j = (np.array(tested)[side] for side in (first, second))
        p[i, j] = p[j, i] = corrected
        better[i, j], better[j, i] = ((corrected < ALPHA) & (sign * points > 0) for sign in (1, -1))
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
class Redrawn:
    """A metric of K rows in D draws of classes and seeds. Draw 0 is the data as it is.

    Squared standard errors add what classes and what seeds contribute. Noise of a class in a single run is in both and
    counted twice: a little too careful, but always positive (Owen 2007).
    """

    value: Doubles
    """(D, K) the mean over seeds."""
    seeds: Doubles
    """(D, K) squared standard error that the seeds contribute."""
    slopes: tuple[Doubles, ...]
    """Per side, (D, K): how much the value moves with the mean recall of that side."""
    recalls: tuple[Doubles, ...]
    """Per side, (K, classes): means over seeds of the data, less their mean over classes."""
    shares: tuple[Doubles, ...]
    """Per side, (D, classes): the share of each class in a draw."""

    @classmethod
    def of(cls, rows: Sequence[Recalls], metric: Metric, draws: int = DRAWS) -> Redrawn:
        """``draws`` draws beside the data. Raises ``ValueError`` for rows on different numbers of classes."""
        if len({row.classes for row in rows}) > 1:
            raise ValueError("the rows are on different classes")
        sides = _SIDES[metric]
        shares = tuple(_shares(getattr(rows[0], side).shape[1], draws, side == "seen") for side in sides)
        found = [_redraw([getattr(row, side) for side in sides], shares) for row in rows]
        value, seeds, *slopes = (np.stack(part, axis=1) for part in zip(*found, strict=True))
        means = [np.stack([getattr(row, side).mean(axis=0) for row in rows]) for side in sides]
        recalls = tuple(mean - mean.mean(axis=1, keepdims=True) for mean in means)
        return cls(value, seeds, tuple(slopes), recalls, shares)

    @cached_property
    def errors(self) -> Doubles:
        """(D, K) squared standard errors of the rows."""
        total = self.seeds.copy()
        for shares, recalls, slopes in zip(self.shares, self.recalls, self.slopes, strict=True):
            total += slopes**2 * (shares @ (recalls**2).T - (shares @ recalls.T) ** 2) / (recalls.shape[1] - 1)
        return total

    def pairs(self, first: Places, second: Places, part: slice) -> tuple[Doubles, Doubles]:
        """(d, P) differences, second row minus first, and their squared standard errors, in a part of the draws."""
        points = self.value[part, second] - self.value[part, first]
        own = self.errors[part]
        variance = own[:, first] + own[:, second]
        for shares, recalls, slopes in zip(self.shares, self.recalls, self.slopes, strict=True):
            mean = shares[part] @ recalls.T
            common = shares[part] @ (recalls[first] * recalls[second]).T - mean[:, first] * mean[:, second]
            variance -= 2 * slopes[part, first] * slopes[part, second] * common / (recalls.shape[1] - 1)
        return points, variance


def step_down(redrawn: Redrawn, first: Places, second: Places) -> Doubles:
    """(P,) two-sided p-values of pairs of rows, corrected for all of them (Romano and Wolf 2016, algorithm 4.2)."""
    points, variance = redrawn.pairs(first, second, slice(0, 1))
    observed = _ratios(points, variance)[0]
    order = np.argsort(observed, kind="stable")
    reached = np.zeros(len(first))
    step = max(1, _CELLS // len(first))
    for start in range(1, len(redrawn.value), step):
        drawn, variance = redrawn.pairs(first, second, slice(start, start + step))
        largest = np.maximum.accumulate(_ratios(drawn - points, variance)[:, order], axis=1)
        reached += (largest >= observed[order]).sum(axis=0)
    corrected = np.empty(len(first))
    corrected[order[::-1]] = np.maximum.accumulate((1 + reached[::-1]) / len(redrawn.value))
    return corrected


def difference(redrawn: Redrawn, first: int, second: int) -> Difference:
    """Of the second row to the first; both have seeds enough."""
    points, variance = (part[:, 0] for part in redrawn.pairs(np.array([first]), np.array([second]), slice(None)))
    drawn = _ratios(points[1:] - points[0], variance[1:])
    p = (1 + int((drawn >= _ratios(points[:1], variance[:1])).sum())) / len(points)
    half = _half_width(drawn, variance[0])
    return Difference(float(points[0]), Interval(max(points[0] - half, -100.0), min(points[0] + half, 100.0)), p)


def interval(redrawn: Redrawn, row: int) -> Interval:
    """Of one row with seeds enough, symmetric in log-odds."""
    from scipy.special import expit, logit

    value, variance = redrawn.value[:, row] / 100, redrawn.errors[:, row]
    if value[0] <= 0 or value[0] >= 1:
        return Interval(float(100 * value[0]), float(100 * value[0]))
    inside = (value > 0) & (value < 1)
    # A draw at an end says nothing about how far away the truth may be.
    odds = logit(np.where(inside, value, 0.5))
    variance = variance / (100 * np.where(inside, value * (1 - value), 1)) ** 2
    drawn = np.where(inside, _ratios(odds - odds[0], variance), np.inf)[1:]
    half = _half_width(drawn, variance[0])
    return Interval(float(100 * expit(odds[0] - half)), float(100 * expit(odds[0] + half)))


def _half_width(drawn: Doubles, variance: float) -> float:
    """Of an interval: what an observed ratio must exceed so that its p is below 1 - LEVEL, times the standard error."""
    if variance <= 0:
        return 0.0
    most = math.ceil((1 - LEVEL) * (1 + len(drawn)) - 1e-9) - 1  # p = (1 + ratios drawn that reach it) / (1 + all)
    return float(np.sort(drawn)[-most]) * math.sqrt(variance)


def _ratios(points: Doubles, variance: Doubles) -> Doubles:
    """Absolute points over standard errors. Rounding is no difference; one without any variance is infinite."""
    size = np.where(np.abs(points) < _ROUNDING, 0.0, np.abs(points))
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where(size > 0, size / np.sqrt(np.maximum(variance, 0)), 0.0)


def _redraw(sides: Sequence[Doubles], shares: Sequence[Doubles]) -> tuple[Doubles, ...]:
    """Of one row with (R, classes) recalls per side: value, squared standard error from seeds, slopes; each (D,)."""
    runs = len(sides[0])
    counts = _seeds(sides, len(shares[0]))
    values, slopes = _metric([share @ side.T for share, side in zip(shares, sides, strict=True)])
    value = (counts * values).sum(axis=1) / runs
    error = (counts * (values - value[:, None]) ** 2).sum(axis=1) / (runs * max(runs - 1, 1))
    return value, error, *((counts * slope).sum(axis=1) / runs for slope in slopes)


def _metric(accuracies: Sequence[Doubles]) -> tuple[Doubles, list[Doubles]]:
    """The metric from mean accuracies of one or two sides, and its slopes in them."""
    if len(accuracies) == 1:
        return accuracies[0], [np.ones_like(accuracies[0])]
    s, u = accuracies
    total = np.where(s + u > 0, s + u, 1)
    # At 0, where the harmonic mean has no slope, that along s = u.
    shares = [np.where(s + u > 0, other / total, 0.5) for other in (u, s)]
    return harmonic_mean(s, u), [2 * share**2 for share in shares]


@lru_cache(maxsize=16)
def _shares(classes: int, draws: int, seen: bool) -> Doubles:
    """(1 + draws, classes) share of each class in the data and in draws of as many classes with replacement."""
    random = np.random.default_rng([SEED, classes, seen])
    drawn = random.multinomial(classes, np.full(classes, 1 / classes), draws)
    return np.concatenate([np.ones((1, classes)), drawn]) / classes


def _seeds(sides: Sequence[Doubles], size: int) -> NDArray[np.int64]:
    """(size, R) how often each seed of a row is in the data, once, and in the draws.

    The draws follow from the row's own recalls, so that they are the same on every board and in either order.
    """
    content = hashlib.sha256(b"".join(np.ascontiguousarray(side).tobytes() for side in sides)).digest()
    random = np.random.default_rng([SEED, *content])
    runs = len(sides[0])
    drawn = random.multinomial(runs, np.full(runs, 1 / runs), size - 1)
    return np.concatenate([np.ones((1, runs), np.int64), drawn])
