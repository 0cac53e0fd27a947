"""The memory of a device: whether it was too small, and freeing it."""

from __future__ import annotations

import gc
from typing import TYPE_CHECKING

from avbench.harness.evaluation.causes import causes

if TYPE_CHECKING:
    import torch


def out_of_memory(outcome: object) -> bool:
    """Whether an exception says so, or came of one that does: the end of a capture that failed raises its own."""
    import torch

    return any(isinstance(error, torch.cuda.OutOfMemoryError) for error in causes(outcome))


def free_memory(device: torch.device) -> None:
    """Give back what nobody holds any more. Exceptions and their frames hold each other, so they are collected."""
    import torch

    gc.collect()
    if device.type == "cuda":
        torch.cuda.empty_cache()
