"""The test in use on a thousand simulated boards at once: the arithmetic of the board, checked against it.

Arrays are (boards, rows, ...). See ``ranked_boards.py`` for what a board is and what is counted.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from rank_tests import FIRST, ROWS, SECOND
from ranked_boards import APART, LEVELS, Cell
from scipy.special import logit
from scipy.stats import t

from avbench.harness.evaluation.accuracy import harmonic_mean
from avbench.leaderboard.estimates import LEVEL, Estimates
from avbench.leaderboard.recalls import Recalls
from avbench.leaderboard.statistics import ALPHA, corrected, interval

Doubles = NDArray[np.float64]

BATCH = 100


@dataclass(frozen=True)
class Boards:
    """HM of the rows, its squared standard error from seeds, the influence of classes per side, and the seeds."""

    hm: Doubles
    seeds: Doubles
    influences: tuple[Doubles, Doubles]
    runs: int

    @classmethod
    def of(cls, seen: Doubles, unseen: Doubles) -> Boards:
        """From (boards, rows, runs, classes) recalls."""
        hm = harmonic_mean(seen.mean(axis=-1), unseen.mean(axis=-1))
        runs = hm.shape[-1]
        s, u = seen.mean(axis=-1, keepdims=True), unseen.mean(axis=-1, keepdims=True)
        left_out = harmonic_mean(_without(seen), u), harmonic_mean(s, _without(unseen))
        means = [values.mean(axis=2) for values in left_out]
        seen_side, unseen_side = ((x.shape[-1] - 1) * (x.mean(axis=-1, keepdims=True) - x) for x in means)
        return cls(hm.mean(axis=-1), hm.var(axis=-1, ddof=1) / runs, (seen_side, unseen_side), runs)

    def rows(self) -> tuple[Doubles, Doubles]:
        """Standard errors and degrees of freedom of the rows."""
        return self._error(list(self.influences), [self.seeds])

    def pairs(self) -> tuple[Doubles, Doubles]:
        """Those of the differences of all pairs of rows."""
        changes = [side[:, SECOND] - side[:, FIRST] for side in self.influences]
        return self._error(changes, [self.seeds[:, FIRST], self.seeds[:, SECOND]])

    def p_values(self) -> Doubles:
        """(boards, pairs), each by itself."""
        error, degrees = self.pairs()
        return 2 * t.sf(np.abs(self.hm[:, SECOND] - self.hm[:, FIRST]) / error, degrees)

    def _error(self, changes: list[Doubles], seeds: list[Doubles]) -> tuple[Doubles, Doubles]:
        parts = [(change.var(axis=-1, ddof=1) / change.shape[-1], change.shape[-1] - 1) for change in changes]
        fewest = min(number for _, number in parts)
        parts += [(part, self.runs - 1) for part in seeds]
        variance = sum(part for part, _ in parts)
        degrees = variance**2 / sum(part**2 / number for part, number in parts)
        return np.sqrt(variance), np.clip(degrees, 1, fewest)


def simulate_in_use(cell: Cell, boards: int, powered: int) -> dict[str, object]:
    """What is wrong and covered on ``boards`` boards of exchangeable rows, and found on ``powered`` others."""
    random = cell.random()
    wrong, covered = [], []
    for number in range(-(-boards // BATCH)):
        level = LEVELS[number % len(LEVELS)]
        recalls = cell.recalls_of_boards(random, [level] * ROWS, BATCH)
        found, true = Boards.of(*recalls), cell.true_hm(*level)
        wrong.append((_holm(found.p_values()) < ALPHA).any(axis=1))
        error, degrees = found.rows()
        odds = np.abs(logit(found.hm / 100) - logit(true / 100))
        covered.append(odds * found.hm * (100 - found.hm) / 100 <= t.ppf((1 + LEVEL) / 2, degrees) * error)
        _check(recalls, found, true, covered[-1])
    across = (FIRST < ROWS // 2) & (SECOND >= ROWS // 2)
    gain = cell.true_hm(*APART[1]) - cell.true_hm(*APART[0])
    pair, board, difference = [], [], []
    for _ in range(-(-powered // BATCH)):
        found = Boards.of(*cell.recalls_of_boards(random, [APART[row >= ROWS // 2] for row in range(ROWS)], BATCH))
        p = found.p_values()
        error, degrees = found.pairs()
        half = t.ppf((1 + LEVEL) / 2, degrees) * error
        pair.append(p[:, across] < ALPHA)
        board.append(_holm(p)[:, across] < ALPHA)
        difference.append((np.abs(found.hm[:, SECOND] - found.hm[:, FIRST] - gain) <= half)[:, across])
    counted = {"wrong": wrong, "covered": covered, "difference covered": difference, "found, pair": pair}
    shares = {
        name: float(np.mean(np.concatenate(values))) for name, values in (counted | {"found, board": board}).items()
    }
    return {**vars(cell), **shares}


def _without(side: Doubles) -> Doubles:
    return (side.sum(axis=-1, keepdims=True) - side) / (side.shape[-1] - 1)


def _holm(p_values: Doubles) -> Doubles:
    order = np.argsort(p_values, axis=1)
    factors = np.arange(p_values.shape[1], 0, -1)
    stepped = np.maximum.accumulate(np.take_along_axis(p_values, order, axis=1) * factors, axis=1)
    found = np.empty_like(p_values)
    np.put_along_axis(found, order, np.minimum(stepped, 1), axis=1)
    return found


def _check(recalls: tuple[Doubles, Doubles], found: Boards, true: float, covered: NDArray[np.bool_]) -> None:
    """The first board of a batch by the code of the board. Raises ``AssertionError`` where it says something else."""
    seen, unseen = (side[0] for side in recalls)
    rows = [Recalls(s, u, u) for s, u in zip(seen, unseen, strict=True)]
    estimates = Estimates.of(rows, "HM")
    p = estimates.p_values()
    np.testing.assert_allclose(p[FIRST, SECOND], found.p_values()[0])
    np.testing.assert_allclose(corrected(p)[FIRST, SECOND], _holm(found.p_values())[0])
    ends = [interval(estimates, row) for row in range(ROWS)]
    assert [end.low <= true <= end.high for end in ends] == covered[0].tolist()
