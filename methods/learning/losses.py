"""Losses and distances shared by the methods (guide: How a number is made, "Conventions"). Imports torch."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import torch
from torch import Tensor
from torch.nn import functional


def triplets(points: Mapping[str, Tensor], triples: Sequence[tuple[str, str, str]], margin: float) -> Tensor:
    """Sum of the triplet loss over ``triples`` (anchor, positive, negative: names of ``points`` (B, F)), mean over B.

    Plain Euclidean distances, 1e-6 added to every coordinate of a difference; one pass for all.
    """
    anchor, positive, negative = (torch.stack([points[name] for name in role]) for role in zip(*triples, strict=True))
    return len(triples) * functional.triplet_margin_loss(anchor, positive, negative, margin=margin, eps=1e-6)


def distances(x: Tensor, y: Tensor) -> Tensor:
    """Euclidean distances (N, C) of rows of x (N, F) and y (C, F), without the cancellation of the expanded square."""
    return torch.cdist(x, y, compute_mode="donot_use_mm_for_euclid_dist")


def gradient_penalty(critic: Callable[[Tensor], Tensor], points: Tensor) -> Tensor:
    """Mean over points (B, F) of ``(|gradient of the critic| - 1)^2`` (Gulrajani et al., NeurIPS 2017, eq. 3).

    ``critic`` maps (B, F) to (B, 1) row by row. The result can be differentiated for the critic's parameters, not for
    the points, which are taken as given.
    """
    points = points.detach().requires_grad_()
    (gradient,) = torch.autograd.grad(critic(points).sum(), points, create_graph=True)
    excess: Tensor = torch.linalg.vector_norm(gradient, dim=1) - 1
    return excess.square().mean()
