"""Comparing scores and states. Imports torch."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import torch
from torch import Tensor

from avbench.harness.contract.data import Clips
from avbench.harness.errors import MethodError
from avbench.harness.testing.check import CheckFailedError

ROUNDING = 1e-4
"""By how much scores may differ for another order of additions, relative to the largest score."""


def gap(one: Mapping[str, Tensor], other: Mapping[str, Tensor]) -> float:
    """The largest difference of two answers, relative to the largest score; infinite where they are of another kind."""
    if {name: scores.shape for name, scores in one.items()} != {name: scores.shape for name, scores in other.items()}:
        return float("inf")
    return max(
        float((scores - other[name]).abs().max() / scores.abs().max().clamp(min=1e-12)) for name, scores in one.items()
    )


def refuse_gap(one: Mapping[str, Tensor], other: Mapping[str, Tensor], what: str) -> None:
    """Raise :class:`CheckFailedError` where answers differ by more than rounding."""
    if (found := gap(one, other)) > ROUNDING:
        raise CheckFailedError(f"{what}, by up to {found:.1%} of the largest score")


def same_state(one: Mapping[str, Tensor], other: Mapping[str, Tensor]) -> bool:
    """Whether two states are the same, bit for bit."""
    return one.keys() == other.keys() and all(torch.equal(one[name], other[name]) for name in one)


def refuse_other_state(one: Mapping[str, Tensor], other: Mapping[str, Tensor], what: str) -> None:
    """Raise :class:`CheckFailedError`, which names the tensors, where states differ."""
    if not same_state(one, other):
        differing = [name for name in one if name not in other or not torch.equal(one[name], other[name])]
        differing += sorted(other.keys() - one.keys())
        names = ", ".join(differing[:3]) + (", ..." if len(differing) > 3 else "")
        raise CheckFailedError(f"{what} ({len(differing)} tensors: {names})")


def rows_of(clips: Clips, rows: Tensor | slice) -> Clips:
    """Some of the clips; those over time keep their padding."""
    return clips.take(torch.arange(len(clips))[rows])


@contextmanager
def situation(text: str) -> Iterator[None]:
    """Put the situation before what a failure says."""
    try:
        yield
    except MethodError as failure:
        raise CheckFailedError(f"{text}: {failure}") from failure
