from __future__ import annotations

import subprocess
import sys
from itertools import combinations
from statistics import fmean

import numpy as np
import pytest
import scipy.stats
from hypothesis import given, settings
from hypothesis import strategies as st
from simulated_results import simulated_run

from avbench.harness.evaluation.metrics import evaluate
from avbench.harness.records.results import unpack_evidence
from avbench.harness.tracks import Track
from avbench.leaderboard.claims import PRINTED, Metric
from avbench.leaderboard.statistics import (
    DRAWS,
    Difference,
    Interval,
    Recalls,
    Redrawn,
    Standing,
    compare,
    interval,
    intervals,
    standings,
    step_down,
)

QUICK = settings(max_examples=20, deadline=None)
SEED = st.integers(0, 2**32)


def simulated(
    random: np.random.Generator,
    level: float = 30.0,
    runs: int = 4,
    noise: float = 15.0,
    classes: tuple[int, int] = (40, 20),
    seed_noise: float = 1.0,
) -> Recalls:
    """Rows on the same classes, seen and unseen, of differing difficulty."""
    seen, unseen = classes
    total = seen + 2 * unseen
    difficulty = np.random.default_rng(1).normal(0, 10, total)
    values = level + difficulty + random.normal(0, noise, total) + random.normal(0, seed_noise, (runs, 1))
    values = np.clip(values + random.normal(0, 5, (runs, total)), 0, 100)
    return Recalls(values[:, :seen], values[:, seen : seen + unseen], values[:, seen + unseen :])


def hm(recalls: Recalls) -> float:
    """The mean over seeds of HM, as boards show it."""
    accuracies = zip(recalls.seen.mean(axis=1), recalls.unseen.mean(axis=1), strict=True)
    return fmean(2 * s * u / (s + u) for s, u in accuracies)


def ranks(found: list[Standing]) -> list[tuple[int, int]]:
    return [(standing.best, standing.worst) for standing in found]


@QUICK
@given(SEED, st.integers(1, 5))
def test_equal_rows_always_tie(seed: int, rows: int) -> None:
    row = simulated(np.random.default_rng(seed))
    assert ranks(standings([row] * rows)) == [(1, rows)] * rows
    assert all(d.points == 0 and d.p == 1 for d in compare(row, row).values())


@QUICK
@given(SEED, st.sampled_from(PRINTED))
def test_the_order_of_the_two_rows_does_not_matter(seed: int, metric: Metric) -> None:
    random = np.random.default_rng(seed)
    one, two = simulated(random), simulated(random, 35, runs=3)
    there, back = compare(one, two)[metric], compare(two, one)[metric]
    assert there.interval is not None
    assert back.interval is not None
    assert (there.points, there.p) == (-back.points, back.p)
    assert there.interval.low == pytest.approx(-back.interval.high)


@QUICK
@given(SEED, st.integers(2, 6))
def test_the_order_of_the_rows_of_a_board_does_not_matter(seed: int, count: int) -> None:
    random = np.random.default_rng(seed)
    rows = [simulated(random, 30 + 4 * number, runs=3 + number % 2, noise=6) for number in range(count)]
    order = random.permutation(count)
    assert standings([rows[place] for place in order]) == [standings(rows)[place] for place in order]


@QUICK
@given(SEED, st.floats(0, 15), st.integers(3, 6))
def test_an_interval_excludes_0_exactly_where_p_is_below_5_percent(seed: int, gap: float, runs: int) -> None:
    random = np.random.default_rng(seed)
    for found in compare(simulated(random, noise=8), simulated(random, 30 + gap, runs, noise=8)).values():
        assert found.interval is not None
        assert found.p is not None
        assert (found.interval.low > 0 or found.interval.high < 0) == (found.p < 0.05)
        assert found.interval.low <= found.points <= found.interval.high


