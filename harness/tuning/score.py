"""What trials found on validation: values, and how sure they are."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean, stdev
from typing import Literal

from avbench.harness.tuning.spaces import Value

LEVEL = 0.95


@dataclass(frozen=True)
class Score:
    """Stage 1 of one run."""

    track: str
    seed: int
    HM: float
    """On validation, percent, of the best epoch at its best offset."""
    epochs: int
    """Until that epoch."""


@dataclass(frozen=True)
class Trial:
    """One choice of options, and what it gave."""

    number: int
    state: Literal["done", "pruned", "failed"]
    values: Mapping[str, Value]
    """Of the searched options; empty for a preset that lies outside the spaces."""
    preset: bool
    value: float | None
    """The objective, of a trial that is done."""
    scores: tuple[Score, ...]
    failure: str | None = None


@dataclass(frozen=True)
class Interval:
    """A mean over seeds with its 95 % interval (Student's t); no interval for one seed."""

    mean: float
    half: float | None

    @property
    def low(self) -> float | None:
        return None if self.half is None else self.mean - self.half

    @property
    def high(self) -> float | None:
        return None if self.half is None else self.mean + self.half


def mean_interval(values: Sequence[float]) -> Interval:
    """The mean of values, one of each seed."""
    if len(values) < 2:
        return Interval(fmean(values), None)
    from scipy.special import stdtrit  # not scipy.stats, whose import takes a second

    n = len(values)
    return Interval(fmean(values), float(stdtrit(n - 1, (1 + LEVEL) / 2)) * stdev(values) / math.sqrt(n))


def objective(scores: Sequence[Score]) -> float:
    """The mean of validation HMs: every track and seed counts the same."""
    return fmean(score.HM for score in scores)


def over_seeds(scores: Sequence[Score]) -> Interval:
    """The mean over seeds of means over tracks."""
    return mean_interval(list(_by_seed(scores).values()))


def difference(one: Sequence[Score], other: Sequence[Score]) -> Interval:
    """How much higher ``one`` is, seed by seed: what a seed gives and takes is common to both."""
    first, second = _by_seed(one), _by_seed(other)
    return mean_interval([first[seed] - second[seed] for seed in first if seed in second])


def _by_seed(scores: Sequence[Score]) -> dict[int, float]:
    seeds = dict.fromkeys(score.seed for score in scores)
    return {seed: fmean(s.HM for s in scores if s.seed == seed) for seed in seeds}
