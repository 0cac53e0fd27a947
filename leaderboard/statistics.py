"""Which differences are real: intervals and tests over classes.

The unit is the class, not the clip: clips of one class rise and fall together, and the metrics weigh classes equally.
So intervals come from drawing classes anew, and tests from swapping the classes of two rows. Both speak of the runs at
hand on other classes of the same kind; how much a method varies from seed to seed is the deviation over seeds.

Everything is drawn from a fixed seed: the same records give the same bytes.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import pairwise

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
DRAWS = 9_999
"""Fewest draws of a test; 2,000 of them make an interval."""
INTERVAL_DRAWS = 2_000
_CHUNK = 64
SEED = 20_220_308

TEST_IN_WORDS = (
    "Neighbouring rows are compared by a paired permutation test over classes: for every class, seen and unseen, a "
    "coin decides whether the two rows swap their recalls (means over seeds), and HM is computed anew for both; p is "
    "the share of at least 9,999 such draws whose HM difference is at least as large as the one observed. The p-values "
    "of a board are Holm-corrected. A row shares the rank of the row above unless their corrected p is below 0.05, or "
    "the same test (Bonferroni-corrected) tells it from the first row of that rank."
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
    def mean(self) -> Recalls:
        """The mean over runs, as one run."""
        return Recalls(*(part.mean(axis=0, keepdims=True) for part in (self.seen, self.unseen, self.zero_shot)))


@dataclass(frozen=True)
class Interval:
    """A percentile interval at :data:`LEVEL`, in percent or points."""

    low: float
    high: float


@dataclass(frozen=True)
class Difference:
    """Second row minus first, in points, with its interval and the p-value of the permutation test (uncorrected)."""

    points: float
    interval: Interval
    p: float


@dataclass(frozen=True)
class Standing:
    """A row's place on its board. Rows that cannot be told apart share a rank."""

    rank: int
    p_above: float | None
    """Holm-corrected p-value of the test against the row above; None for the first row."""


def intervals(recalls: Recalls) -> Mapping[Metric, Interval]:
    """Bootstrap intervals clustered by class: classes are drawn anew, seen and unseen apart, with all their clips.

    The value in the middle is the mean over runs of S, U, HM and ZSL.
    """
    return {metric: _percentiles(values) for metric, values in _redrawn(recalls).items()}


def compare(first: Recalls, second: Recalls) -> Mapping[Metric, Difference]:
    """What changes from the first row to the second. Both are on the same classes; each metric is tested by itself.

    Raises ``ValueError`` for rows on different numbers of classes.
    """
    if first.seen.shape[1] != second.seen.shape[1] or first.unseen.shape[1] != second.unseen.shape[1]:
        raise ValueError("the rows are on different classes")
    draws = (_redrawn(first), _redrawn(second))
    points = (_metrics(first), _metrics(second))
    return {
        metric: Difference(
            points=float(points[1][metric][0] - points[0][metric][0]),
            interval=_percentiles(draws[1][metric] - draws[0][metric]),
            p=permutation_p(first, second, metric),
        )
        for metric in PRINTED
    }


def permutation_p(first: Recalls, second: Recalls, metric: Metric = "HM", draws: int = DRAWS) -> float:
    """Two-sided p-value of a paired permutation test: each class swaps its two recalls with probability one half.

    The statistic is the difference of the metric, recomputed from the swapped recalls. Rows with several runs enter
    with their mean recall per class. Equal rows give 1.
    """
    return _permutation_ps([(first, second)], metric, draws)[0]


def holm(p_values: Sequence[float]) -> list[float]:
    """Holm's step-down correction (1979) for the family-wise error, in the order given; never below the p-values."""
    order = np.argsort(p_values, kind="stable")
    corrected = np.empty(len(p_values))
    factors = np.arange(len(p_values), 0, -1)
    corrected[order] = np.minimum(np.maximum.accumulate(factors * np.asarray(p_values)[order]), 1)
    return [float(p) for p in corrected]


