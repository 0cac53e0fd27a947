"""Tests of which rows of a board differ in HM: the one in use, the one before, and others that were considered."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.stats import t as student
from statsmodels.stats.multitest import multipletests

from avbench.harness.evaluation.accuracy import harmonic_mean
from avbench.leaderboard.estimates import Estimates
from avbench.leaderboard.recalls import Recalls
from avbench.leaderboard.statistics import ALPHA, corrected

Doubles = NDArray[np.float64]

ROWS = 8
FIRST, SECOND = np.triu_indices(ROWS, 1)
DRAWS = 399


@dataclass(frozen=True)
class Statement:
    """What a candidate says about a board. ``board``: (pairs,) told apart on the board; ``pair``: by themselves."""

    board: NDArray[np.bool_]
    pair: NDArray[np.bool_]


def jackknife(rows: Sequence[Recalls]) -> Statement:
    """The one in use."""
    p = Estimates.of(rows, "HM").p_values()
    return Statement(corrected(p)[FIRST, SECOND] < ALPHA, p[FIRST, SECOND] < ALPHA)


def swaps(rows: Sequence[Recalls]) -> Statement:
    """The test before: of HM of mean recalls, neighbours in the order shown and the first row of each rank."""
    random = np.random.default_rng(0)
    means = [np.stack([getattr(row, side).mean(axis=0) for row in rows]) for side in ("seen", "unseen")]
    coins = [2.0 * random.integers(0, 2, (999, mean.shape[1])) - 1 for mean in means]

    def p(first: NDArray[np.intp], second: NDArray[np.intp]) -> Doubles:
        centre = [(mean[first] + mean[second]).mean(axis=1) / 2 for mean in means]
        half = [(mean[second] - mean[first]) / 2 for mean in means]
        swing = [coin @ side.T / side.shape[1] for coin, side in zip(coins, half, strict=True)]
        seen = [side.mean(axis=1) for side in half]

        def statistic(s: Doubles, u: Doubles) -> Doubles:
            return harmonic_mean(centre[0] + s, centre[1] + u) - harmonic_mean(centre[0] - s, centre[1] - u)

        return (1 + (np.abs(statistic(*swing)) >= np.abs(statistic(*seen)) - 1e-9).sum(axis=0)) / 1000

    hm = [harmonic_mean(row.seen.mean(axis=1), row.unseen.mean(axis=1)).mean() for row in rows]
    order = np.argsort(hm)[::-1]
    neighbours = multipletests(p(order[:-1], order[1:]), method="holm")[1]
    ranks, leader = np.zeros(ROWS, int), 0
    for place in range(1, ROWS):
        distant = place - leader > 1 and p(order[[leader]], order[[place]])[0] * (ROWS - 1) < ALPHA
        if neighbours[place - 1] < ALPHA or distant:
            leader = place
        ranks[order[place]] = leader
    return Statement(ranks[FIRST] != ranks[SECOND], p(FIRST, SECOND) < ALPHA)


def satterthwaite(rows: Sequence[Recalls]) -> Statement:
    """Influence of a class by the slope of HM."""

    def influence(row: Recalls) -> list[Doubles]:
        s, u = row.seen.mean(axis=1, keepdims=True), row.unseen.mean(axis=1, keepdims=True)
        slopes = 2 * (u / (s + u)) ** 2, 2 * (s / (s + u)) ** 2
        sides = zip(slopes, (row.seen, row.unseen), (s, u), strict=True)
        return [(slope * (side - mean)).mean(axis=0) for slope, side, mean in sides]

    hm, seed_variance, influences = _estimates(rows, influence)
    changes = [side[SECOND] - side[FIRST] for side in influences]
    parts = [(change.var(axis=1, ddof=1) / change.shape[1], change.shape[1] - 1) for change in changes]
    parts += [(seed_variance[side], rows[0].seeds - 1) for side in (FIRST, SECOND)]
    variance = sum(part for part, _ in parts)
    degrees = variance**2 / sum(part**2 / number for part, number in parts)
    p = 2 * student.sf(np.abs(hm[SECOND] - hm[FIRST]) / np.sqrt(variance), degrees)
    return Statement(multipletests(p, ALPHA, "holm")[0], p < ALPHA)


def signs(rows: Sequence[Recalls]) -> Statement:
    """Step-down over random signs of classes; seeds by normal draws with their own degrees of freedom."""
    random = np.random.default_rng(0)
    hm, seed_variance, influences = _estimates(rows, _left_out)
    degrees = rows[0].seeds - 1
    drawn = random.standard_normal((DRAWS, ROWS)) * np.sqrt(seed_variance)
    spread = seed_variance * random.chisquare(degrees, (DRAWS, ROWS)) / degrees
    points, variance = drawn[:, SECOND] - drawn[:, FIRST], spread[:, SECOND] + spread[:, FIRST]
    own = seed_variance[SECOND] + seed_variance[FIRST]
    for influence in influences:
        change = influence[SECOND] - influence[FIRST]
        n = change.shape[1]
        squares = (change**2).sum(axis=1)
        mean = (2.0 * random.integers(0, 2, (DRAWS, n)) - 1) @ change.T / n * np.sqrt(n / (n - 1))
        points, variance = points + mean, variance + (squares * n / (n - 1) - n * mean**2) / (n * (n - 1))
        own = own + squares / (n * (n - 1))
    return _step_down(
        np.abs(hm[SECOND] - hm[FIRST]) / np.sqrt(own), np.abs(points) / np.sqrt(np.maximum(variance, 1e-12))
    )


def bootstrap(rows: Sequence[Recalls]) -> Statement:
    """Studentised: classes drawn anew for all rows, and each row's seeds; step-down. Draw 0 is the data as it is."""
    random = np.random.default_rng(0)
    runs = rows[0].seeds
    sides = [np.stack([getattr(row, side) for row in rows]) for side in ("seen", "unseen")]
    shares = [_shares(random, side.shape[2]) for side in sides]
    counts = np.stack([runs * _shares(random, runs) for _ in rows], axis=1)
    s, u = (np.einsum("dc,krc->dkr", share, side) for share, side in zip(shares, sides, strict=True))
    hm = harmonic_mean(s, u)
    value = (counts * hm).mean(axis=2)
    spread = (counts * (hm - value[..., None]) ** 2).sum(axis=2) / (runs * (runs - 1))
    variance = spread[:, FIRST] + spread[:, SECOND]
    for share, side, other in zip(shares, sides, (u, s), strict=True):
        slope = (counts * 2 * (other / (s + u)) ** 2).mean(axis=2)
        recalls = side.mean(axis=1)
        mean, product = share @ recalls.T, share @ (recalls[FIRST] * recalls[SECOND]).T
        own = slope**2 * (share @ (recalls**2).T - mean**2)
        both = slope[:, FIRST] * slope[:, SECOND] * (product - mean[:, FIRST] * mean[:, SECOND])
        variance = variance + (own[:, FIRST] + own[:, SECOND] - 2 * both) / (recalls.shape[1] - 1)
    points = value[:, SECOND] - value[:, FIRST]
    points[1:] -= points[0]
    ratios = np.abs(points) / np.sqrt(np.maximum(variance, 1e-12))
    return _step_down(ratios[0], ratios[1:])


