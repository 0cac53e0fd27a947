from __future__ import annotations

import subprocess
import sys
from itertools import combinations
from statistics import fmean, variance

import numpy as np
import pytest
import scipy.stats
from hypothesis import given, settings
from hypothesis import strategies as st
from simulated_results import simulated_run
from statsmodels.stats.multitest import multipletests

from avbench.harness.evaluation.metrics import evaluate
from avbench.harness.records.results import unpack_evidence
from avbench.harness.tracks import Track
from avbench.leaderboard.claims import PRINTED, Metric
from avbench.leaderboard.estimates import Estimates
from avbench.leaderboard.recalls import Recalls
from avbench.leaderboard.statistics import (
    Difference,
    Interval,
    Standing,
    average_interval,
    compare,
    corrected,
    interval,
    intervals,
    standings,
)

pytestmark = pytest.mark.usefixtures("little_garbage")

QUICK = settings(max_examples=20, deadline=None)
SEED = st.integers(0, 2**32)
SIDES = ("seen", "unseen", "zero_shot")


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
    assert (there.points, there.p) == (-back.points, pytest.approx(back.p))
    assert there.interval.low == pytest.approx(-back.interval.high)


@QUICK
@given(SEED, st.integers(2, 6))
def test_the_order_of_the_rows_of_a_board_does_not_matter(seed: int, count: int) -> None:
    random = np.random.default_rng(seed)
    rows = [simulated(random, 30 + 4 * number, runs=3 + number % 2, noise=6) for number in range(count)]
    order = random.permutation(count)
    assert ranks(standings([rows[place] for place in order])) == [ranks(standings(rows))[place] for place in order]


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
    assert found[0].p is not None
    assert found[0].p < 0.001
    assert found[1].p == pytest.approx(found[2].p)
    difference = compare(rows[0], rows[3])["HM"]
    assert difference.p is not None
    assert difference.interval is not None
    assert difference.p < 0.001
    assert difference.interval.high < 0


@QUICK
@given(SEED, st.integers(3, 5), st.integers(3, 5))
def test_squared_standard_errors_against_loops_over_classes_and_seeds(seed: int, one: int, two: int) -> None:
    random = np.random.default_rng(seed)
    rows = [simulated(random, runs=runs, classes=(6, 4)) for runs in (one, two)]
    for metric in PRINTED:
        estimates = Estimates.of(rows, metric)
        errors = estimates.pairs()
        squared, degrees = errors.variance, errors.degrees
        parts, least = _slowly(rows, metric)
        assert squared[0, 1] == pytest.approx(sum(part for part, _ in parts))
        spread = sum(part**2 / freedom for part, freedom in parts)
        assert degrees[0, 1] == pytest.approx(min(squared[0, 1] ** 2 / spread, least))
        p = 2 * scipy.stats.t.sf(
            abs(_mean(rows[1], metric) - _mean(rows[0], metric)) / squared[0, 1] ** 0.5, degrees[0, 1]
        )
        assert compare(*rows)[metric].p == pytest.approx(p)


def _mean(row: Recalls, metric: Metric) -> float:
    """The mean over seeds of the metric, as boards show it."""
    sides = {"S": row.seen, "U": row.unseen, "ZSL": row.zero_shot}
    return hm(row) if metric == "HM" else fmean(sides[metric].mean(axis=1))


def _slowly(rows: list[Recalls], metric: Metric) -> tuple[list[tuple[float, int]], int]:
    """Parts of the squared standard error of the difference of two rows with their degrees, and the fewest classes."""
    parts = []
    counts = []
    for side in {"S": ["seen"], "U": ["unseen"], "HM": ["seen", "unseen"], "ZSL": ["zero_shot"]}[metric]:
        n = getattr(rows[0], side).shape[1]
        without = []
        for left in range(n):
            shorter = [
                Recalls(**{s: np.delete(getattr(row, s), left, 1) if s == side else getattr(row, s) for s in SIDES})
                for row in rows
            ]
            without.append(_mean(shorter[1], metric) - _mean(shorter[0], metric))
        parts.append(((n - 1) / n * sum((x - fmean(without)) ** 2 for x in without), n - 1))
        counts.append(n - 1)
    for row in rows:
        runs = [Recalls(*(getattr(row, s)[[r]] for s in SIDES)) for r in range(row.seeds)]
        parts.append((variance([_mean(run, metric) for run in runs]) / row.seeds, row.seeds - 1))
    return parts, min(counts)


