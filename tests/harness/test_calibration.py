from __future__ import annotations

import itertools
from fractions import Fraction

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from simulated_scores import ScoreTable, harmonic_mean, score_tables

from avbench.harness.errors import RecordError
from avbench.harness.evaluation.calibration import GRID, Offset, ausuc, curve, exact_offset, grid_offset
from avbench.harness.evaluation.evidence import Evidence, reduce_scores
from avbench.harness.evaluation.metrics import evaluate, predict

many = settings(max_examples=100, deadline=None)


def percent(value: Fraction) -> object:
    return pytest.approx(float(100 * value), abs=1e-9)


def test_grid_is_exact() -> None:
    assert GRID == (0.0, 0.2, 0.4, 0.6, 0.8, 1.0, 1.2, 1.4, 1.6, 1.8, 2.0, 2.2, 2.4, 2.6, 2.8, 3.0)


@many
@given(score_tables(empty_classes=True))
def test_curve_gives_the_accuracies_at_every_offset(table: ScoreTable) -> None:
    found = curve(table.evidence(), allow_empty=True)
    assert (np.diff(found.thresholds) > 0).all()
    assert found.seen.shape == found.unseen.shape == found.hm.shape == (found.thresholds.size + 1,)
    for offset in table.between_margins():
        seen, unseen = table.accuracies(offset)
        entry = np.searchsorted(found.thresholds, float(offset))
        assert found.seen[entry] == percent(seen)
        assert found.unseen[entry] == percent(unseen)
        assert found.hm[entry] == percent(harmonic_mean(seen, unseen))
    assert found.seen[-1] == found.unseen[0] == 0
    assert (np.diff(found.seen) <= 0).all()
    assert (np.diff(found.unseen) >= 0).all()


@many
@given(score_tables(empty_classes=True))
def test_exact_offset_is_the_middle_of_the_first_best_interval(table: ScoreTable) -> None:
    offsets, margins = table.between_margins(), table.margins()
    accuracies = [table.accuracies(offset) for offset in offsets]
    hms = [harmonic_mean(*pair) for pair in accuracies]
    best = hms.index(max(hms))
    found = exact_offset(table.evidence(), allow_empty=True)
    assert found.hm == percent(hms[best])
    if hms[best] == 0:
        assert found == Offset(value=0.0, hm=0.0, interval=None)
        return
    last = best
    while accuracies[last + 1] == accuracies[best]:  # a margin at which nothing changes does not end the interval
        last += 1
    lower, upper = margins[best - 1], margins[last]
    assert found.interval == (lower, upper)
    assert found.value == (lower + upper) / 2
    assert harmonic_mean(*table.accuracies(found.value)) == hms[best]


@many
@given(score_tables(empty_classes=True))
def test_grid_offset_is_the_smallest_best_one(table: ScoreTable) -> None:
    hms = [harmonic_mean(*table.accuracies(offset)) for offset in GRID]
    best = hms.index(max(hms))
    found = grid_offset(table.evidence(), allow_empty=True)
    assert found.value == GRID[best]
    assert found.hm == percent(hms[best])
    assert found.interval is None


@many
@given(score_tables())
def test_the_exact_optimum_is_never_beaten(table: ScoreTable) -> None:
    evidence = table.evidence()
    best = exact_offset(evidence).hm
    assert best >= grid_offset(evidence, [float(x) for x in table.between_margins()]).hm - 1e-9
    # On a grid point that equals a margin the lowest class id decides clip by clip: no interval of the curve does that.
    distinct = [offset for offset in GRID if offset not in set(table.margins())]
    assert best >= grid_offset(evidence, distinct or [0.123]).hm - 1e-9


@many
@given(score_tables(empty_classes=True))
def test_ausuc_is_the_trapezoid_integral_over_all_offsets(table: ScoreTable) -> None:
    points = [table.accuracies(offset) for offset in table.between_margins()]
    steps = itertools.pairwise(points)
    area = sum(((u2 - u1) * (s1 + s2) / 2 for (s1, u1), (s2, u2) in steps), Fraction(0))
    found = ausuc(table.evidence(), allow_empty=True)
    assert found.ausuc == percent(area)
    assert found.seen_accuracy == percent(table.one_side_accuracy(seen=True))
    assert found.unseen_accuracy == percent(table.one_side_accuracy(seen=False))
    assert 0 <= found.ausuc <= 100


@many
@given(score_tables())
def test_ausuc_factors_into_two_accuracies_and_a_weighted_pair_count(table: ScoreTable) -> None:
    evidence, found = table.evidence(), ausuc(table.evidence())
    count = {class_id: table.labels.count(class_id) for class_id in table.class_ids}
    pairs = [
        [
            (Fraction(margin), Fraction(1, len(table.side(seen)) * count[label]))
            for margin, label, best in zip(evidence.margin.tolist(), table.labels, sided.tolist(), strict=True)
            if label == best
        ]
        for seen, sided in ((True, evidence.seen_class), (False, evidence.unseen_class))
    ]
    area = sum((a * b * Fraction((m > n) * 2 + (m == n), 2) for m, a in pairs[0] for n, b in pairs[1]), Fraction(0))
    assert found.ausuc == percent(area)
    if found.auroc is None:
        assert not (pairs[0] and pairs[1])
    else:
        whole = sum(a for _, a in pairs[0]) * sum(b for _, b in pairs[1])
        assert found.auroc == percent(area / whole)
        product = found.seen_accuracy * found.unseen_accuracy * found.auroc / 100**2
        assert found.ausuc == pytest.approx(product, abs=1e-9)