def _shares(random: np.random.Generator, count: int) -> Doubles:
    drawn = random.multinomial(count, np.full(count, 1 / count), DRAWS)
    return np.concatenate([np.ones((1, count)), drawn]) / count


def _step_down(observed: Doubles, drawn: Doubles) -> Statement:
    """Romano and Wolf (2016): (pairs,) ratios of the data and (draws, pairs) of draws without a difference."""
    order = np.argsort(observed)
    largest = np.maximum.accumulate(drawn[:, order], axis=1)
    p = (1 + (largest >= observed[order]).sum(axis=0)) / (1 + DRAWS)
    board = np.empty(len(order), bool)
    board[order[::-1]] = np.maximum.accumulate(p[::-1]) < ALPHA
    return Statement(board, (1 + (drawn >= observed).sum(axis=0)) / (1 + DRAWS) < ALPHA)


def _left_out(row: Recalls) -> list[Doubles]:
    s, u = row.seen.mean(axis=1, keepdims=True), row.unseen.mean(axis=1, keepdims=True)
    n, m = row.seen.shape[1], row.unseen.shape[1]
    without = harmonic_mean((n * s - row.seen) / (n - 1), u + 0 * row.seen)
    others = harmonic_mean(s + 0 * row.unseen, (m * u - row.unseen) / (m - 1))
    return [
        (count - 1) * (values.mean(axis=1, keepdims=True) - values).mean(axis=0, keepdims=True)[0]
        for count, values in ((n, without), (m, others))
    ]


def _estimates(
    rows: Sequence[Recalls], influence: Callable[[Recalls], list[Doubles]]
) -> tuple[Doubles, Doubles, list[Doubles]]:
    """HM of the rows, its squared standard error from seeds, and the influence of classes, per side (rows, classes)."""
    hm = np.stack([harmonic_mean(row.seen.mean(axis=1), row.unseen.mean(axis=1)) for row in rows])
    sides = [np.stack(side) for side in zip(*map(influence, rows), strict=True)]
    return hm.mean(axis=1), hm.var(axis=1, ddof=1) / hm.shape[1], sides


def percentiles(row: Recalls, random: np.random.Generator) -> tuple[float, float]:
    """The interval before: classes drawn anew, seeds as they are."""
    means = []
    for side in (row.seen, row.unseen):
        n = side.shape[1]
        means.append(random.multinomial(n, np.full(n, 1 / n), DRAWS) @ side.T / n)
    low, high = np.quantile(harmonic_mean(*means).mean(axis=1), (0.025, 0.975))
    return float(low), float(high)


TESTS: dict[str, Callable[[Sequence[Recalls]], Statement]] = {
    "swaps": swaps,
    "t": satterthwaite,
    "signs": signs,
    "bootstrap": bootstrap,
    "jackknife": jackknife,
}
