"""What counts as the noise of seeds: against loops, against the distribution that it is made for, and at its edges."""

from __future__ import annotations

import math
from statistics import fmean, stdev

import numpy as np
import pytest
from simulated_results import simulated_run

from avbench.harness.errors import RecordError
from avbench.harness.evaluation.evidence import Evidence
from avbench.harness.evaluation.metrics import evaluate, per_class_recall
from avbench.harness.evaluation.noise import LEVEL, Decisions, among_seeds, deviation, over_classes
from avbench.harness.records.results import unpack_evidence
from avbench.harness.tracks import Track

UCF = Track("ucf", "main")


def decisions(seed: int, skill: float = 0.3) -> Decisions:
    record, evidence = simulated_run("one", UCF, seed=seed, skill=skill)
    assert record.outcome is not None
    return Decisions(unpack_evidence(evidence, "test")["test"], record.outcome.offset)


def test_one_more_seed_is_within_the_interval_as_often_as_it_says() -> None:
    random = np.random.default_rng(0)
    for n in (3, 5):
        draws = random.normal(30, 2, (4000, n + 1))
        inside = fmean(among_seeds(row[:n].tolist(), float(row[n])).is_noise for row in draws)
        assert inside == pytest.approx(LEVEL, abs=0.006)


def test_the_interval_among_seeds_by_hand() -> None:
    known, value = [30.0, 31.0, 35.0], 40.0
    found = among_seeds(known, value)
    assert found.statistic == pytest.approx((40 - fmean(known)) / (stdev(known) * math.sqrt(1 + 1 / 3)))
    assert found.bound == pytest.approx(9.9248, abs=1e-4)  # printed tables: t, 2 degrees of freedom, 0.995
    assert (found.n, found.is_noise) == (3, True)


def test_the_standard_error_over_classes_against_a_jackknife() -> None:
    """Leaving out one class at a time gives the same standard error, but for what the linearisation leaves."""
    old, new = decisions(0), decisions(1)
    found = over_classes(old, new)
    assert found.statistic * found.scale == pytest.approx(
        evaluate(new.evidence, new.offset).HM - evaluate(old.evidence, old.offset).HM
    )
    recalls = [{i: share for i, (share, _) in per_class_recall(d.evidence, d.offset).items()} for d in (old, new)]
    seen = set(old.evidence.seen_classes.tolist())
    sides = [[i for i in recalls[0] if (i in seen) == is_seen] for is_seen in (True, False)]
    variance = 0.0
    for left in sides:
        values = []
        for out in left:
            hm = []
            for recall in recalls:
                s, u = (fmean(recall[i] for i in side if i != out) for side in sides)
                hm.append(2 * s * u / (s + u))
            values.append(hm[1] - hm[0])
        variance += (len(left) - 1) / len(left) * sum((v - fmean(values)) ** 2 for v in values)
    assert found.scale == pytest.approx(math.sqrt(variance), rel=0.1)
    assert found.n == min(map(len, sides))


def test_equal_decisions_are_noise_and_far_better_ones_are_not() -> None:
    one = decisions(0)
    assert (over_classes(one, one).statistic, over_classes(one, one).is_noise) == (0, True)
    assert not over_classes(decisions(0, 0.7), decisions(1, 0.2)).is_noise


def test_seeds_that_lie_far_apart_allow_no_more_than_the_classes_do() -> None:
    old, new = decisions(0, 0.7), decisions(1, 0.2)
    assert among_seeds([10.0, 50.0, 90.0], 20.0).is_noise
    assert not deviation([10.0, 50.0, 90.0], old, new).is_noise


def test_seeds_count_where_three_differ_and_classes_always() -> None:
    old, new = decisions(0), decisions(1)
    assert deviation([0.0, 0.1, 0.2], old, new).test == "seeds"
    assert deviation([30.0, 31.0], old, new).test == "classes"
    assert deviation([30.0, 30.0, 30.0], old, new).test == "classes"  # a method that seeds do not change
    assert deviation([], old, new).test == "classes"


def test_a_side_of_one_class_says_nothing() -> None:
    table = decisions(0).evidence
    only = table.label == table.unseen_classes[0]
    keep = table.is_seen | only
    arrays = {k: v if k.endswith("_classes") else v[keep] for k, v in table.to_arrays().items()}
    few = Decisions(Evidence.from_arrays(arrays), 0.0)
    with pytest.raises(RecordError, match="single class"):
        over_classes(few, few)
