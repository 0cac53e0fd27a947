"""Whether the HM of a repeated run differs from the recorded one by more than another seed would make it.

On another machine the last digits of products differ, and training carries that as far as another seed would: so the
noise that is allowed is that of seeds.

- Where a row has three or more seeds, they say what it is: a prediction interval for one more value from the same
  normal distribution, ``mean ± t(n - 1) s sqrt(1 + 1 / n)`` (Hahn and Meeker, Statistical Intervals, 1991).
- Always, the decisions on the test clips say it: recall is paired class by class, and the difference of HM is held
  against its standard error over classes, by t with as many degrees of freedom as the smaller side has classes less
  one. HM is linearised in S and U for it (delta method).

Either may find that it is no noise: whoever picks seeds that lie far apart widens the first interval, not the second.

An honest repetition is to be called not reproduced with a chance of about one in a hundred. How often that is so, and
what is found, was measured on trained methods, and the levels were chosen by it: ``benchmarks/reproduction.py``.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from avbench.harness.errors import RecordError
from avbench.harness.evaluation.accuracy import class_recall, harmonic_mean, predict
from avbench.harness.evaluation.evidence import Evidence

LEVEL = 0.99
"""Among seeds, two-sided: an honest repetition is within the noise with this chance."""
LEVEL_OVER_CLASSES = 0.95
"""The standard error over classes speaks of other classes too, so this test is more careful than its level says."""
FEWEST_SEEDS = 3
_SMALLEST = 1e-9
"""Points: a standard error below it is rounding."""


@dataclass(frozen=True)
class Deviation:
    """A repeated HM against what was to be expected. ``statistic`` is their difference in units of ``scale``."""

    test: Literal["seeds", "classes"]
    n: int
    """Seeds, or classes of the smaller side."""
    expected: float
    scale: float
    """Standard error of the difference, in points."""
    statistic: float
    bound: float
    """The quantile of t with n - 1 degrees of freedom: a larger absolute value is no noise."""
    level: float

    @property
    def is_noise(self) -> bool:
        return abs(self.statistic) <= self.bound


@dataclass(frozen=True)
class Decisions:
    """The test evidence of a run and its offset."""

    evidence: Evidence
    offset: float

    def recalls(self) -> tuple[np.ndarray, np.ndarray]:
        """Recall in percent of the seen and of the unseen classes that have clips."""
        recall = 100 * class_recall(self.evidence, predict(self.evidence, self.offset))
        seen, unseen = self.evidence.filled_sides
        return recall[seen], recall[unseen]


def deviation(known: Sequence[float], recorded: Decisions, repeated: Decisions) -> Deviation:
    """By the test that speaks most against noise. ``known``: HM of all seeds of the record's row, its own among them.

    Raises :class:`RecordError` as :func:`over_classes` does.
    """
    found = [over_classes(recorded, repeated)]
    if len(known) >= FEWEST_SEEDS and np.ptp(known) > _SMALLEST:
        seen, unseen = repeated.recalls()
        found.append(among_seeds(known, float(harmonic_mean(seen.mean(), unseen.mean()))))
    return max(found, key=lambda test: abs(test.statistic) / test.bound)


def among_seeds(known: Sequence[float], value: float) -> Deviation:
    """One more value against ``n`` known ones, which are not all the same."""
    n, mean = len(known), float(np.mean(known))
    scale = float(np.std(known, ddof=1) * np.sqrt(1 + 1 / n))
    return Deviation("seeds", n, mean, scale, (value - mean) / scale, _quantile(n - 1, LEVEL), LEVEL)


def over_classes(recorded: Decisions, repeated: Decisions) -> Deviation:
    """Two runs on the same clips, paired by class. Raises :class:`RecordError` where a side has a single class."""
    n = min(side.size for side in recorded.recalls())
    if n < 2:
        raise RecordError("a side has clips of a single class: what is noise there cannot be said.")
    before, after = (_linearised(run) for run in (recorded, repeated))
    pairs = zip(before.influences, after.influences, strict=True)
    scale = max(float(np.sqrt(sum(np.var(new - old, ddof=1) / old.size for old, new in pairs))), _SMALLEST)
    points, level = after.hm - before.hm, LEVEL_OVER_CLASSES
    return Deviation("classes", n, before.hm, scale, points / scale, _quantile(n - 1, level), level)


@dataclass(frozen=True, eq=False)
class _Linearised:
    """HM of a run, and how much each class, seen and unseen apart, adds to it: its recall times the slope of HM."""

    hm: float
    influences: tuple[np.ndarray, np.ndarray]


def _linearised(run: Decisions) -> _Linearised:
    seen, unseen = run.recalls()
    s, u = float(seen.mean()), float(unseen.mean())
    total = max(s + u, _SMALLEST)
    return _Linearised(harmonic_mean(s, u), (2 * (u / total) ** 2 * seen, 2 * (s / total) ** 2 * unseen))


def _quantile(degrees: int, level: float) -> float:
    from scipy.special import stdtrit

    return float(stdtrit(degrees, (1 + level) / 2))
