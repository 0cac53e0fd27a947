"""Which statistics hold what they promise: simulated boards with a known truth. Run: python benchmarks/statistics.py

A board has eight rows. The recall of a class in a run is 100 * Phi(level + difficulty of the class, shared by all
rows + noise of the class in the row + noise of the run + noise of the class in the run), all normal; seen and unseen
apart. So the true S, U and HM of a row, over all classes of the kind and all seeds, are known exactly.

- wrong: share of boards of eight exchangeable rows on which any two rows are told apart, so that some rank interval
  excludes its true rank. The level promised is 5 %. Boards take turns at (S, U) of (50, 30), (60, 20) and (40, 40).
- found: four rows of (S, U) = (60, 20), HM 30, and four of (40, 40), HM 40. ``pair``: by the test of two rows alone, as
  in ``avbench results compare``; ``board``: on the board of eight, corrected for all pairs.
- covered: share of 95 % intervals of HM that hold the true one, on the boards of exchangeable rows; of differences, on
  the others.

The candidates: ``swaps``, the test that was in use before (classes swap the two rows' mean recalls; neighbours in the
order shown, Holm; percentile interval); ``t``: linearised, t with Satterthwaite's degrees of freedom, Holm over all
pairs; ``jackknife``: leave out a class, t with at most the unseen classes' degrees, Holm; ``signs``: random signs of
the classes' influence, studentised, step-down; ``bootstrap``: the one in use, ``avbench.leaderboard.statistics``.
"""

from __future__ import annotations

import argparse
import gc
import json
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import cache
from itertools import product

import numpy as np
from numpy.typing import NDArray
from scipy.stats import norm
from scipy.stats import t as student
from statsmodels.stats.multitest import multipletests
from tabulate import tabulate

from avbench.harness.evaluation.accuracy import harmonic_mean
from avbench.leaderboard.statistics import ALPHA, Recalls, Redrawn, difference, interval, step_down

Doubles = NDArray[np.float64]

ROWS = 8
FIRST, SECOND = np.triu_indices(ROWS, 1)
CLASSES = {"ucf": (42, 9), "activitynet": (150, 50), "vggsound": (207, 69)}
SEEDS = (3, 5, 10)
DIFFICULTY = 0.6
CLASS_NOISE = {"low": 0.3, "high": 0.6}
SEED_NOISE = {"low": (0.04, 0.3), "high": (0.12, 0.6)}
"""Of the run as a whole, and of a class in the run. In points about 30 times as much."""
LEVELS = ((50.0, 30.0), (60.0, 20.0), (40.0, 40.0))
APART = ((60.0, 20.0), (40.0, 40.0))
DRAWS = 199
"""Fewer than in use: the level is the same, power and intervals a little worse."""


@dataclass(frozen=True)
class Cell:
    """One kind of board."""

    track: str
    seeds: int
    class_noise: str
    seed_noise: str

    def recalls(self, random: np.random.Generator, levels: Sequence[tuple[float, float]]) -> list[Recalls]:
        """One board; ``levels``: the true (S, U) of each row."""
        row_noise, (run_noise, noise) = CLASS_NOISE[self.class_noise], SEED_NOISE[self.seed_noise]
        scale = np.sqrt(1 + DIFFICULTY**2 + row_noise**2 + run_noise**2 + noise**2)
        sides = []
        for side, classes in enumerate(CLASSES[self.track]):
            level = scale * norm.ppf([row[side] / 100 for row in levels])
            latent = level[:, None, None] + DIFFICULTY * random.standard_normal(classes)
            latent = latent + row_noise * random.standard_normal((len(levels), 1, classes))
            latent = latent + run_noise * random.standard_normal((len(levels), self.seeds, 1))
            latent = latent + noise * random.standard_normal((len(levels), self.seeds, classes))
            sides.append(100 * norm.cdf(latent))
        return [Recalls(seen, unseen, unseen) for seen, unseen in zip(*sides, strict=True)]

    @cache  # noqa: B019
    def true_hm(self, seen: float, unseen: float) -> float:
        """Mean over all seeds of HM over all classes, by quadrature over the noise of the run."""
        run_noise, noise = SEED_NOISE[self.seed_noise]
        given_run = 1 + DIFFICULTY**2 + CLASS_NOISE[self.class_noise] ** 2 + noise**2
        nodes, weights = np.polynomial.hermite_e.hermegauss(41)
        s, u = (
            100 * norm.cdf((np.sqrt(given_run + run_noise**2) * norm.ppf(x / 100) + run_noise * nodes) / given_run**0.5)
            for x in (seen, unseen)
        )
        weights = weights / weights.sum()
        return float(weights @ harmonic_mean(s[:, None], u[None, :]) @ weights)


@dataclass(frozen=True)
class Statement:
    """What a candidate says about a board. ``board``: (pairs,) told apart on the board; ``pair``: by themselves."""

    board: NDArray[np.bool_]
    pair: NDArray[np.bool_]


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

    return _by_t(rows, influence, capped=False)


def jackknife(rows: Sequence[Recalls]) -> Statement:
    """Influence of a class by leaving it out."""
    return _by_t(rows, _left_out, capped=True)


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
    observed = np.abs(hm[SECOND] - hm[FIRST]) / np.sqrt(own)
    ratios = np.abs(points) / np.sqrt(np.maximum(variance, 1e-12))
    order = np.argsort(observed)
    largest = np.maximum.accumulate(ratios[:, order], axis=1)
    p = (1 + (largest >= observed[order]).sum(axis=0)) / (1 + DRAWS)
    board = np.empty(len(order), bool)
    board[order[::-1]] = np.maximum.accumulate(p[::-1]) < ALPHA
    return Statement(board, (1 + (ratios >= observed).sum(axis=0)) / (1 + DRAWS) < ALPHA)