def test_what_is_tested_is_what_is_shown() -> None:
    """Mean over seeds of HM, not HM of mean recalls: here the two disagree about which row is better."""
    random = np.random.default_rng(2)
    swinging, steady = simulated(random, 50, runs=4, noise=1), simulated(random, 44, runs=4, noise=1)
    seen, unseen = swinging.seen.copy(), swinging.unseen.copy()
    seen[::2] *= 0.4
    unseen[1::2] *= 0.4
    swinging = Recalls(seen, unseen, swinging.zero_shot)
    pooled = [
        Recalls(*(part.mean(axis=0)[None] for part in (r.seen, r.unseen, r.zero_shot))) for r in (swinging, steady)
    ]
    shrunk = Recalls(*(0.75 * part for part in (steady.seen, steady.unseen, steady.zero_shot)))
    assert hm(swinging) < hm(shrunk) < 0.75 * hm(pooled[1]) + 0.1 < hm(pooled[0])
    assert compare(swinging, shrunk)["HM"].points == pytest.approx(hm(shrunk) - hm(swinging))


@pytest.mark.parametrize("seeds", [1, 2])
def test_fewer_than_three_seeds_say_nothing(seeds: int) -> None:
    random = np.random.default_rng(4)
    best, few, worst = (simulated(random, level, runs, noise=1) for level, runs in ((70, 4), (50, seeds), (20, 3)))
    assert intervals(few) == {}
    assert compare(best, few)["HM"] == Difference(pytest.approx(hm(few) - hm(best)), None, None)
    found = standings([best, few, worst])
    assert ranks(found) == [(1, 2), (1, 3), (2, 3)]
    assert [standing.enough for standing in found] == [True, False, True]
    assert {standing.p for standing in found} == {None}


def test_a_single_class_says_nothing() -> None:
    row = simulated(np.random.default_rng(0), classes=(4, 1))
    assert not row.enough
    assert compare(row, row)["U"] == Difference(0.0, None, None)


def test_obvious_differences_are_found_and_ranked() -> None:
    random = np.random.default_rng(4)
    rows = [simulated(random, level, noise=3) for level in (60, 45, 44.9, 20)]
    found = standings(rows)
    assert ranks(found) == [(1, 1), (2, 3), (2, 3), (4, 4)]
    assert [str(standing) for standing in found] == ["1", "2–3", "2–3", "4"]
    assert found[0].p == pytest.approx(1 / (DRAWS + 1))
    difference = compare(rows[0], rows[3])["HM"]
    assert difference.p is not None
    assert difference.interval is not None
    assert difference.p < 0.001
    assert difference.interval.high < 0


def test_draws_against_data_that_is_copied_class_by_class_and_seed_by_seed() -> None:
    random = np.random.default_rng(5)
    rows = [simulated(random, runs=3, classes=(6, 4)) for _ in range(3)]
    redrawn = Redrawn.of(rows, "HM", draws=7)
    first, second = np.array([0, 0, 1]), np.array([1, 2, 2])
    points, variance = redrawn.pairs(first, second, slice(None))
    for draw in range(8):
        copies = [np.round(shares[draw] * shares.shape[1]).astype(int) for shares in redrawn.shares]
        for pair, (i, j) in enumerate(zip(first, second, strict=True)):
            expected, error = _slowly(rows, (i, j), copies, redrawn, draw)
            assert points[draw, pair] == pytest.approx(expected)
            assert variance[draw, pair] == pytest.approx(error)