@given(st.lists(st.floats(0, 1), min_size=6, max_size=6))
def test_correction_against_that_of_statsmodels(p_values: list[float]) -> None:
    first, second = np.triu_indices(4, 1)
    matrix = np.ones((4, 4))
    matrix[first, second] = matrix[second, first] = p_values
    found = corrected(matrix)
    assert found[first, second].tolist() == pytest.approx(multipletests(p_values, method="holm")[1].tolist())
    assert np.array_equal(found, found.T)


def test_intervals_agree_with_those_of_student_where_classes_are_many_and_normal() -> None:
    random = np.random.default_rng(7)
    values = np.repeat(random.normal(50, 8, (1, 200)), 3, axis=0)
    theirs = scipy.stats.ttest_1samp(values[0], 0).confidence_interval(0.95)
    ours = intervals(Recalls(values, values, values))["S"]
    assert (ours.low, ours.high) == pytest.approx((theirs.low, theirs.high), abs=0.05)


def test_differences_agree_with_the_paired_test_of_student_where_seeds_never_differ() -> None:
    random = np.random.default_rng(7)
    one, two = (np.repeat(random.normal(level, 8, (1, 30)), 3, axis=0) for level in (50, 53))
    theirs = scipy.stats.ttest_rel(two[0], one[0])
    ours = compare(Recalls(one, one, one), Recalls(two, two, two))["S"]
    assert ours.interval is not None
    assert ours.p == pytest.approx(theirs.pvalue)
    assert (ours.interval.low, ours.interval.high) == pytest.approx(tuple(theirs.confidence_interval(0.95)))


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
        found = interval(Estimates.of([row], "U"), 0)
        hits += found.low <= 30 <= found.high
    assert 0.91 <= hits / 300 <= 0.99


def test_rows_without_a_difference_are_seldom_told_apart() -> None:
    """Eight rows on nine unseen classes: at most 5 % of boards, here at most 10 % of 150."""
    random = np.random.default_rng(10)
    wrong = 0
    for _ in range(150):
        difficulty = random.normal(0, 12, 51)
        values = 35 + difficulty + random.normal(0, 10, (8, 1, 51)) + random.normal(0, 6, (8, 3, 51))
        rows = [Recalls(v[:, :42], v[:, 42:], v[:, 42:]) for v in np.clip(values, 0, 100)]
        wrong += any(standing.alone or standing.best > 1 for standing in standings(rows))
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


def alike(level: float, seen: int = 42, unseen: int = 9) -> Recalls:
    """A row on whose classes nothing differs."""
    return Recalls(*(np.full((3, n), level) for n in (seen, unseen, unseen)))


def test_rows_that_never_vary_are_not_known_for_certain() -> None:
    nothing, everything = alike(0), alike(100)
    share = 1 - 0.05 ** (1 / 9)  # 28 %: the rule of three for nine classes
    assert intervals(nothing)["U"] == Interval(0, pytest.approx(100 * share))
    assert intervals(everything)["U"] == Interval(pytest.approx(100 - 100 * share), 100)
    assert intervals(nothing)["S"].high == pytest.approx(100 * (1 - 0.05 ** (1 / 42)))
    assert intervals(nothing)["HM"] == Interval(0, pytest.approx(200 * (1 - 0.025 ** (1 / 9))))
    assert ranks(standings([nothing, everything])) == [(1, 2)] * 2  # nine classes are too few
    many = [alike(level, 207, 69) for level in (0, 100)]
    assert ranks(standings(many)) == [(2, 2), (1, 1)]
    assert compare(nothing, nothing)["HM"].p == 1
    for found in (compare(nothing, everything)[metric] for metric in PRINTED):
        assert found.interval is not None
        assert found.p is not None
        assert (found.interval.low > 0) == (found.p < 0.05)


