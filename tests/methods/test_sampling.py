"""Class-balanced draws: who is drawn, and how often."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from avbench.harness.errors import DataError
from avbench.harness.testing.simulated import simulated_training
from avbench.methods.learning.batches import EpochBatches
from avbench.methods.learning.sampling import BalancedSampler

LABELS = torch.tensor([3, 0, 3, 1, 3, 3, 0, 5, 5, 5])
"""Classes 0, 1, 3, 5 with 2, 1, 4, 3 clips; classes 2 and 4 have none."""


@settings(max_examples=50, deadline=None)
@given(st.lists(st.integers(0, 5), min_size=2, max_size=30).filter(lambda rows: len(set(rows)) > 1), st.integers(0, 9))
def test_negatives_are_clips_of_another_class(rows: list[int], seed: int) -> None:
    labels = torch.tensor(rows)
    drawn = BalancedSampler(labels, pairs=True, seed=seed).draw(3, 7)
    assert drawn.shape == (3, 7, 2)
    positive, negative = labels[drawn].unbind(-1)
    assert bool((positive != negative).all())


@pytest.mark.parametrize("pairs", [False, True])
def test_classes_are_uniform_then_clips_within_a_class(pairs: bool) -> None:
    draws = 40_000
    drawn = BalancedSampler(LABELS, pairs, seed=1).draw(4, draws // 4).view(draws, -1)
    clips_of_class = torch.bincount(LABELS)[LABELS]
    for half in drawn.unbind(-1):  # by symmetry the negative's class is uniform, too
        share = torch.bincount(half, minlength=len(LABELS)) / draws
        expected = 1 / (4 * clips_of_class)
        assert torch.allclose(share, expected, atol=4 * 0.5 / draws**0.5)


def test_the_negative_class_is_uniform_given_the_positive_class() -> None:
    positive, negative = LABELS[BalancedSampler(LABELS, True, seed=2).draw(1, 60_000)[0]].unbind(-1)
    for c in (0, 1, 3, 5):
        shares = torch.bincount(negative[positive == c], minlength=6) / int((positive == c).sum())
        expected = torch.tensor([1.0, 1.0, 0.0, 1.0, 0.0, 1.0]) / 3
        expected[c] = 0.0
        assert torch.allclose(shares, expected, atol=0.02)


def test_the_seed_decides() -> None:
    first, second = (BalancedSampler(LABELS, True, seed=4) for _ in range(2))
    one, two = first.draw(5, 8), first.draw(5, 8)
    assert torch.equal(one, second.draw(5, 8))
    assert not torch.equal(one, two)
    assert not torch.equal(one, BalancedSampler(LABELS, True, seed=5).draw(5, 8))


def test_one_class_cannot_make_pairs() -> None:
    labels = torch.full((4,), 2)
    with pytest.raises(DataError, match="pairs need two"):
        BalancedSampler(labels, pairs=True, seed=0)
    assert set(BalancedSampler(labels, pairs=False, seed=0).draw(1, 20).flatten().tolist()) <= {0, 1, 2, 3}
    with pytest.raises(DataError, match="one is needed"):
        BalancedSampler(labels[:0], pairs=False, seed=0)


def test_batches_follow_the_draw_and_belong_together() -> None:
    train = simulated_training()
    batches = EpochBatches(train, batches=4, size=8, pairs=True, seed=0)
    epochs = []
    for _ in range(2):
        batches.draw()
        rows = batches.rows.clone()
        for i in range(4):
            batch = batches.next()
            assert torch.equal(batch.audio, train.clips.audio[rows[i]])
            assert torch.equal(batch.visual, train.clips.visual[rows[i]])
            assert torch.equal(batch.labels, train.labels[rows[i]])
            assert torch.equal(batch.vectors, train.classes.vectors[batch.labels])
        epochs.append(rows)
    assert not torch.equal(*epochs)