def _slowly(
    rows: list[Recalls], pair: tuple[int, int], copies: list[np.ndarray], redrawn: Redrawn, draw: int
) -> tuple[float, float]:
    """Difference and squared standard error, from data in which a class or seed that was drawn twice stands twice."""
    value, seeds, influence = {}, 0.0, {}
    for k in pair:
        seen, unseen = (
            np.repeat(side, n, axis=1) for side, n in zip((rows[k].seen, rows[k].unseen), copies, strict=True)
        )
        s, u = seen.mean(axis=1), unseen.mean(axis=1)
        # The seeds that were drawn: the one multiset that gives the value of the draw.
        every = [2 * a * b / (a + b) for a, b in zip(s, u, strict=True)]
        chosen = next(
            c
            for c in _multisets(len(every))
            if fmean(every[r] for r in c) == pytest.approx(redrawn.value[draw, k], abs=1e-9)
        )
        values = [every[r] for r in chosen]
        value[k] = fmean(values)
        seeds += np.var(values, ddof=1) / len(values)
        slopes = (
            fmean(2 * (u[r] / (s[r] + u[r])) ** 2 for r in chosen),
            fmean(2 * (s[r] / (s[r] + u[r])) ** 2 for r in chosen),
        )
        influence[k] = [slope * side.mean(axis=0) for slope, side in zip(slopes, (seen, unseen), strict=True)]
    classes = 0.0
    for one, two in zip(*(influence[k] for k in pair), strict=True):
        classes += np.var(two - one, ddof=0) / (len(one) - 1)
    return value[pair[1]] - value[pair[0]], seeds + classes


def _multisets(count: int) -> list[list[int]]:
    grid = np.stack(np.meshgrid(*[np.arange(count)] * count), axis=-1).reshape(-1, count)
    return [list(map(int, each)) for each in np.unique(np.sort(grid, axis=1), axis=0)]


def test_step_down_against_its_definition() -> None:
    random = np.random.default_rng(6)
    redrawn = Redrawn.of([simulated(random, 30 + 2 * k, noise=5) for k in range(5)], "HM", draws=199)
    first, second = np.triu_indices(5, 1)
    points, variance = redrawn.pairs(first, second, slice(None))
    observed = np.abs(points[0]) / np.sqrt(variance[0])
    drawn = np.abs(points[1:] - points[0]) / np.sqrt(variance[1:])
    slow: dict[int, float] = {}
    left = set(range(len(first)))
    while left:
        hardest = max(left, key=lambda pair: observed[pair])
        reached = sum(max(line[list(left)]) >= observed[hardest] for line in drawn)
        slow[hardest] = max([(1 + reached) / 200, *slow.values()])
        left.remove(hardest)
    assert step_down(redrawn, first, second).tolist() == pytest.approx([slow[pair] for pair in range(len(first))])


def test_intervals_agree_with_those_of_student_where_classes_are_many_and_normal() -> None:
    random = np.random.default_rng(7)
    values = np.repeat(random.normal(50, 8, (1, 200)), 3, axis=0)
    theirs = scipy.stats.ttest_1samp(values[0], 0).confidence_interval(0.95)
    ours = intervals(Recalls(values, values, values))["S"]
    assert (ours.low, ours.high) == pytest.approx((theirs.low, theirs.high), abs=0.15)


def test_seeds_widen_intervals() -> None:
    width = {}
    for seed_noise in (0.5, 8.0):
        found = intervals(simulated(np.random.default_rng(8), 50, seed_noise=seed_noise))["HM"]
        width[seed_noise] = found.high - found.low
    assert width[8.0] > 1.5 * width[0.5]


def test_intervals_cover_the_truth_about_as_often_as_they_say() -> None:
    """S and U of 30 on average: HM is 30 but for the curvature of HM, which is small."""
    random = np.random.default_rng(9)
    hits = 0
    for _ in range(300):
        values = 30 + random.normal(0, 12, (1, 60)) + random.normal(0, 2, (4, 1)) + random.normal(0, 4, (4, 60))
        row = Recalls(values[:, :51], values[:, 51:], values[:, 51:])
        found = interval(Redrawn.of([row], "U", draws=199), 0)
        hits += found.low <= 30 <= found.high
    assert 0.91 <= hits / 300 <= 0.99


def test_rows_without_a_difference_are_seldom_told_apart() -> None:
    """Eight rows on nine unseen classes: at most 5 % of boards, here at most 10 % of 150."""
    random = np.random.default_rng(10)
    first, second = np.triu_indices(8, 1)
    wrong = 0
    for _ in range(150):
        difficulty = random.normal(0, 12, 51)
        values = 35 + difficulty + random.normal(0, 10, (8, 1, 51)) + random.normal(0, 6, (8, 3, 51))
        rows = [Recalls(v[:, :42], v[:, 42:], v[:, 42:]) for v in np.clip(values, 0, 100)]
        wrong += bool((step_down(Redrawn.of(rows, "HM", draws=199), first, second) < 0.05).any())
    assert wrong <= 15


