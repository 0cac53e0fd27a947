"""The matrix products of a piece of PyTorch code: recorded once, then run alone with operands of the same layout."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

from avbench.methods.learning.products import POINTWISE, product

aten = torch.ops.aten
OPERANDS = {aten.mm.default: (0, 1), aten.bmm.default: (0, 1), aten.addmm.default: (1, 2), aten.baddbmm.default: (1, 2)}
"""Where the two factors stand among the arguments."""


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


@dataclass(frozen=True)
class Product:
    """One product that ran."""

    left: Layout
    right: Layout
    onednn: bool
    """Whether the code called oneDNN by itself."""

    def ready(self, device: torch.device, *, as_run: bool) -> Callable[[], object]:
        """The product of noise: as it ran, or as torch makes it (``torch.matmul``)."""
        a, b = self.left.filled(device), self.right.filled(device)
        if self.onednn and as_run:
            return partial(product, a, b.t())
        return partial(torch.matmul, a, b, out=torch.matmul(a, b))


@dataclass
class MatrixProducts(TorchDispatchMode):
    """Records every matrix product, forward and backward, that runs while it is active."""

    products: list[Product] = field(default_factory=list)

    def __post_init__(self) -> None:
        super().__init__()

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        if func in OPERANDS:
            first, second = OPERANDS[func]
            self.products.append(Product(Layout.of(args[first]), Layout.of(args[second]), onednn=False))
        elif POINTWISE is not None and func is POINTWISE.default:  # times the transpose of its second argument
            self.products.append(Product(Layout.of(args[0]), Layout.of(args[1].t()), onednn=True))
        return func(*args, **(kwargs or {}))

    @property
    def operations(self) -> int:
        """Multiplications and additions of all recorded products."""
        total = 0
        for found in self.products:
            *batch, rows, inner = found.left.shape
            total += 2 * torch.Size(batch).numel() * rows * inner * found.right.shape[-1]
        return total

    def alone(self, device: torch.device, *, as_run: bool) -> Callable[[], None]:
        """A function that runs the recorded products and nothing else, each with factors of its own."""
        jobs = [found.ready(device, as_run=as_run) for found in self.products]

        def run() -> None:
            for job in jobs:
                job()

        return run