@pytest.mark.parametrize("metric", PRINTED)
@pytest.mark.parametrize("classes", [2, 9, 50])
def test_intervals_without_variance_miss_seldom_enough(metric: Metric, classes: int) -> None:
    """A share of the classes of the kind is recognised, the others never: by no share may both happen, that none of
    the former is among those at hand and that the interval misses, more often than in 5 %."""
    high = intervals(alike(0, classes, classes))[metric].high
    for share in np.linspace(0, 1, 201):
        true = 100 * share if metric != "HM" else 100 * 2 * share / (1 + share)  # HM: S is 100 on all others
        if true > high + 1e-9:
            assert (1 - share) ** classes <= 0.05


def test_a_constant_difference_of_few_classes_tells_nothing_apart() -> None:
    one = simulated(np.random.default_rng(3), 40, classes=(12, 9))
    two = Recalls(*(getattr(one, side) + 7.3 for side in SIDES))
    found = compare(one, two)["U"]
    assert found.points == pytest.approx(7.3)
    assert found.p is not None
    assert found.p > 0.5
    assert found.interval is not None
    assert found.interval.low < 0 < found.interval.high


def test_seeds_count_where_classes_are_alike() -> None:
    runs = np.array([10.0, 40.0, 70.0])[:, None]
    row = Recalls(*(np.repeat(runs, n, axis=1) for n in (400, 300, 300)))
    theirs = scipy.stats.ttest_1samp(runs[:, 0], 0).confidence_interval(0.95)
    found = intervals(row)["U"]
    assert (found.low, found.high) == pytest.approx((max(theirs.low, 0), min(theirs.high, 100)))


def test_the_average_of_a_row_that_never_varies_is_uncertain_too() -> None:
    row, nothing = simulated(np.random.default_rng(4), 50, runs=6), alike(0)
    both = average_interval([row, nothing], "U")
    assert both is not None
    assert both.high - both.low > intervals(nothing)["U"].high / 2
    assert average_interval([nothing], "U") == intervals(nothing)["U"]


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
        "import numpy as np; from avbench.leaderboard.recalls import Recalls\n"
        "from avbench.leaderboard.statistics import *; r = np.random.default_rng(0)\n"
        "rows = [Recalls(*(r.uniform(0, 100, (3, n)) for n in (42, 9, 9))) for _ in range(3)]\n"
        "print(standings(rows), compare(*rows[:2]), intervals(rows[0]))"
    )
    said = [subprocess.run([sys.executable, "-c", code], capture_output=True, check=True).stdout for _ in range(2)]
    assert said[0] == said[1] != b""


def test_the_interval_of_an_average_over_data_sets() -> None:
    """Of one data set it is that of its row; of two alike the standard error is smaller by the root of two."""
    random = np.random.default_rng(4)
    row = simulated(random, 50, runs=6, classes=(200, 200))
    alone = intervals(row)["HM"]
    assert average_interval([row], "HM") == alone
    both = average_interval([row, row], "HM")
    assert both is not None
    assert (both.high - both.low) / (alone.high - alone.low) == pytest.approx(0.5**0.5, rel=0.03)
    assert average_interval([row, simulated(random, 50, runs=2)], "HM") is None


def test_the_interval_of_an_average_covers() -> None:
    """Over boards of three data sets of unlike sizes; known truth: classes without difficulty, all of one level."""
    random, hits = np.random.default_rng(5), 0
    for _ in range(300):
        rows = []
        for seen, unseen in ((42, 9), (150, 50), (207, 69)):
            values = 50 + random.normal(0, 15, seen + 2 * unseen) + random.normal(0, 2, (4, 1))
            rows.append(Recalls(values[:, :seen], values[:, seen : seen + unseen], values[:, seen + unseen :]))
        found = average_interval(rows, "U")
        assert found is not None
        hits += found.low <= 50 <= found.high
    assert hits / 300 >= 0.92
