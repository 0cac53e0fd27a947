"""How matrix products are computed, and that the same seed gives the same bits. Imports torch when used."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    import torch


@contextmanager
def matrix_products(precision: Literal["float32", "tf32", "bfloat16"], device: torch.device) -> Iterator[None]:
    """Multiply matrices in the given precision. What is global stays as it is set here until the next run sets it:
    runs that take turns in one process have equal numerics, and the first to end must not change those of the others.

    ``bfloat16`` is torch's automatic casting, without its cache: weights change between two uses. A method whose
    operations do not exist in bfloat16 fails with torch's message.
    """
    import torch

    torch.set_float32_matmul_precision("high" if precision == "tf32" else "highest")
    torch.backends.cudnn.allow_tf32 = precision == "tf32"
    with torch.autocast(device.type, torch.bfloat16, enabled=precision == "bfloat16", cache_enabled=False):
        yield


def make_deterministic() -> None:
    """Same seed, same machine, same bits: deterministic kernels where torch has them.

    By the debug mode, because ``torch.use_deterministic_algorithms`` imports torch's compiler to tell it too, which
    takes as long as importing torch; whoever compiles reads the variable.
    """
    import torch

    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    os.environ.setdefault("TORCHINDUCTOR_DETERMINISTIC", "1")
    torch.set_deterministic_debug_mode("warn")
    torch.utils.deterministic.fill_uninitialized_memory = False  # type: ignore[attr-defined]
