"""Layers shared by the networks of the methods. Imports torch: import it inside functions of a method's file.

Every layer takes (B, ..., F). The middle dimensions number *groups*: the positive and negative half of a pair, or
several embeddings that pass through one shared layer. A reference that calls a layer once per group normalises each
group with its own batch statistics; here one call does the same for all groups with a single matrix product.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable
from torch.nn import functional

from avbench.methods.learning.products import Linear

EPSILON = 1e-5
"""Added to the variance in batch and layer norm, as in PyTorch."""


def dropout_mask(shape: Sequence[int], rate: float, device: torch.device) -> Tensor:
    """Mask of inverted dropout: 0 with probability ``rate`` (in steps of 2^-16), otherwise ``1 / (1 - rate)``.

    Four entries share one 64-bit random word of torch's global generator: several times cheaper on CPU than one
    floating-point draw per entry.
    """
    words = torch.empty(words_for(shape), dtype=torch.int64, device=device).random_(-(2**63), None)
    return mask_of(words, shape, rate)


def words_for(shape: Sequence[int]) -> int:
    """Random words that a mask takes."""
    return (math.prod(shape) + 3) // 4


def mask_of(words: Tensor, shape: Sequence[int], rate: float) -> Tensor:
    """The masks (..., *shape) that random words (..., W) make."""
    mask = torch.empty((*words.shape[:-1], *shape), device=words.device)
    bits = words.view(torch.int16)[..., : math.prod(shape)].reshape(mask.shape)
    torch.ge(bits, round(rate * 2**16) - 2**15, out=mask)
    return mask.mul_(1 / (1 - rate))


class Dropout(nn.Module):
    """Inverted dropout with rate ``rate``; the identity in evaluation."""

    def __init__(self, rate: float) -> None:
        super().__init__()
        self.rate = rate

    def forward(self, x: Tensor) -> Tensor:
        return x * dropout_mask(x.shape, self.rate, x.device) if self.training and self.rate else x


def at_least_float32(x: Tensor) -> Tensor:
    """x, or float32 of what automatic casting made bfloat16: for statistics, and to meet float32 in one operation."""
    return x.to(torch.promote_types(x.dtype, torch.float32))


class NormReluDrop(torch.autograd.Function):
    """Training-mode batch norm of the columns of x (B, GF), then ReLU and dropout, in as few passes as possible.

    ``weight`` and ``bias`` (F,) are shared by the G groups of columns. ``mask`` is a dropout mask of factor ``scale``,
    None with factor 1. ``mean`` and ``variance`` (GF,) receive the statistics of the batch, the variance unbiased.
    """

    @staticmethod
    def forward(
        ctx: Any,
        x: Tensor,
        weight: Tensor,
        bias: Tensor,
        mask: Tensor | None,
        scale: float,
        mean: Tensor,
        variance: Tensor,
    ) -> Tensor:
        groups = x.shape[1] // len(weight)
        weight = torch.cat((weight,) * groups)
        out, center, inverse_std = torch.native_batch_norm(
            x, weight, torch.cat((bias,) * groups), mean, variance, training=True, momentum=1.0, eps=EPSILON
        )
        out.relu_()
        if mask is not None:
            out.mul_(mask)
        ctx.save_for_backward(x, weight, center, inverse_std, out)
        ctx.groups, ctx.scale = groups, scale
        return out

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        x, weight, center, inverse_std, out = ctx.saved_tensors
        # A positive output was neither rectified nor dropped, and only then does the gradient pass, times the dropout
        # factor. The factor is applied to the small tensors: to the weight, as the input's gradient is linear in it.
        grad = torch.ops.aten.threshold_backward(grad, out, 0)
        grad_x, grad_weight, grad_bias = torch.ops.aten.native_batch_norm_backward(
            grad, x, weight * ctx.scale, None, None, center, inverse_std, True, EPSILON, [True, True, True]
        )
        grad_weight, grad_bias = (g.view(ctx.groups, -1).sum(0) * ctx.scale for g in (grad_weight, grad_bias))
        return grad_x, grad_weight, grad_bias, None, None, None, None


class Block(nn.Module):
    """Linear, batch norm, ReLU, dropout: (B, ..., inputs) to (B, ..., outputs).

    In training each group is normalised with its own batch, and the running statistics are updated once per group in
    row-major order, exactly as by that many calls.
    """

    running_mean: Tensor
    running_var: Tensor

    def __init__(self, inputs: int, outputs: int, dropout: float = 0.0, momentum: float = 0.1) -> None:
        super().__init__()
        self.linear = Linear(inputs, outputs)
        self.weight = nn.Parameter(torch.ones(outputs))
        self.bias = nn.Parameter(torch.zeros(outputs))
        self.register_buffer("running_mean", torch.zeros(outputs))
        self.register_buffer("running_var", torch.ones(outputs))
        self.dropout = dropout
        self.kept_factor = torch.tensor(1 / (1 - dropout), dtype=torch.float32).item()
        """Of the entries that dropout keeps, as masks hold it: the gradient in double precision needs the same."""
        self.momentum = momentum

    def forward(self, x: Tensor) -> Tensor:
        x = at_least_float32(self.linear(x))
        return self._normalise_by_batch(x) if self.training else self._normalise_by_running(x)

    def over(self, x: Tensor, valid: Tensor) -> Tensor:
        """The same for rows x (N, inputs) of which only those in ``valid`` (N,) enter the statistics of a batch.

        Shapes do not depend on how many are valid, so a step with it can be captured as a CUDA graph. Rows that are not
        valid come out as anything.
        """
        x = at_least_float32(self.linear(x))
        if not self.training:
            return self._normalise_by_running(x)
        weight = valid.to(x.dtype)[:, None]
        count = weight.sum()
        mean = (x * weight).sum(0) / count
        variance = ((x - mean).square() * weight).sum(0) / count
        with torch.no_grad():
            self.running_mean.lerp_(mean, self.momentum)
            self.running_var.lerp_(variance * (count / (count - 1)), self.momentum)
        x = ((x - mean) * (variance + EPSILON).rsqrt() * self.weight + self.bias).relu()
        return x * dropout_mask(x.shape, self.dropout, x.device) if self.dropout else x

    def _normalise_by_running(self, x: Tensor) -> Tensor:
        rows = x.reshape(-1, x.shape[-1])
        rows = functional.batch_norm(rows, self.running_mean, self.running_var, self.weight, self.bias, eps=EPSILON)
        return rows.relu().view(x.shape)

    def _normalise_by_batch(self, x: Tensor) -> Tensor:
        columns = x.reshape(len(x), -1)  # every group has columns of its own, hence statistics of its own
        mean, variance = columns.new_zeros(2, columns.shape[1])
        mask = dropout_mask(columns.shape, self.dropout, x.device) if self.dropout else None
        out: Tensor = NormReluDrop.apply(  # type: ignore[no-untyped-call]
            columns, self.weight, self.bias, mask, self.kept_factor, mean, variance
        )
        for group_mean, group_variance in zip(mean.view(-1, x.shape[-1]), variance.view(-1, x.shape[-1]), strict=True):
            self.running_mean.lerp_(group_mean, self.momentum)
            self.running_var.lerp_(group_variance, self.momentum)
        return out.view(x.shape)


class TwoTokenAttention(nn.Module):
    """One pre-norm transformer layer over exactly two tokens, without dropout on attention weights (AVCA, section 3.1).

    ``X' = X + Drop(W_o MHA(LN X) + b_o)``, ``X'' = X' + FF(LN X')`` with a GELU between the two maps of FF.
    Takes and returns (2, ..., width): the tokens come first. No batch statistics, so groups need no care.
    """

    def __init__(self, width: int, heads: int, hidden: int, dropout: float) -> None:
        super().__init__()
        self.heads = heads
        self.norm = nn.LayerNorm(width, eps=EPSILON)
        self.query_key_value = Linear(width, 3 * width, bias=False)
        self.mix = nn.Sequential(Linear(width, width), Dropout(dropout))
        self.feed_forward = nn.Sequential(
            nn.LayerNorm(width, eps=EPSILON),
            Linear(width, hidden),
            nn.GELU(),
            Dropout(dropout),
            Linear(hidden, width),
            Dropout(dropout),
        )

    def attend(self, x: Tensor) -> Tensor:
        """Multi-head attention (2, ..., width): a softmax over two tokens is a sigmoid of their scores' difference."""
        query, key, value = self.query_key_value(x).unflatten(-1, (3, self.heads, -1)).unbind(-3)
        scale = query.shape[-1] ** -0.5
        (first_key, second_key), (first_value, second_value) = key.unbind(), value.unbind()
        first = torch.sigmoid((query * (first_key - second_key)).sum(-1, keepdim=True) * scale)
        return torch.lerp(second_value, first_value, first).flatten(-2)

    def forward(self, x: Tensor) -> Tensor:
        x = x + self.mix(self.attend(self.norm(x)))
        result: Tensor = x + self.feed_forward(x)
        return result


class Constant(nn.Module):
    """A fixed tensor that is saved with the network and not trained."""

    value: Tensor

    def __init__(self, value: Tensor) -> None:
        super().__init__()
        self.register_buffer("value", value)

    def forward(self) -> Tensor:
        return self.value