def standings(rows: Sequence[Recalls]) -> list[Standing]:
    """Ranks of rows that are ordered best first (see :data:`TEST_IN_WORDS`). All rows are on the same classes."""
    if not rows:
        return []
    tests = len(rows) - 1
    draws = max(DRAWS, 50 * tests)  # so that the smallest possible p survives the correction
    corrected = holm(_permutation_ps(list(pairwise(rows)), "HM", draws))
    found = [Standing(1, None)]
    leader = 0
    for index, p in enumerate(corrected, start=1):
        apart = p < ALPHA or (
            index - leader > 1 and permutation_p(rows[leader], rows[index], draws=draws) * tests < ALPHA
        )
        if apart:
            leader = index
        found.append(Standing(leader + 1, p))
    return found


def _permutation_ps(pairs: Sequence[tuple[Recalls, Recalls]], metric: Metric, draws: int) -> list[float]:
    """The p-value of each pair, all from the same coins."""
    means = [(first.mean, second.mean) for first, second in pairs]
    return [
        p for start in range(0, len(means), _CHUNK) for p in _chunk_ps(means[start : start + _CHUNK], metric, draws)
    ]


def _chunk_ps(pairs: Sequence[tuple[Recalls, Recalls]], metric: Metric, draws: int) -> list[float]:
    centre, swing, observed = [], [], []
    for number, side in enumerate(("zero_shot",) if metric == "ZSL" else ("seen", "unseen")):
        one, two = (np.concatenate([getattr(pair[i], side) for pair in pairs]) for i in (0, 1))
        centre.append((one + two).mean(axis=1) / 2)
        swing.append(_coins(one.shape[1], draws, number) @ (two - one).T / (2 * one.shape[1]))
        observed.append((two - one).mean(axis=1) / 2)
    null, seen = (_statistic(metric, centre, swings) for swings in (swing, observed))
    # Sums in another order differ by rounding: equal statistics must count as equal.
    reached = (np.abs(null) >= np.abs(seen) - 1e-9).sum(axis=0)
    return [(1 + int(count)) / (1 + draws) for count in reached]


def _statistic(metric: Metric, centre: Sequence[Doubles], swing: Sequence[Doubles]) -> Doubles:
    """Second row minus first, where the rows' mean accuracies are centre + swing and centre - swing on each side."""
    if metric == "ZSL":
        return 2 * swing[0]
    if metric in ("S", "U"):
        return 2 * swing[1 if metric == "U" else 0]
    upper, lower = ([np.maximum(c + sign * s, 0) for c, s in zip(centre, swing, strict=True)] for sign in (1, -1))
    return harmonic_mean(upper[0], upper[1]) - harmonic_mean(lower[0], lower[1])


def _redrawn(recalls: Recalls) -> Mapping[Metric, Doubles]:
    """(draws,) values of each metric with classes drawn anew. Rows on the same classes get the same draws."""
    seen = _weights(recalls.seen.shape[1], 0)
    unseen = _weights(recalls.unseen.shape[1], 1)
    return _metrics(
        Recalls(recalls.seen @ seen.T, recalls.unseen @ unseen.T, recalls.zero_shot @ unseen.T), averaged=True
    )


def _metrics(recalls: Recalls, *, averaged: bool = False) -> dict[Metric, Doubles]:
    """Metrics as means over runs. ``averaged``: the columns are draws, already averaged over classes."""
    sides = (recalls.seen, recalls.unseen, recalls.zero_shot)
    s, u, z = sides if averaged else (side.mean(axis=1, keepdims=True) for side in sides)
    return {"S": s.mean(axis=0), "U": u.mean(axis=0), "HM": harmonic_mean(s, u).mean(axis=0), "ZSL": z.mean(axis=0)}


def _percentiles(values: Doubles) -> Interval:
    low, high = np.quantile(values, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return Interval(float(low), float(high))


@lru_cache(maxsize=16)
def _coins(classes: int, draws: int, side: int) -> Doubles:
    """(draws, classes) fair coins, -1 or 1."""
    random = np.random.default_rng([SEED, 1, side, classes])
    return 2 * random.integers(0, 2, (draws, classes)).astype(np.float64) - 1


@lru_cache(maxsize=16)
def _weights(classes: int, side: int) -> Doubles:
    """(draws, classes) shares of each class in a draw of as many classes with replacement."""
    random = np.random.default_rng([SEED, 2, side, classes])
    counts = random.multinomial(classes, np.full(classes, 1 / classes), INTERVAL_DRAWS)
    shares: Doubles = np.divide(counts, classes, dtype=np.float64)
    return shares
