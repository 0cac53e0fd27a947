"""Calibration and metrics in the straightforward way: everything is done again for each of the 16 offsets."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from avbench.harness.evaluation.calibration import GRID

Numbers = tuple[float, float, float, float, float]
"""Offset, S, U, HM and ZSL; accuracies in percent."""


def repeated_sweep(scores: Callable[[], Tensor], seen: Tensor, labels: Tensor) -> Numbers:
    """The grid search of ``as-published`` with the metrics at its optimum.

    ``scores`` works the whole matrix (N, C) out, each time it is called: once per offset, and once for ZSL. ``seen``
    (C,) bool: the seen columns. ``labels`` (N,): true columns.
    """
    seen_classes, unseen_classes = seen.nonzero().flatten(), (~seen).nonzero().flatten()
    best = (0.0, 0.0, 0.0, -1.0)
    for offset in GRID:
        predicted = (scores() - offset * seen.float()).argmax(1)
        s, u = (mean_class_accuracy(predicted, labels, members) for members in (seen_classes, unseen_classes))
        hm = 2 * s * u / (s + u) if s + u else 0.0
        if hm > best[3]:
            best = (offset, s, u, hm)
    restricted = scores().masked_fill(seen, -torch.inf).argmax(1)
    return (*best, mean_class_accuracy(restricted, labels, unseen_classes))


def mean_class_accuracy(predicted: Tensor, labels: Tensor, members: Tensor) -> float:
    recalls = [(predicted[labels == c] == c).double().mean() for c in members]
    return 100 * torch.stack(recalls).mean().item()
