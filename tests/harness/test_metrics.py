from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from simulated_scores import ScoreTable, score_tables
from simulated_scores import harmonic_mean as slow_harmonic_mean

from avbench.harness.errors import RecordError
from avbench.harness.evaluation.accuracy import class_weights
from avbench.harness.evaluation.calibration import ausuc
from avbench.harness.evaluation.evidence import reduce_scores
from avbench.harness.evaluation.metrics import (
    Metrics,
    evaluate,
    harmonic_mean,
    mean_class_accuracy,
    per_class_recall,
    predict,
)

many = settings(max_examples=100, deadline=None)


@st.composite
def tables_and_offsets(draw: st.DrawFn) -> tuple[ScoreTable, float]:
    """A table and an offset that often equals a margin."""
    table = draw(score_tables(empty_classes=True))
    offset = draw(st.sampled_from([*table.margins(), *table.between_margins()]) | st.integers(-8, 8))
    return table, float(offset)


@pytest.mark.parametrize(
    ("seen", "unseen", "expected"), [(0, 0, 0), (0, 50, 0), (50, 0, 0), (100, 100, 100), (60, 30, 40), (1, 0.5, 2 / 3)]
)
def test_harmonic_mean(seen: float, unseen: float, expected: float) -> None:
    assert harmonic_mean(seen, unseen) == pytest.approx(expected)


@many
@given(tables_and_offsets())
def test_prediction_is_the_argmax_of_the_whole_calibrated_matrix(case: tuple[ScoreTable, float]) -> None:
    table, offset = case
    assert predict(table.evidence(), offset).tolist() == table.predict(offset)


@many
@given(tables_and_offsets())
def test_evaluate_is_the_class_means_of_that_prediction(case: tuple[ScoreTable, float]) -> None:
    table, offset = case
    found = evaluate(table.evidence(), offset, allow_empty=True)
    seen, unseen = table.accuracies(offset)
    zero_shot = table.one_side_accuracy(seen=False)
    expected = [float(100 * x) for x in (seen, unseen, slow_harmonic_mean(seen, unseen), zero_shot)]
    assert pytest.approx(expected, abs=1e-9) == [found.S, found.U, found.HM, found.ZSL]
    assert ausuc(table.evidence(), allow_empty=True).ausuc == found.AUSUC
    assert 0 <= found.U <= found.ZSL <= 100
    assert 0 <= found.S <= 100
    assert 0 <= found.HM <= max(found.S, found.U)


@many
@given(tables_and_offsets())
def test_per_class_recall(case: tuple[ScoreTable, float]) -> None:
    table, offset = case
    found = per_class_recall(table.evidence(), offset)
    predictions = table.predict(offset)
    assert list(found) == sorted(set(table.labels))
    for class_id, (recall, clips) in found.items():
        right = [p == class_id for p, y in zip(predictions, table.labels, strict=True) if y == class_id]
        assert clips == len(right)
        assert recall == pytest.approx(100 * sum(right) / len(right))


@many
@given(score_tables(empty_classes=True))
def test_weights_of_the_clips_of_a_side_sum_to_one(table: ScoreTable) -> None:
    evidence = table.evidence()
    weights = class_weights(evidence, allow_empty=True)[evidence.class_row]
    assert weights[evidence.is_seen].sum() == pytest.approx(1)
    assert weights[~evidence.is_seen].sum() == pytest.approx(1)


def test_perfect_scores_give_exactly_100() -> None:
    labels = torch.arange(7).repeat_interleave(torch.tensor([3, 7, 11, 13, 17, 19, 23]))
    scores = torch.nn.functional.one_hot(labels, 7).float()
    evidence = reduce_scores(scores, range(7), [True] * 4 + [False] * 3, labels)
    found = evaluate(evidence, 0.0)
    assert (found.S, found.U, found.HM, found.ZSL) == (100.0, 100.0, 100.0, 100.0)
    assert pytest.approx(100) == found.AUSUC
    assert found.AUSUC <= 100


def test_a_class_counts_as_much_as_another_whatever_its_clips() -> None:
    labels = [0] * 9 + [1] + [2]
    scores = torch.zeros(11, 3)
    scores[:, 0] = 1  # every clip of class 0 right, those of 1 and 2 wrong
    evidence = reduce_scores(scores, range(3), [True, True, False], labels)
    assert mean_class_accuracy(evidence, predict(evidence, 0.0)) == (50.0, 0.0)


def test_classes_without_clips_are_named_unless_allowed() -> None:
    evidence = reduce_scores(torch.eye(3, 5), [2, 4, 6, 7, 9], [True, False, True, False, True], [2, 4, 6])
    with pytest.raises(RecordError, match=r"2 of 5 classes have no evaluated clip.*: class ids 7, 9\."):
        evaluate(evidence, 0.0)
    assert evaluate(evidence, 0.0, allow_empty=True) == Metrics(S=100.0, U=100.0, HM=100.0, ZSL=100.0, AUSUC=100.0)
    assert evidence.empty_classes.tolist() == [7, 9]


def test_an_offset_that_is_nan_is_refused() -> None:
    evidence = reduce_scores(torch.eye(2), [0, 1], [True, False], [0, 1])
    with pytest.raises(RecordError, match="NaN"):
        evaluate(evidence, float("nan"))


@pytest.mark.parametrize(("offset", "expected"), [(float("inf"), [1, 1]), (float("-inf"), [0, 0])])
def test_infinite_offsets_remove_a_side(offset: float, expected: list[int]) -> None:
    evidence = reduce_scores(torch.eye(2), [0, 1], [True, False], [0, 1])
    assert predict(evidence, offset).tolist() == expected
