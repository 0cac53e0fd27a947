"""Losses and distances shared by the methods (PROTOCOL section 0). Imports torch."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor
from torch.nn import functional


def triplets(points: Mapping[str, Tensor], triples: Sequence[tuple[str, str, str]], margin: float) -> Tensor:
    """Sum of the triplet loss over ``triples`` (anchor, positive, negative: names of ``points`` (B, F)), mean over B.

    Plain Euclidean distances, 1e-6 added to every coordinate of a difference (PROTOCOL section 0); one pass for all.
    """
    anchor, positive, negative = (torch.stack([points[name] for name in role]) for role in zip(*triples, strict=True))
    return len(triples) * functional.triplet_margin_loss(anchor, positive, negative, margin=margin, eps=1e-6)


def distances(x: Tensor, y: Tensor) -> Tensor:
    """Euclidean distances (N, C) of rows of x (N, F) and y (C, F), without the cancellation of the expanded square."""
    return torch.cdist(x, y, compute_mode="donot_use_mm_for_euclid_dist")
