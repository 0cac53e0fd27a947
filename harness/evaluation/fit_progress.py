"""What a method holds of the harness while it is fitted: three facts and one call, and no way back to the clips."""

from __future__ import annotations

import traceback
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    import torch

    from avbench.harness.contract.method import Method
    from avbench.harness.evaluation.compiler import Compiler


Said = TypeVar("Said")
Answer = Callable[["Method"], float | BaseException]
"""The validation HM in percent, or what is to be raised."""


@dataclass(frozen=True, slots=True)
class FitProgress:
    """The :class:`avbench.harness.contract.method.Progress` of one fit."""

    epochs: int
    device: torch.device
    seed: int
    _ask: Answer

    def epoch_done(self, method: Method) -> float:
        """See :meth:`avbench.harness.contract.method.Progress.epoch_done`."""
        answer = self._ask(method)
        if isinstance(answer, BaseException):
            raise answer
        return answer


@dataclass(frozen=True, slots=True)
class FitCompanion:
    """The :class:`avbench.harness.contract.method.Companion` of one of several fits."""

    device: torch.device
    seed: int
    compiler: Compiler | None
    _ask: Callable[[Method], float | None]

    def epoch_done(self, method: Method) -> float | None:
        """See :meth:`avbench.harness.contract.method.Companion.epoch_done`."""
        return self._ask(method)


def answered(call: Callable[[Method], float]) -> Answer:
    """The same call, which gives back what it would raise.

    Without its traceback, causes and contexts: their frames hold the harness's own objects. What they would have shown
    stands as text in a note of the exception.
    """

    def answer(method: Method) -> float | BaseException:
        try:
            return call(method)
        except BaseException as error:
            error.add_note("".join(traceback.format_exception(error)))
            error.__traceback__ = error.__cause__ = error.__context__ = None
            return error

    return answer


def opaque(call: Callable[[Method], Said]) -> Callable[[Method], Said]:
    """The same call, behind which no attribute leads to the function, its closure or the object that it is bound to.

    A cache of size 0 keeps nothing and hashes nothing; it is the wrapper of the standard library that is written in C
    and holds its function where Python cannot name it. The garbage collector and stack frames still can.
    """
    hidden = lru_cache(maxsize=0)(call)
    del hidden.__wrapped__
    return hidden
