"""The matrix products of a piece of PyTorch code: recorded once, then run alone with operands of the same layout."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

aten = torch.ops.aten
OPERANDS = {aten.mm.default: (0, 1), aten.bmm.default: (0, 1), aten.addmm.default: (1, 2), aten.baddbmm.default: (1, 2)}
"""Where the two factors stand among the arguments."""
LINEAR = getattr(torch.ops.mkldnn, "_linear_pointwise", None)
"""oneDNN's product (see ``avbench.methods.products``): the first argument times the transpose of the second."""


@dataclass(frozen=True)
class Layout:
    """Shape and strides of one factor: a transposed factor must stay transposed."""

    shape: tuple[int, ...]
    strides: tuple[int, ...]

    @classmethod
    def of(cls, tensor: Tensor) -> Layout:
        return cls(tuple(tensor.shape), tensor.stride())

    def filled(self, device: torch.device) -> Tensor:
        """Noise in that layout, which may name an element many times, as the gradient of a sum does."""
        extent = 1 + sum((size - 1) * stride for size, stride in zip(self.shape, self.strides, strict=True))
        return torch.randn(extent, device=device).as_strided(self.shape, self.strides)


@dataclass
class MatrixProducts(TorchDispatchMode):
    """Records every matrix product, forward and backward, that runs while it is active."""

    factors: list[tuple[Layout, Layout]] = field(default_factory=list)

    def __post_init__(self) -> None:
        super().__init__()

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        if func in OPERANDS:
            first, second = OPERANDS[func]
            self.factors.append((Layout.of(args[first]), Layout.of(args[second])))
        elif LINEAR is not None and func is LINEAR.default:
            self.factors.append((Layout.of(args[0]), Layout.of(args[1].t())))
        return func(*args, **(kwargs or {}))

    @property
    def operations(self) -> int:
        """Multiplications and additions of all recorded products."""
        total = 0
        for left, right in self.factors:
            *batch, rows, inner = left.shape
            total += 2 * torch.Size(batch).numel() * rows * inner * right.shape[-1]
        return total

    def alone(self, device: torch.device) -> Callable[[], None]:
        """A function that runs the recorded products as torch makes them (``torch.matmul``) and nothing else.

        Each has factors and a result of its own.
        """
        jobs = []
        for left, right in self.factors:
            a, b = left.filled(device), right.filled(device)
            jobs.append((a, b, torch.matmul(a, b)))

        def run() -> None:
            for a, b, result in jobs:
                torch.matmul(a, b, out=result)

        return run
