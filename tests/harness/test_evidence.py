from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from simulated_scores import ScoreTable, score_tables

from avbench.harness.errors import MethodError, RecordError
from avbench.harness.evaluation.evidence import Evidence, _best_on_device, _best_on_host, reduce_scores

PER_CLIP = ("label", "seen_class", "seen_score", "unseen_class", "unseen_score")


def small() -> Evidence:
    """Three clips of seen classes 2 and 5 and unseen class 3."""
    scores = torch.tensor([[1.0, 0.0, 2.0], [0.5, 4.0, 0.5], [3.0, 3.0, 3.0]])
    return reduce_scores(scores, [2, 3, 5], [True, False, True], [2, 3, 5])


def same(a: Evidence, b: Evidence) -> None:
    for name, array in a.to_arrays().items():
        np.testing.assert_array_equal(array, b.to_arrays()[name], err_msg=name, strict=True)


def test_small_example() -> None:
    evidence = small()
    assert evidence.seen_class.tolist() == [5, 2, 2]  # ties go to the lowest id
    assert evidence.seen_score.tolist() == [2.0, 0.5, 3.0]
    assert evidence.unseen_class.tolist() == [3, 3, 3]
    assert evidence.unseen_score.tolist() == [0.0, 4.0, 3.0]
    assert evidence.margin.tolist() == [2.0, -3.5, 0.0]
    assert evidence.is_seen.tolist() == [True, False, True]
    assert evidence.classes.tolist() == [2, 3, 5]
    assert evidence.class_clips.tolist() == [1, 1, 1]
    assert evidence.empty_classes.size == 0


@settings(max_examples=100, deadline=None)
@given(score_tables(empty_classes=True))
def test_reduction_is_the_first_best_of_each_side(table: ScoreTable) -> None:
    evidence = table.evidence()
    for seen, best, score in (
        (True, evidence.seen_class, evidence.seen_score),
        (False, evidence.unseen_class, evidence.unseen_score),
    ):
        assert best.tolist() == table.predict(0, table.side(seen))
        rows = zip(table.scores, best.tolist(), strict=True)
        assert score.tolist() == [row[table.class_ids.index(class_id)] for row, class_id in rows]
    assert evidence.label.tolist() == table.labels
    assert evidence.is_seen.tolist() == [y in table.side(True) for y in table.labels]
    assert evidence.empty_classes.tolist() == [c for c in table.class_ids if c not in table.labels]
    for seen, filled in zip((True, False), evidence.filled_sides, strict=True):
        assert evidence.classes[filled].tolist() == [c for c in table.side(seen) if c in table.labels]


@settings(max_examples=50, deadline=None)
@given(score_tables(), st.data())
def test_permuted_clips_and_subsets_give_the_same_evidence_per_clip(table: ScoreTable, data: st.DataObject) -> None:
    whole = table.evidence()
    order = data.draw(st.permutations(range(len(table.labels))))
    chosen = order[: data.draw(st.integers(1, len(order)))]
    part = ScoreTable([table.scores[i] for i in chosen], table.class_ids, table.seen, [table.labels[i] for i in chosen])
    for name in PER_CLIP:
        np.testing.assert_array_equal(part.evidence().to_arrays()[name], whole.to_arrays()[name][chosen])


@settings(max_examples=50, deadline=None)
@given(score_tables(empty_classes=True))
def test_round_trip(table: ScoreTable) -> None:
    evidence = table.evidence()
    same(evidence, Evidence.from_arrays(evidence.to_arrays()))


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32, torch.float64])
def test_every_floating_type_is_taken_as_float32(dtype: torch.dtype) -> None:
    scores = torch.randn(40, 6, dtype=torch.float64, generator=torch.Generator().manual_seed(0)).to(dtype)
    labels = torch.arange(40) % 6
    seen = torch.arange(6) % 2 == 0
    evidence = reduce_scores(scores.requires_grad_(), torch.arange(6), seen, labels)
    same(evidence, reduce_scores(scores.detach().float(), range(6), seen.tolist(), labels.tolist()))
    np.testing.assert_array_equal(evidence.seen_score, scores.detach().float()[:, ::2].amax(dim=1).numpy())


