"""Linear maps whose matrix products are oneDNN's on a CPU. Imports torch.

torch hands products of float32 to MKL, which on processors that are not Intel's reaches half the speed of oneDNN, a
library that torch brings too (`benchmarks/train_step.py` prints both). The two round sums differently: last bits.
The operation has no public name in torch. Where it is missing, or the input is of another kind, torch's own is used.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

FEWEST = 2**20
"""Multiplications below which the choice does not matter."""

POINTWISE = getattr(torch.ops.mkldnn, "_linear_pointwise", None)
"""The operation; None where torch was built without oneDNN."""


class Linear(nn.Linear):
    """``nn.Linear`` with faster products on a CPU."""

    def forward(self, x: Tensor) -> Tensor:
        if not _suits(x, self.weight):
            return functional.linear(x, self.weight, self.bias)
        return _map(x, self.weight, self.bias)


def _suits(x: Tensor, weight: Tensor) -> bool:
    return (
        POINTWISE is not None
        and x.device.type == "cpu"
        and x.dtype == weight.dtype == torch.float32
        and not torch.is_autocast_enabled("cpu")
        and x.numel() * len(weight) >= FEWEST
    )


class _OneDNNLinear(torch.autograd.Function):
    """x (..., inputs), weight (outputs, inputs), bias (outputs,) or None, to (..., outputs).

    Where its gradients are to be differentiated in turn, they are maps of the same kind.
    """

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        ctx.save_for_backward(x, weight)
        ctx.biased = bias is not None
        return product(x.reshape(-1, x.shape[-1]), weight, bias).view(*x.shape[:-1], len(weight))

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        x, weight = ctx.saved_tensors
        wants_x, wants_weight, _ = ctx.needs_input_grad
        rows, grad = x.reshape(-1, x.shape[-1]), grad.reshape(-1, len(weight)).contiguous()
        times = _map if torch.is_grad_enabled() else product  # which, as a function with gradients, costs more to call
        grad_x = times(grad, weight.t(), None).view(x.shape) if wants_x else None
        grad_weight = times(grad.t(), rows.t(), None) if wants_weight else None
        return grad_x, grad_weight, grad.sum(0) if ctx.biased else None


_map: Callable[[Tensor, Tensor, Tensor | None], Tensor] = _OneDNNLinear.apply


def product(x: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """x (N, inputs) times the transpose of weight (outputs, inputs), plus bias."""
    assert POINTWISE is not None
    if not (weight.is_contiguous() or weight.t().is_contiguous()):
        weight = weight.contiguous()  # with gaps in memory, oneDNN falls back to plain loops
    if not x.is_contiguous() and x.t().is_contiguous():
        x = transposed(x.t())  # otherwise the operation does it, more slowly
    out: Tensor = POINTWISE(x, weight, bias, "none", [], "")
    return out


TILE = 64
"""Rows that are transposed together: their pieces of a line of the result fill whole lines of the cache."""


def transposed(x: Tensor) -> Tensor:
    """The transpose (F, N) of a contiguous x (N, F), contiguous: torch's own copy of one uses one thread.

    Where the rows are a multiple of 2 KiB long, equal columns fall on the same place in the cache; there torch's copy,
    which goes through a small square, is faster.
    """
    rows, columns = x.shape
    if rows % TILE or columns % 512 == 0:
        return x.t().contiguous()
    result = x.new_empty(columns, rows)
    result.view(columns, rows // TILE, TILE).copy_(x.view(rows // TILE, TILE, columns).permute(2, 0, 1))
    return result
