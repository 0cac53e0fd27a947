from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
import scipy.stats
from hypothesis import given, settings
from hypothesis import strategies as st
from simulated_results import simulated_run

from avbench.harness.evaluation.metrics import evaluate
from avbench.harness.records.results import unpack_evidence
from avbench.harness.tracks import Track
from avbench.leaderboard.claims import PRINTED
from avbench.leaderboard.statistics import Recalls, compare, holm, intervals, permutation_p, standings

QUICK = settings(max_examples=30, deadline=None)


def simulated(random: np.random.Generator, level: float = 30.0, runs: int = 1, noise: float = 15.0) -> Recalls:
    """Rows on the same 40 seen and 20 unseen classes of differing difficulty."""
    difficulty = np.random.default_rng(1).normal(0, 10, 80)
    values = np.clip(level + difficulty + random.normal(0, noise, (runs, 80)), 0, 100)
    return Recalls(values[:, :40], values[:, 40:60], values[:, 60:])


def hm(recalls: Recalls) -> float:
    s, u = recalls.seen.mean(), recalls.unseen.mean()
    return float(2 * s * u / (s + u))


@QUICK
@given(st.integers(0, 2**32), st.integers(1, 5))
def test_equal_rows_always_tie(seed: int, rows: int) -> None:
    row = simulated(np.random.default_rng(seed), runs=2)
    assert permutation_p(row, row) == 1
    assert [standing.rank for standing in standings([row] * rows)] == [1] * rows
    assert all(d.points == 0 and d.p == 1 for d in compare(row, row).values())


@QUICK
@given(st.integers(0, 2**32), st.sampled_from(PRINTED))
def test_the_order_of_the_two_rows_does_not_matter(seed: int, metric: str) -> None:
    random = np.random.default_rng(seed)
    one, two = simulated(random), simulated(random, 35)
    assert permutation_p(one, two, metric) == permutation_p(two, one, metric)  # type: ignore[arg-type]
    there, back = compare(one, two)[metric], compare(two, one)[metric]  # type: ignore[index]
    assert there.points == -back.points
    assert there.interval.low == pytest.approx(-back.interval.high)


@pytest.mark.parametrize("metric", PRINTED)
def test_p_values_are_uniform_where_nothing_differs(metric: str) -> None:
    random = np.random.default_rng(3)
    found = [permutation_p(simulated(random), simulated(random), metric, draws=499) for _ in range(400)]  # type: ignore[arg-type]
    assert scipy.stats.kstest(found, "uniform").pvalue > 0.01
    assert np.mean(np.array(found) <= 0.05) == pytest.approx(0.05, abs=0.03)


def test_obvious_differences_are_found_and_ranked() -> None:
    random = np.random.default_rng(4)
    rows = [simulated(random, level, noise=3) for level in (60, 45, 44.9, 20)]
    assert [s.rank for s in standings(rows)] == [1, 2, 2, 4]
    assert compare(rows[0], rows[3])["HM"].p < 0.001
    assert compare(rows[0], rows[3])["HM"].interval.high < 0


def test_p_agrees_with_the_test_of_scipy() -> None:
    random = np.random.default_rng(5)
    one, two = simulated(random), simulated(random, 33)

    def statistic(x: np.ndarray, y: np.ndarray, axis: int) -> np.ndarray:
        s, u = (np.stack([z[..., :40].mean(axis=axis), z[..., 40:].mean(axis=axis)]) for z in (y, x))
        return 2 * s[0] * s[1] / s.sum(axis=0) - 2 * u[0] * u[1] / u.sum(axis=0)

    data = tuple(np.concatenate([r.seen[0], r.unseen[0]]) for r in (one, two))
    theirs = scipy.stats.permutation_test(
        data, statistic, permutation_type="samples", vectorized=True, n_resamples=9_999, random_state=0, axis=-1
    )
    assert permutation_p(one, two) == pytest.approx(theirs.pvalue, abs=0.02)
    assert compare(one, two)["HM"].points == pytest.approx(theirs.statistic)


def test_interval_agrees_with_the_bootstrap_of_scipy() -> None:
    row = simulated(np.random.default_rng(6))
    ours = intervals(row)["S"]
    theirs = scipy.stats.bootstrap(
        (row.seen[0],), np.mean, method="percentile", n_resamples=9_999, random_state=0
    ).confidence_interval
    assert (ours.low, ours.high) == pytest.approx((theirs.low, theirs.high), abs=0.5)


def test_intervals_cover_the_truth_about_as_often_as_they_say() -> None:
    random = np.random.default_rng(7)
    hits = 0
    for _ in range(300):
        values = np.clip(random.normal(40, 15, 80), 0, 100)
        found = intervals(Recalls(values[None, :40], values[None, 40:60], values[None, 60:]))
        hits += found["S"].low <= 40 <= found["S"].high
    assert 0.88 <= hits / 300 <= 0.99


@QUICK
@given(st.integers(0, 2**32), st.integers(1, 4))
def test_intervals_hold_the_mean_over_runs(seed: int, runs: int) -> None:
    row = simulated(np.random.default_rng(seed), runs=runs)
    found = intervals(row)
    for metric, value in {"S": row.seen.mean(), "U": row.unseen.mean(), "ZSL": row.zero_shot.mean()}.items():
        assert found[metric].low <= value <= found[metric].high  # type: ignore[index]
    assert found["HM"].low <= hm(row.mean) <= found["HM"].high


@given(st.lists(st.floats(0, 1), max_size=12))
def test_holm_against_its_definition(p_values: list[float]) -> None:
    slow = []
    for p in p_values:
        smaller = sorted(p_values)
        slow.append(max(min(1.0, (len(smaller) - k) * q) for k, q in enumerate(smaller) if q <= p))
    assert holm(p_values) == pytest.approx(slow)


def test_a_chain_of_small_steps_does_not_tie_its_ends() -> None:
    random = np.random.default_rng(8)
    rows = [simulated(random, 60 - step, noise=1.5) for step in np.arange(0, 6, 0.3)]
    found = standings(sorted(rows, key=hm, reverse=True))
    ranks = [s.rank for s in found]
    assert ranks == sorted(ranks)
    assert ranks[0] == 1 < ranks[-1]
    tied_with_next = sum(a == b for a, b in pairwise(ranks))
    assert tied_with_next > len(ranks) / 2


def test_no_rows_and_one_row() -> None:
    assert standings([]) == []
    (only,) = standings([simulated(np.random.default_rng(0))])
    assert (only.rank, only.p_above) == (1, None)


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
    rows = [simulated(random, level, noise=0.5) for level in np.linspace(90, 10, 260)]
    assert len({s.rank for s in standings(sorted(rows, key=hm, reverse=True))}) > 30
