"""Whether the HM of a repeated run differs from the recorded one by more than another seed would make it.

On another machine the last digits of products differ, and training carries that as far as another seed would: so the
noise that is allowed is that of seeds.

- Where a row has three or more seeds, they say what it is: a prediction interval for one more value from the same
  normal distribution, ``mean ± t(n - 1) s sqrt(1 + 1 / n)`` (Hahn and Meeker, Statistical Intervals, 1991).
- Where it has fewer, or all came to the same, the decisions on the test clips say it: recall is paired class by class,
  and the difference of HM is held against its standard error over classes, by t with as many degrees of freedom as the
  smaller side has classes less one. HM is linearised in S and U for it (delta method).

The level is that of a board's whole lifetime rather than of one evening: an honest repetition is called not reproduced
with a chance of about one in a hundred. How often that is so, and what is found, was measured on real trained methods:
``benchmarks/reproduction.py``.
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
"""Two-sided: an honest repetition is within the noise with this chance."""
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
    level: float = LEVEL

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
        e = self.evidence
        recall, counted = 100 * class_recall(e, predict(e, self.offset)), e.class_clips > 0
        return recall[counted & e.class_is_seen], recall[counted & ~e.class_is_seen]


def deviation(known: Sequence[float], recorded: Decisions, repeated: Decisions) -> Deviation:
    """The test that there is data for. ``known``: HM of all seeds of the record's row, its own among them."""
    if len(known) >= FEWEST_SEEDS and np.ptp(known) > _SMALLEST:
        seen, unseen = repeated.recalls()
        return among_seeds(known, float(harmonic_mean(seen.mean(), unseen.mean())))
    return over_classes(recorded, repeated)


def among_seeds(known: Sequence[float], value: float) -> Deviation:
    """One more value against ``n`` known ones, which are not all the same."""
    n, mean = len(known), float(np.mean(known))
    scale = float(np.std(known, ddof=1) * np.sqrt(1 + 1 / n))
    return Deviation("seeds", n, mean, scale, (value - mean) / scale, _quantile(n - 1))


def over_classes(recorded: Decisions, repeated: Decisions) -> Deviation:
    """Two runs on the same clips, paired by class. Raises :class:`RecordError` where a side has a single class."""
    sides = list(zip(recorded.recalls(), repeated.recalls(), strict=True))
    if (n := min(old.size for old, _ in sides)) < 2:
        raise RecordError("a side has clips of a single class: what is noise there cannot be said.")
    means = [(old.mean(), new.mean()) for old, new in sides]
    before, after = (float(harmonic_mean(*side)) for side in zip(*means, strict=True))
    s, u = (float(np.mean(pair)) for pair in means)
    slopes = (2 * u**2, 2 * s**2)  # of HM in S and in U, times (S + U)^2
    variance = sum(
        slope**2 * float(np.var(new - old, ddof=1)) / old.size for slope, (old, new) in zip(slopes, sides, strict=True)
    )
    scale = max(np.sqrt(variance) / max((s + u) ** 2, _SMALLEST), _SMALLEST)
    return Deviation("classes", n, before, float(scale), float((after - before) / scale), _quantile(n - 1))


def _quantile(degrees: int) -> float:
    from scipy.special import stdtrit

    return float(stdtrit(degrees, (1 + LEVEL) / 2))
