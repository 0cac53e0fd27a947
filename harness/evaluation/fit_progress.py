"""What a method holds of the harness while it is fitted: three facts and one call, and no way back to the clips."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch

    from avbench.harness.contract.method import Method


@dataclass(frozen=True, slots=True)
class FitProgress:
    """The :class:`avbench.harness.contract.method.Progress` of one fit."""

    epochs: int
    device: torch.device
    seed: int
    _ask: Callable[[Method], float]

    def epoch_done(self, method: Method) -> float:
        """See :meth:`avbench.harness.contract.method.Progress.epoch_done`."""
        return self._ask(method)


def opaque(call: Callable[[Method], float]) -> Callable[[Method], float]:
    """The same call, behind which no attribute leads to the function, its closure or the object that it is bound to.

    A cache of size 0 keeps nothing and hashes nothing; it is the wrapper of the standard library that is written in C
    and holds its function where Python cannot name it. The garbage collector and stack frames still can.
    """
    hidden = lru_cache(maxsize=0)(call)
    del hidden.__wrapped__
    return hidden