def test_scores_that_differ_only_beyond_float32_are_ties() -> None:
    scores = torch.tensor([[1.0, 1.0 + 1e-12, 0.0]], dtype=torch.float64)
    assert reduce_scores(scores, [0, 1, 2], [True, True, False], [1]).seen_class.tolist() == [0]


@settings(max_examples=50, deadline=None)
@given(score_tables())
def test_host_and_device_find_the_same_best_classes(table: ScoreTable) -> None:
    scores, seen = torch.tensor(table.scores, dtype=torch.float32), np.array(table.seen)
    hidden = [~seen, seen]
    (host, columns), (device, same_columns) = (best(scores, hidden) for best in (_best_on_host, _best_on_device))
    for one, other in zip([*host[:2], *columns], [*device[:2], *same_columns], strict=True):
        np.testing.assert_array_equal(one, other)
    assert host[2] == pytest.approx(device[2].sum())


@pytest.mark.parametrize("threads", [1, 3, 64])
@pytest.mark.parametrize("block", [1, 7, 100])
def test_blocks_and_threads_change_nothing(block: int, threads: int, monkeypatch: pytest.MonkeyPatch) -> None:
    scores, seen = torch.randn(41, 6).round(decimals=1), np.array([True, False, True, True, False, False])
    whole = _best_on_host(scores, [~seen, seen])
    monkeypatch.setattr("torch.get_num_threads", lambda: threads)
    monkeypatch.setattr("avbench.harness.evaluation.evidence._BLOCK", block)
    for found, expected in zip(_best_on_host(scores, [~seen, seen]), whole, strict=True):
        assert all(np.array_equal(a, b) for a, b in zip(found, expected, strict=True))


def test_device_is_read_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("avbench.harness.evaluation.evidence._best_on_host", _best_on_device)
    reads: list[str] = []
    for name in ("cpu", "item", "tolist", "__bool__", "__int__", "__float__"):
        original = getattr(torch.Tensor, name)

        def counted(self: torch.Tensor, *args: Any, _name: str = name, _original: Any = original) -> Any:
            reads.append(_name)
            return _original(self, *args)

        monkeypatch.setattr(torch.Tensor, name, counted)
    small()
    assert reads == ["cpu"]


@pytest.mark.cuda
@pytest.mark.parametrize("dtype", [torch.float16, torch.float32, torch.float64])
def test_cuda_gives_the_evidence_of_the_cpu(dtype: torch.dtype) -> None:
    generator = torch.Generator().manual_seed(0)
    scores = torch.randint(-3, 4, (5000, 276), generator=generator).to(dtype)  # ties everywhere
    labels, seen = torch.randint(0, 276, (5000,), generator=generator), torch.arange(276) < 207
    same(reduce_scores(scores.cuda(), range(276), seen, labels.cuda()), reduce_scores(scores, range(276), seen, labels))


@pytest.mark.parametrize("bad", [float("nan"), float("inf"), float("-inf"), 1e300])
@pytest.mark.parametrize("column", [0, 2])
def test_non_finite_scores_are_refused_with_their_place(bad: float, column: int) -> None:
    scores = torch.zeros(4, 3, dtype=torch.float64)
    scores[2:, column] = bad
    ids = [7, 8, 9]
    with pytest.raises(MethodError, match=rf"2 of 12 scores .* at clip 2, class id {ids[column]}\."):
        reduce_scores(scores, ids, [True, False, False], [7, 8, 9, 9])


@pytest.mark.parametrize("shape", [(4, 3), (3, 4), (3,), (3, 3, 1), (0, 3)])
def test_scores_of_a_wrong_shape_are_refused(shape: tuple[int, ...]) -> None:
    with pytest.raises(MethodError, match=r"expected \(3, 3\)"):
        reduce_scores(torch.zeros(shape), [0, 1, 2], [True, False, True], [0, 1, 2])


