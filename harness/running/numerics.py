"""Precision of matrix products and of stored features, explicit for each run. Imports torch when used."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from avbench.harness.errors import UsageError
from avbench.harness.records.record import Numerics

if TYPE_CHECKING:
    import torch


def require(numerics: Numerics, device: torch.device) -> None:
    """Raise :class:`UsageError` for numerics that a device does not have."""
    if numerics.precision == "tf32" and device.type != "cuda":
        raise UsageError(f"--precision tf32 needs a CUDA device, not {device}; use float32 or bfloat16")


@contextmanager
def products(numerics: Numerics, device: torch.device) -> Iterator[None]:
    """Multiply matrices in the given precision. What is global stays as it is set here until the next run sets it:
    runs that take turns in one process have equal numerics, and the first to end must not change those of the others.

    ``bfloat16`` is torch's automatic casting, without its cache: weights change between two uses. A method whose
    operations do not exist in bfloat16 fails with torch's message.
    """
    import torch

    require(numerics, device)
    torch.set_float32_matmul_precision("high" if numerics.precision == "tf32" else "highest")
    torch.backends.cudnn.allow_tf32 = numerics.precision == "tf32"
    with torch.autocast(device.type, torch.bfloat16, enabled=numerics.precision == "bfloat16", cache_enabled=False):
        yield
