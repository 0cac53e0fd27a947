"""Linear maps whose matrix products are oneDNN's on a CPU. Imports torch.

torch hands products of float32 to MKL, which on processors that are not Intel's reaches half the speed of oneDNN, a
library that torch brings too (`benchmarks/train_step.py` prints both). The two round sums differently: last bits.
The operation has no public name in torch. Where it is missing, or the input is of another kind, torch's own is used.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable
from torch.nn import functional

FEWEST = 2**20
"""Multiplications below which the choice does not matter."""

_AVAILABLE = torch.backends.mkldnn.is_available()  # type: ignore[no-untyped-call]
_POINTWISE = getattr(torch.ops.mkldnn, "_linear_pointwise", None) if _AVAILABLE else None


class Linear(nn.Linear):
    """``nn.Linear`` with faster products on a CPU. It cannot be differentiated twice."""

    def forward(self, x: Tensor) -> Tensor:
        if not _suits(x, self.weight):
            return functional.linear(x, self.weight, self.bias)
        out: Tensor = _OneDNNLinear.apply(x, self.weight, self.bias)  # type: ignore[no-untyped-call]
        return out


def _suits(x: Tensor, weight: Tensor) -> bool:
    return (
        _POINTWISE is not None
        and x.device.type == "cpu"
        and x.dtype == weight.dtype == torch.float32
        and not torch.is_autocast_enabled("cpu")
        and x.numel() * len(weight) >= FEWEST
    )


class _OneDNNLinear(torch.autograd.Function):
    """x (..., inputs), weight (outputs, inputs), bias (outputs,) or None, to (..., outputs)."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        rows = x.reshape(-1, x.shape[-1]).contiguous()
        ctx.save_for_backward(rows, weight)
        ctx.shape, ctx.biased = x.shape, bias is not None
        return _product(rows, weight, bias).view(*x.shape[:-1], len(weight))

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        rows, weight = ctx.saved_tensors
        wants_x, wants_weight, _ = ctx.needs_input_grad
        grad = grad.reshape(len(rows), -1).contiguous()
        grad_x = _product(grad, weight.t()).view(ctx.shape) if wants_x else None
        grad_weight = _product(grad.t(), rows.t()) if wants_weight else None
        return grad_x, grad_weight, grad.sum(0) if ctx.biased else None


def _product(x: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """x (N, inputs) times the transpose of weight (outputs, inputs), plus bias."""
    assert _POINTWISE is not None
    out: Tensor = _POINTWISE(x, weight, bias, "none", [], "")
    return out
