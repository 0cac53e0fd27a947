"""Time and memory of a call in this process."""

from __future__ import annotations

import ctypes
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from time import perf_counter

import torch

from avbench.harness.evaluation.peak_memory import peak_memory_bytes
from avbench.harness.running.environment import forget_peak_memory

MB = 1e6


@dataclass(frozen=True)
class Cost:
    """What something took."""

    time: float
    """Seconds, or milliseconds where the table says so."""
    mb: float
    """Memory at its peak: added by a call, or all of a process."""


def cost(call: Callable[[], object], repeat: int, device: torch.device) -> Cost:
    """Milliseconds of the fastest call, and what all of them add at their peak to the memory that was in use before."""
    give_back_freed_memory()
    forget_peak_memory(device)
    before, best = peak_memory_bytes(device), float("inf")
    for _ in range(repeat):
        start = perf_counter()
        call()
        if device.type == "cuda":
            torch.cuda.synchronize(device)
        best = min(best, 1e3 * (perf_counter() - start))
    return Cost(best, (peak_memory_bytes(device) - before) / MB)


def give_back_freed_memory() -> None:
    """What the C library keeps of freed memory is used again without being seen. Only glibc can be told."""
    with suppress(OSError, AttributeError):
        ctypes.CDLL(None).malloc_trim(0)
