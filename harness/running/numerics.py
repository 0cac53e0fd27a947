"""Precision of matrix products and of stored features, explicit for each run. Imports torch when used."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from avbench.harness.errors import UsageError
from avbench.harness.evaluation.precision import matrix_products
from avbench.harness.records.record import Numerics

if TYPE_CHECKING:
    import torch


def require(numerics: Numerics, device: torch.device) -> None:
    """Raise :class:`UsageError` for numerics that a device does not have."""
    if numerics.precision == "tf32" and device.type != "cuda":
        raise UsageError(f"--precision tf32 needs a CUDA device, not {device}; use float32 or bfloat16")


@contextmanager
def products(numerics: Numerics, device: torch.device) -> Iterator[None]:
    """Multiply matrices as a run is to, see :func:`matrix_products`."""
    require(numerics, device)
    with matrix_products(numerics.precision, device):
        yield
