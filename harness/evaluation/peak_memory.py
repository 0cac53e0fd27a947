"""The most memory that a process has used. Imports torch when used."""

from __future__ import annotations

import resource
import sys
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch


def peak_memory_bytes(device: torch.device) -> int:
    """Peak since it was last forgotten: of the allocator on CUDA, of this process on the CPU.

    On systems other than Linux, the peak since the process started.
    """
    import torch

    if device.type == "cuda":
        return int(torch.cuda.max_memory_allocated(device))
    with suppress(OSError, StopIteration):  # bytes: the first line is the name of the process, which may be anything
        lines = Path("/proc/self/status").read_bytes().splitlines()
        return next(int(line.split()[1]) for line in lines if line.startswith(b"VmHWM:")) * 1024
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024