@pytest.mark.parametrize("scores", [torch.zeros(3, 3, dtype=torch.int64), np.zeros((3, 3), dtype=np.float32), None])
def test_scores_that_are_no_floating_tensor_are_refused(scores: Any) -> None:
    with pytest.raises(MethodError, match="tensor of floating type"):
        reduce_scores(scores, [0, 1, 2], [True, False, True], [0, 1, 2])


@pytest.mark.parametrize(
    ("ids", "seen"),
    [
        ([0, 1], [True, True]),
        ([0, 1], [False, False]),
        ([1, 0], [True, False]),
        ([1, 1], [True, False]),
        ([0, 1], [True]),
    ],
)
def test_search_spaces_that_do_not_fit_are_refused(ids: list[int], seen: list[bool]) -> None:
    with pytest.raises(RecordError, match="search space"):
        reduce_scores(torch.zeros(1, 2), ids, seen, [0])


def test_a_label_outside_the_search_space_is_refused() -> None:
    with pytest.raises(RecordError, match=r"label .*outside.*: 4\."):
        reduce_scores(torch.zeros(2, 2), [0, 1], [True, False], [0, 4])


def test_no_clips_are_refused() -> None:
    with pytest.raises(RecordError, match="label must be a non-empty vector"):
        reduce_scores(torch.zeros(0, 2), [0, 1], [True, False], [])


INT, FLOAT = np.int32, np.float32


@pytest.mark.parametrize(
    ("name", "array", "message"),
    [
        ("label", np.array([2, 3], INT), "seen_class has 3 entries, label has 2"),
        ("unseen_score", np.zeros(4, FLOAT), "unseen_score has 4 entries"),
        ("label", np.array([2, 3, 5]), "label must be a non-empty vector of int32, got int64"),
        ("label", np.array([[2, 3, 5]], INT), "label must be a non-empty vector"),
        ("label", [2, 3, 5], "got list"),
        ("seen_score", np.zeros(3), "seen_score must be a non-empty vector of float32, got float64"),
        (
            "seen_score",
            np.array([0, np.nan, np.inf], FLOAT),
            "seen_score is NaN or infinite for 2 clips, first at clip 1",
        ),
        ("unseen_score", np.array([0, 0, -np.inf], FLOAT), "unseen_score is NaN or infinite for 1 clips"),
        ("label", np.array([2, 3, 4], INT), "label holds class ids outside its search space: 4"),
        ("seen_class", np.array([2, 3, 5], INT), "seen_class holds class ids outside its search space: 3"),
        ("unseen_class", np.array([3, 3, 5], INT), "unseen_class holds class ids outside its search space: 5"),
        ("seen_classes", np.array([5, 2], INT), "seen_classes must be class ids, ascending"),
        ("seen_classes", np.array([2, 2, 5], INT), "without repetition"),
        ("seen_classes", np.array([-1, 2, 5], INT), "seen_classes must be class ids"),
        ("seen_classes", np.array([2, 3, 5], INT), "classes 3 are both seen and unseen"),
        ("unseen_classes", np.array([], INT), "unseen_classes must be a non-empty vector"),
    ],
)
def test_evidence_that_cannot_be_trusted_is_refused(name: str, array: Any, message: str) -> None:
    with pytest.raises(RecordError, match=message):
        Evidence.from_arrays({**small().to_arrays(), name: array})


def test_missing_and_unknown_arrays_are_refused() -> None:
    arrays = small().to_arrays()
    with pytest.raises(RecordError, match="expected the arrays label, "):
        Evidence.from_arrays({**arrays, "offset": np.zeros(3)})
    del arrays["label"]
    with pytest.raises(RecordError, match="got seen_class, "):
        Evidence.from_arrays(arrays)
    with pytest.raises(RecordError, match="got none"):
        Evidence.from_arrays({})