@QUICK
@given(SEED, st.integers(3, 5))
def test_intervals_hold_the_mean_over_runs(seed: int, runs: int) -> None:
    row = simulated(np.random.default_rng(seed), runs=runs)
    found = intervals(row)
    values = {"S": row.seen.mean(), "U": row.unseen.mean(), "HM": hm(row), "ZSL": row.zero_shot.mean()}
    assert {
        metric: found[metric].low < value < found[metric].high for metric, value in values.items()
    } == dict.fromkeys(  # type: ignore[index]
        values, True
    )


def test_rows_that_never_vary() -> None:
    nothing, everything = (Recalls(*(np.full((3, n), level) for n in (6, 4, 4))) for level in (0.0, 100.0))
    assert set(intervals(nothing).values()) == {Interval(0, 0)}
    assert set(intervals(everything).values()) == {Interval(100, 100)}
    assert ranks(standings([nothing, everything])) == [(2, 2), (1, 1)]
    assert compare(nothing, nothing)["HM"] == Difference(0.0, Interval(0, 0), 1.0)


def test_one_class_that_is_ever_right_leaves_all_open() -> None:
    unseen = np.zeros((3, 9))
    unseen[:, 0] = 90
    row = Recalls(np.full((3, 9), 50.0), unseen, unseen)
    assert intervals(row)["U"] == Interval(0, 100)
    assert compare(row, row)["U"].p == 1


def test_no_rows_and_one_row() -> None:
    assert standings([]) == []
    (only,) = standings([simulated(np.random.default_rng(0))])
    assert only == Standing(1, 1, None, True)


def test_recalls_of_evidence_give_the_metrics() -> None:
    runs = []
    for seed in (0, 1):
        record, content = simulated_run("avca", Track("ucf", "main"), seed=seed)
        assert record.outcome is not None
        runs.append((unpack_evidence(content, "test")["test"], record.outcome.offset))
    recalls = Recalls.together([Recalls.of(table, offset) for table, offset in runs])
    for number, (table, offset) in enumerate(runs):
        metrics = evaluate(table, offset)
        assert recalls.seen[number].mean() == pytest.approx(metrics.S)
        assert recalls.unseen[number].mean() == pytest.approx(metrics.U)
        assert recalls.zero_shot[number].mean() == pytest.approx(metrics.ZSL)
    assert (recalls.seen.shape, recalls.unseen.shape) == ((2, 42), (2, 9))


def test_rows_on_other_classes_are_refused() -> None:
    row = simulated(np.random.default_rng(0))
    with pytest.raises(ValueError, match="different classes"):
        compare(row, Recalls(row.seen[:, 1:], row.unseen, row.zero_shot))


def test_many_rows_can_still_be_told_apart() -> None:
    random = np.random.default_rng(9)
    rows = [simulated(random, level, noise=0.5, seed_noise=0.2) for level in np.linspace(90, 10, 120)]
    found = standings(rows)
    assert len({standing.best for standing in found}) > 30
    assert all(one.best <= two.worst for one, two in combinations(found, 2))


def test_another_process_says_the_same() -> None:
    code = (
        "import numpy as np; from avbench.leaderboard.statistics import *; r = np.random.default_rng(0)\n"
        "rows = [Recalls(*(r.uniform(0, 100, (3, n)) for n in (42, 9, 9))) for _ in range(3)]\n"
        "print(standings(rows), compare(*rows[:2]), intervals(rows[0]))"
    )
    said = [subprocess.run([sys.executable, "-c", code], capture_output=True, check=True).stdout for _ in range(2)]
    assert said[0] == said[1] != b""
