"""Compiling what is called in every training step. Imports torch when used."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Callable, Iterable
from functools import cache
from itertools import chain
from types import FunctionType
from typing import TYPE_CHECKING, Any

from avbench.harness.evaluation.causes import causes
from avbench.harness.printable import printable

if TYPE_CHECKING:
    from torch import Tensor

logger = logging.getLogger("avbench")


class Compiler:
    """Compiles functions of tensors for one run, each as a whole: in parts it would cost more than it saves.

    A function that cannot be compiled raises what torch says, and ``failure`` tells it: whoever asked begins the run
    again without, so that no run is half compiled. ``backend``: of ``torch.compile``; by default it writes kernels, for
    which it needs Triton on CUDA and a C++ compiler on a CPU.
    """

    def __init__(self, backend: str = "inductor") -> None:
        self.backend = backend
        self.failure = ""

    def __call__(self, function: Callable[..., Tensor]) -> Callable[..., Tensor]:
        """The function, compiled when it is first called, for the shapes of that call."""
        import torch

        fast = torch.compile(_with_code_of_its_own(function), backend=self.backend, fullgraph=True, dynamic=False)
        called = False

        def call(*arguments: Any) -> Tensor:
            nonlocal called
            try:
                with warnings.catch_warnings():
                    warnings.filterwarnings("ignore", "TensorFloat32")  # advice to take it: --precision has the choice
                    result: Tensor = fast(*arguments)
            except torch.cuda.OutOfMemoryError:
                raise
            except Exception as error:
                if not called:
                    self._failed(error)
                raise
            called = True
            return result

        return call

    def note(self, outcomes: Iterable[object]) -> None:
        """Look at what came of the runs: the backward pass is compiled when it is first taken, outside of the call."""
        import torch

        for error in chain.from_iterable(map(causes, outcomes)):
            if isinstance(error, torch._dynamo.exc.TorchDynamoException):
                self._failed(error)

    def _failed(self, error: Exception) -> None:
        first = next(iter(str(error).splitlines()), "")
        self.failure = self.failure or printable(f"{type(error).__name__}: {first}", 300)


@cache
def tell_uncompiled(why: str) -> None:
    """Say that steps are not compiled and why, but not again in this process: what stands against it stays."""
    logger.warning("not compiled, steps are taken as they are: %s", why)


def _with_code_of_its_own(function: Callable[..., Tensor]) -> Callable[..., Tensor]:
    """The same function. What is compiled is kept with a function's code, and only so many forms of it: all that this
    module compiles would share one code, and the ninth would be refused."""

    def call(*arguments: Any) -> Tensor:
        return function(*arguments)

    return FunctionType(call.__code__.replace(), call.__globals__, call.__name__, None, call.__closure__)
