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
pairs; ``signs``: random signs of the classes' influence, studentised, step-down; ``bootstrap``: classes and seeds drawn
anew, studentised, step-down; ``jackknife``: the one in use, ``avbench.leaderboard.statistics``.
"""

from __future__ import annotations

import argparse
import gc
import json
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import cache
from itertools import product, repeat

import numpy as np
from numpy.typing import NDArray
from rank_tests import FIRST, ROWS, SECOND, TESTS, percentiles
from scipy.stats import norm
from tabulate import tabulate

from avbench.harness.evaluation.accuracy import harmonic_mean
from avbench.leaderboard.recalls import Recalls

Doubles = NDArray[np.float64]

CLASSES = {"ucf": (42, 9), "activitynet": (150, 50), "vggsound": (207, 69)}
SEEDS = (3, 5, 10)
DIFFICULTY = 0.6
CLASS_NOISE = {"low": 0.3, "high": 0.6}
SEED_NOISE = {"low": (0.04, 0.3), "high": (0.12, 0.6)}
"""Of the run as a whole, and of a class in the run. In points about 30 times as much."""
LEVELS = ((50.0, 30.0), (60.0, 20.0), (40.0, 40.0))
APART = ((60.0, 20.0), (40.0, 40.0))


@dataclass(frozen=True)
class Cell:
    """One kind of board."""

    track: str
    seeds: int
    class_noise: str
    seed_noise: str

    def random(self) -> np.random.Generator:
        noises = map(ord, self.class_noise + self.seed_noise)
        return np.random.default_rng([CLASSES[self.track][0], self.seeds, *noises])

    def recalls_of_boards(
        self, random: np.random.Generator, levels: Sequence[tuple[float, float]], boards: int
    ) -> tuple[Doubles, Doubles]:
        """(boards, rows, seeds, classes) recalls, seen and unseen; ``levels``: the true (S, U) of each row."""
        row_noise, (run_noise, noise) = CLASS_NOISE[self.class_noise], SEED_NOISE[self.seed_noise]
        scale = np.sqrt(1 + DIFFICULTY**2 + row_noise**2 + run_noise**2 + noise**2)
        sides = []
        for side, classes in enumerate(CLASSES[self.track]):
            level = scale * norm.ppf([row[side] / 100 for row in levels])
            latent = level[:, None, None] + DIFFICULTY * random.standard_normal((boards, 1, 1, classes))
            latent = latent + row_noise * random.standard_normal((boards, len(levels), 1, classes))
            latent = latent + run_noise * random.standard_normal((boards, len(levels), self.seeds, 1))
            latent = latent + noise * random.standard_normal((boards, len(levels), self.seeds, classes))
            sides.append(100 * norm.cdf(latent))
        return sides[0], sides[1]

    def recalls(self, random: np.random.Generator, levels: Sequence[tuple[float, float]]) -> list[Recalls]:
        """One board."""
        seen, unseen = (side[0] for side in self.recalls_of_boards(random, levels, 1))
        return [Recalls(s, u, u) for s, u in zip(seen, unseen, strict=True)]

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


def compare_tests(cell: Cell, boards: int) -> list[dict[str, object]]:
    """A row per test, from so many boards of exchangeable rows and as many others."""
    random = cell.random()
    wrong, pair, board = (dict.fromkeys(TESTS, 0.0) for _ in range(3))
    covered: list[bool] = []
    across = (FIRST < ROWS // 2) & (SECOND >= ROWS // 2)
    for number in range(boards):
        level = LEVELS[number % len(LEVELS)]
        equal = cell.recalls(random, [level] * ROWS)
        apart = cell.recalls(random, [APART[row >= ROWS // 2] for row in range(ROWS)])
        for name, test in TESTS.items():
            wrong[name] += test(equal).board.any() / boards
            said = test(apart)
            pair[name] += said.pair[across].mean() / boards
            board[name] += said.board[across].mean() / boards
        low, high = percentiles(equal[0], random)
        covered.append(low <= cell.true_hm(*level) <= high)
    return [
        {
            **vars(cell),
            "test": name,
            "wrong": float(wrong[name]),
            "covered": float(np.mean(covered)) if name == "swaps" else None,
            "found, pair": float(pair[name]),
            "found, board": float(board[name]),
        }
        for name in TESTS
    ]


def cells() -> Iterator[Cell]:
    return (Cell(*each) for each in product(CLASSES, SEEDS, CLASS_NOISE, SEED_NOISE))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--boards", type=int, default=1200, help="boards of each kind, in hundreds for the test in use")
    parser.add_argument("--all-tests", action="store_true", help="compare all tests, board by board: slow")
    parser.add_argument("--track", choices=CLASSES)
    parser.add_argument("--jobs", type=int, default=1)
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args()
    chosen = [cell for cell in cells() if arguments.track in (None, cell.track)]
    # statsmodels collects garbage at every correction, which takes much longer than the correction.
    with ProcessPoolExecutor(arguments.jobs, initializer=gc.freeze) as pool:
        if arguments.all_tests:
            rows = [row for rows in pool.map(compare_tests, chosen, repeat(arguments.boards)) for row in rows]
        else:
            from many_boards import simulate_in_use

            boards = arguments.boards
            rows = list(pool.map(simulate_in_use, chosen, repeat(boards), repeat(max(boards // 3, 1))))
    print(json.dumps(rows, indent=1) if arguments.json else tabulate(rows, headers="keys", floatfmt=".3f"))


if __name__ == "__main__":
    main()
