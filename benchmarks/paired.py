"""Differences within pairs of runs of equal seeds, beside how much runs of different seeds differ."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import fmean, stdev

from scipy import stats


@dataclass(frozen=True)
class Paired:
    """The mean of the differences and its 95 % interval (t distribution)."""

    difference: float
    low: float
    high: float
    seed_sd: float
    """Standard deviation among seeds of the values that the others are compared with."""

    @classmethod
    def of(cls, values: Sequence[float], base: Sequence[float]) -> Paired:
        """``values`` less ``base``, one of each per seed; at least two seeds."""
        differences = [a - b for a, b in zip(values, base, strict=True)]
        mean, count = fmean(differences), len(differences)
        half = float(stats.t.ppf(0.975, count - 1)) * stdev(differences) / math.sqrt(count)
        return cls(mean, mean - half, mean + half, stdev(base))

    @property
    def verdict(self) -> str:
        """Whether the whole interval lies within one standard deviation of seeds around 0."""
        beyond = max(abs(self.low), abs(self.high)) > self.seed_sd
        return "not shown to be below seed noise" if beyond else "below seed noise"
