"""Losses against their definitions, written out per clip."""

from __future__ import annotations

import torch

from avbench.methods.learning.losses import distances, gradient_penalty, triplets


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


def test_gradient_penalty_of_a_quadratic_critic() -> None:
    """D(x) = x'Ax / 2 has the gradient g = Sx with S = (A + A') / 2, so the penalty is the mean of (|Sx| - 1)^2.

    Its gradient for A is the mean of (|g| - 1) / |g| (g x' + x g').
    """
    generator = torch.Generator().manual_seed(0)
    matrix, points = (torch.randn(n, 4, generator=generator).double() for n in (4, 6))
    matrix.requires_grad_()
    penalty = gradient_penalty(lambda x: ((x @ matrix) * x).sum(1, keepdim=True) / 2, points)
    (found,) = torch.autograd.grad(penalty, matrix)
    expected, slope = torch.zeros(()).double(), torch.zeros(4, 4).double()
    for x in points:
        g = (matrix.detach() + matrix.detach().T) / 2 @ x
        expected += (g.norm() - 1) ** 2 / 6
        slope += (g.norm() - 1) / g.norm() * (torch.outer(g, x) + torch.outer(x, g)) / 6
    torch.testing.assert_close(penalty.detach(), expected)
    torch.testing.assert_close(found, slope)
    assert not points.requires_grad


def test_gradient_penalty_is_finite_where_the_critic_is_flat() -> None:
    weight = torch.zeros(3, requires_grad=True)
    penalty = gradient_penalty(lambda x: (x @ weight)[:, None], torch.randn(5, 3))
    penalty.backward()
    assert penalty.item() == 1
    assert weight.grad is not None
    assert bool(weight.grad.isfinite().all())