def bootstrap(rows: Sequence[Recalls]) -> Statement:
    """The one in use."""
    redrawn = Redrawn.of(rows, "HM", DRAWS)
    pair = [(difference(redrawn, i, j).p or 0) < ALPHA for i, j in zip(FIRST, SECOND, strict=True)]
    return Statement(step_down(redrawn, FIRST, SECOND) < ALPHA, np.array(pair))


CANDIDATES: dict[str, Callable[[Sequence[Recalls]], Statement]] = {
    "swaps": swaps,
    "t": satterthwaite,
    "jackknife": jackknife,
    "signs": signs,
    "bootstrap": bootstrap,
}
IN_USE = "bootstrap"


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


def _by_t(rows: Sequence[Recalls], influence: Callable[[Recalls], list[Doubles]], capped: bool) -> Statement:
    hm, seed_variance, influences = _estimates(rows, influence)
    changes = [side[SECOND] - side[FIRST] for side in influences]
    parts = [(change.var(axis=1, ddof=1) / change.shape[1], change.shape[1] - 1) for change in changes]
    parts += [(seed_variance[side], rows[0].seeds - 1) for side in (FIRST, SECOND)]
    variance = sum(part for part, _ in parts)
    degrees = variance**2 / sum(part**2 / number for part, number in parts)
    if capped:
        degrees = np.minimum(degrees, rows[0].unseen.shape[1] - 1)
    p = 2 * student.sf(np.abs(hm[SECOND] - hm[FIRST]) / np.sqrt(variance), degrees)
    return Statement(multipletests(p, ALPHA, "holm")[0], p < ALPHA)


def percentiles(row: Recalls, random: np.random.Generator) -> tuple[float, float]:
    """The interval before: classes drawn anew, seeds as they are."""
    means = []
    for side in (row.seen, row.unseen):
        n = side.shape[1]
        means.append(random.multinomial(n, np.full(n, 1 / n), DRAWS) @ side.T / n)
    low, high = np.quantile(harmonic_mean(*means).mean(axis=1), (0.025, 0.975))
    return float(low), float(high)


def simulate(cell: Cell, boards: int, share: float) -> list[dict[str, object]]:
    """A row per candidate. ``share``: of the boards, for power and for the candidates that are not in use."""
    names = list(CANDIDATES)
    wrong = dict.fromkeys(names, 0)
    random = np.random.default_rng([CLASSES[cell.track][0], cell.seeds, *map(ord, cell.class_noise + cell.seed_noise)])
    covered: dict[str, list[bool]] = {"swaps": [], "bootstrap": [], "difference": []}
    for number in range(boards):
        level = LEVELS[number % len(LEVELS)]
        rows = cell.recalls(random, [level] * ROWS)
        true = cell.true_hm(*level)
        redrawn = Redrawn.of(rows, "HM", DRAWS)
        wrong[IN_USE] += bool((step_down(redrawn, FIRST, SECOND) < ALPHA).any())
        if number < share * boards:
            for name in names[:-1]:
                wrong[name] += bool(CANDIDATES[name](rows).board.any())
        for row in range(2):
            found = interval(redrawn, row)
            covered["bootstrap"].append(found.low <= true <= found.high)
            if number < share * boards:
                low, high = percentiles(rows[row], random)
                covered["swaps"].append(low <= true <= high)
    across = (FIRST < ROWS // 2) & (SECOND >= ROWS // 2)
    powered = int(share * boards)
    found_pair, found_board = (dict.fromkeys(names, 0.0) for _ in range(2))
    gain = cell.true_hm(*APART[1]) - cell.true_hm(*APART[0])
    for _ in range(powered):
        rows = cell.recalls(random, [APART[row >= ROWS // 2] for row in range(ROWS)])
        for name, candidate in CANDIDATES.items():
            said = candidate(rows)
            found_board[name] += said.board[across].mean() / powered
            found_pair[name] += said.pair[across].mean() / powered
        redrawn = Redrawn.of(rows, "HM", DRAWS)
        for row in range(ROWS // 2):
            ends = difference(redrawn, row, row + ROWS // 2).interval
            assert ends is not None
            covered["difference"].append(ends.low <= gain <= ends.high)
    return [
        {
            **vars(cell),
            "candidate": name,
            "wrong": wrong[name] / (boards if name == IN_USE else powered),
            "covered": float(np.mean(covered[name])) if name in covered else None,
            "difference covered": float(np.mean(covered["difference"])) if name == IN_USE else None,
            "found, pair": float(found_pair[name]),
            "found, board": float(found_board[name]),
        }
        for name in names
    ]


def cells() -> Iterator[Cell]:
    return (Cell(*each) for each in product(CLASSES, SEEDS, CLASS_NOISE, SEED_NOISE))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--boards", type=int, default=1000, help="boards of exchangeable rows per kind")
    parser.add_argument("--share", type=float, default=0.2, help="part of them for power and for tests not in use")
    parser.add_argument("--track", choices=CLASSES)
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args()
    chosen = [cell for cell in cells() if arguments.track in (None, cell.track)]
    # statsmodels collects garbage at every correction, which takes much longer than the correction.
    with ProcessPoolExecutor(arguments.jobs, initializer=gc.freeze) as pool:
        count = len(chosen)
        found = pool.map(simulate, chosen, [arguments.boards] * count, [arguments.share] * count)
        rows = [row for rows in found for row in rows]
    print(json.dumps(rows, indent=1) if arguments.json else tabulate(rows, headers="keys", floatfmt=".3f"))


if __name__ == "__main__":
    main()
