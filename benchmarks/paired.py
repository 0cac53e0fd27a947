"""Differences within pairs of runs of equal seeds, beside how much runs of different seeds differ."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import stdev

from avbench.harness.tuning.score import mean_interval


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
        found = mean_interval([a - b for a, b in zip(values, base, strict=True)])
        assert found.low is not None
        assert found.high is not None
        return cls(found.mean, found.low, found.high, stdev(base))

    @property
    def verdict(self) -> str:
        """Whether the whole interval lies within one standard deviation of seeds around 0."""
        beyond = max(abs(self.low), abs(self.high)) > self.seed_sd
        return "not shown to be below seed noise" if beyond else "below seed noise"
