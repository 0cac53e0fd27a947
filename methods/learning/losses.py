"""Losses and distances shared by the methods (guide: How a number is made, "Conventions"). Imports torch."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import torch
from torch import Tensor


def triplets(points: Mapping[str, Tensor], triples: Sequence[tuple[str, str, str]], margin: float) -> Tensor:
    """Sum of the triplet loss over ``triples`` (anchor, positive, negative: names of ``points`` (B, F)), mean over B.

    Plain Euclidean distances, 1e-6 added to every coordinate of a difference; one pass for all.
    """
    anchor, positive, negative = (torch.stack([points[name] for name in role]) for role in zip(*triples, strict=True))
    return len(triples) * triplet(anchor, positive, negative, margin).mean()


def triplet(anchor: Tensor, positive: Tensor, negative: Tensor, margin: float) -> Tensor:
    """The triplet loss (...) of points (..., F).

    The bits of ``torch.nn.functional.triplet_margin_loss``, for which ``torch.func.vmap`` has no rule; like it in full
    precision where products are in less (autocast).
    """
    device = anchor.device.type
    if torch.amp.is_autocast_available(device) and torch.is_autocast_enabled(device):
        anchor, positive, negative = anchor.float(), positive.float(), negative.float()
    near, far = (torch.linalg.vector_norm(anchor - other + 1e-6, dim=-1) for other in (positive, negative))
    loss: Tensor = (margin + near - far).clamp_min(0)
    return loss


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
