"""Checks of how a method treats the machine that it runs on. Imports torch."""

from __future__ import annotations

import gc
import tracemalloc

import torch
from torch import Tensor

from avbench.harness.testing.check import CheckFailedError, NotApplicableError
from avbench.harness.testing.comparison import refuse_gap, refuse_other_state, situation
from avbench.harness.testing.saving import restored
from avbench.harness.testing.subject import Fit, Subject

NOISE = 64 * 1024
"""Bytes by which Python's memory may grow from one fit to the next."""


def no_network(subject: Subject) -> None:
    found = sorted({address for watch in _asked(subject).watches for address in watch.addresses})
    if found:
        raise CheckFailedError(f"it tries to connect to {', '.join(found)}")


def no_writes(subject: Subject) -> None:
    found = sorted({path for watch in _asked(subject).watches for path in watch.written})
    if found:
        raise CheckFailedError(f"it writes {', '.join(found)}")


def settings_untouched(subject: Subject) -> None:
    changed: dict[str, tuple[str, str]] = {}
    for watch in _asked(subject).watches:
        changed |= watch.settings
    if changed:
        text = ", ".join(f"{name} from {before} to {after}" for name, (before, after) in changed.items())
        raise CheckFailedError(f"it changes {text}")


def _asked(subject: Subject) -> Fit:
    """The fit that checks share, asked for scores."""
    fit = subject.fit()
    _ = fit.own_answers
    return fit


def memory_stable(subject: Subject) -> None:
    tracemalloc.start()
    gc.collect()
    gc.freeze()  # what is there already is not looked at again and again
    try:
        first, second = (_alive_after_two_fits(subject) for _ in range(2))
    finally:
        gc.unfreeze()
        tracemalloc.stop()
    for what, before, now in zip(("tensors", "fitted methods"), first[:2], second[:2], strict=True):
        if now > before:
            raise CheckFailedError(f"{now - before} more {what} are alive after two more fits, which were forgotten")
    if second[2] > first[2] + 2 * NOISE:
        raise CheckFailedError(f"{(second[2] - first[2]) // 2048} KiB are not freed after each fit")


def _alive_after_two_fits(subject: Subject) -> tuple[int, int, int]:
    """Tensors and instances of the method that are alive and new, and bytes that Python holds."""
    for _ in range(2):
        subject.new_fit()
    gc.collect()
    kinds = [type(thing) for thing in gc.get_objects()]
    tensors = sum(issubclass(kind, Tensor) for kind in kinds)
    return tensors, sum(kind is subject.kind for kind in kinds), tracemalloc.get_traced_memory()[0]


def cuda(subject: Subject) -> None:
    if not torch.cuda.is_available():
        raise NotApplicableError("there is no CUDA device here")
    device = torch.device("cuda")
    longer = subject.affordable({"batches_per_epoch": 8}, subject.small)  # enough for a captured graph to be replayed
    with situation("on a CUDA device"):
        fit, again = (subject.new_fit(options=longer, device=device) for _ in range(2))
        refuse_other_state(fit.state, again.state, "two fits with the same seed end in different states")
        other = restored(subject, fit, longer)
        refuse_gap(fit.own_answers, other.own_answers, "a restored state gives other scores")