@many
@given(score_tables(), st.sampled_from([0.25, 0.5, 2.0, 8.0]), st.integers(-8, 8))
def test_rising_affine_maps_change_no_decision(table: ScoreTable, scale: float, shift: int) -> None:
    mapped = ScoreTable(
        [[scale * x + shift for x in row] for row in table.scores], table.class_ids, table.seen, table.labels
    )
    before, after = exact_offset(table.evidence()), exact_offset(mapped.evidence())
    assert after.value == scale * before.value
    assert after.hm == before.hm
    np.testing.assert_array_equal(predict(mapped.evidence(), after.value), predict(table.evidence(), before.value))
    assert ausuc(mapped.evidence()) == ausuc(table.evidence())


def test_all_equal_scores() -> None:
    evidence = reduce_scores(torch.zeros(4, 4), range(4), [True, False, True, False], range(4))
    found = curve(evidence)
    assert found.thresholds.tolist() == [0]
    assert found.seen.tolist() == [50, 0]
    assert found.unseen.tolist() == [0, 50]
    assert exact_offset(evidence) == Offset(value=0.0, hm=0.0)
    assert ausuc(evidence).auroc == 50
    assert ausuc(evidence).ausuc == 12.5
    assert grid_offset(evidence).value == 0


def two_clips(seen_margin: float, unseen_margin: float) -> Evidence:
    """One class and one clip a side: the seen class has id 0."""
    scores = torch.tensor([[seen_margin, 0.0], [unseen_margin, 0.0]])
    return reduce_scores(scores, [0, 1], [True, False], [0, 1])


def test_one_class_and_one_clip_a_side() -> None:
    assert exact_offset(two_clips(4.0, 1.0)) == Offset(value=2.5, hm=100.0, interval=(1.0, 4.0))
    assert ausuc(two_clips(4.0, 1.0)).ausuc == 100
    assert exact_offset(two_clips(1.0, 4.0)) == Offset(value=0.0, hm=0.0)
    assert ausuc(two_clips(1.0, 4.0)).ausuc == 0
    assert grid_offset(two_clips(4.0, 1.0)) == Offset(value=1.2, hm=100.0)  # at 1.0 the tie goes to the seen class


def test_no_right_clip_at_all() -> None:
    scores = torch.tensor([[0.0, 1.0, 0.0, 1.0], [1.0, 0.0, 0.0, 1.0], [0.0, 1.0, 0.0, 1.0], [0.0, 1.0, 1.0, 0.0]])
    evidence = reduce_scores(scores, range(4), [True, True, False, False], range(4))
    assert curve(evidence).thresholds.size == 0
    assert curve(evidence).hm.tolist() == [0]
    assert exact_offset(evidence) == Offset(value=0.0, hm=0.0)
    assert ausuc(evidence).ausuc == 0
    assert ausuc(evidence).auroc is None


def test_a_single_clip_leaves_a_side_without_any() -> None:
    evidence = reduce_scores(torch.zeros(1, 2), [0, 1], [True, False], [0])
    for search in (curve, exact_offset, grid_offset, ausuc):
        with pytest.raises(RecordError, match="1 of 2 classes have no evaluated clip"):
            search(evidence)
        with pytest.raises(RecordError, match="no evaluated clip has an unseen class"):
            search(evidence, allow_empty=True)


def test_an_interval_without_a_number_inside_is_passed_over() -> None:
    """Margins 1 and the float64 number below it: an offset between them does not exist."""
    evidence = reduce_scores(torch.tensor([[1.0, 0.0], [1.0, 2.0**-53]]), [0, 1], [True, False], [0, 1])
    assert np.diff(np.sort(evidence.margin)) == 2.0**-53
    assert curve(evidence).hm.tolist() == [0, 100, 0]
    assert exact_offset(evidence) == Offset(value=0.0, hm=0.0)


def test_at_the_size_of_a_data_set_no_offset_is_better() -> None:
    generator = torch.Generator().manual_seed(3)
    labels = torch.arange(4000) % 60
    scores = torch.randn(4000, 60, generator=generator)
    scores[torch.arange(4000), labels] += 2
    scores[:, :40] += 1.5
    evidence = reduce_scores(scores, range(60), [True] * 40 + [False] * 20, labels)
    best = exact_offset(evidence)
    reached = evaluate(evidence, best.value)
    assert pytest.approx(best.hm, abs=1e-9) == reached.HM
    rng = np.random.default_rng(0)
    for offset in rng.uniform(evidence.margin.min() - 1, evidence.margin.max() + 1, 300):
        assert best.hm + 1e-9 >= evaluate(evidence, offset).HM
    assert grid_offset(evidence).hm <= best.hm + 1e-9
