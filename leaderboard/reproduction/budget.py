"""Less training than a preset says: the same schedule with fewer batches per epoch."""

from __future__ import annotations

from typing import Any

from avbench.harness.contract.options import EpochOptions, Options
from avbench.harness.errors import UsageError


def require_budget(budget: float) -> None:
    """Raise :class:`UsageError` for a budget outside (0, 1]."""
    if not 0 < budget <= 1:
        raise UsageError(f"budget {budget}: a share of the training steps, above 0 and at most 1")


def scaled(options: Options, budget: float) -> dict[str, Any]:
    """The options to give for a share of the training steps: fewer batches per epoch, each at least one.

    The epochs stay, so that the choice of the best epoch and the schedule of the learning rate keep their meaning;
    where an epoch would have less than one batch, there are fewer epochs. Nothing to give for the whole budget and for
    methods without epochs. What a method fits besides, such as a classifier on synthetic features, stays as it is.
    """
    if budget == 1 or not isinstance(options, EpochOptions):
        return {}
    batches = options.batches_per_epoch * budget
    if batches >= 1:
        return {"batches_per_epoch": round(batches)}
    return {"batches_per_epoch": 1, "epochs": max(1, round(options.epochs * batches))}


def share(options: Options, given: dict[str, Any]) -> float:
    """The share of the training steps of ``options`` that is left with the ``given`` ones; 1 without epochs."""
    if not isinstance(options, EpochOptions):
        return 1.0
    left = options.model_copy(update=given)
    return left.epochs * left.batches_per_epoch / (options.epochs * options.batches_per_epoch)
