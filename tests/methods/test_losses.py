"""Losses against their definitions, written out per clip."""

from __future__ import annotations

import torch

from avbench.methods.losses import distances, triplets


def test_triplets_are_the_sum_of_their_definitions() -> None:
    torch.manual_seed(0)
    points = {name: torch.randn(6, 5) for name in "abc"}
    triples = [("a", "b", "c"), ("c", "a", "b"), ("b", "b", "a")]
    total = 0.0
    for x, p, n in triples:
        for i in range(6):
            near = ((points[x][i] - points[p][i] + 1e-6) ** 2).sum().sqrt()
            far = ((points[x][i] - points[n][i] + 1e-6) ** 2).sum().sqrt()
            total += max(0.0, float(near - far + 0.7)) / 6
    assert torch.allclose(triplets(points, triples, margin=0.7), torch.tensor(total))


def test_the_gradient_is_finite_where_points_coincide() -> None:
    points = {"a": torch.ones(3, 4, requires_grad=True), "b": torch.ones(3, 4), "c": torch.ones(3, 4)}
    triplets(points, [("a", "b", "c")], margin=1.0).backward()
    assert bool(points["a"].grad.isfinite().all())


def test_distances_do_not_cancel() -> None:
    x = torch.full((30, 3), 1000.0)
    y = x + torch.tensor([0.0, 3e-3, 4e-3])
    assert torch.allclose(distances(x, y), torch.full((30, 30), 5e-3), atol=1e-4)
