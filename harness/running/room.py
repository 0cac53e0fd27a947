"""The memory of a device: whether it was too small, and freeing it."""

from __future__ import annotations

import gc
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch


def out_of_memory(outcome: object) -> bool:
    """Whether an exception says so, or came of one that does: the end of a capture that failed raises its own."""
    import torch

    seen: set[int] = set()
    while isinstance(outcome, BaseException) and id(outcome) not in seen:
        if isinstance(outcome, torch.cuda.OutOfMemoryError):
            return True
        seen.add(id(outcome))
        outcome = outcome.__cause__ or outcome.__context__
    return False


def free_memory(device: torch.device) -> None:
    """Give back what nobody holds any more. Exceptions and their frames hold each other, so they are collected."""
    import torch

    gc.collect()
    if device.type == "cuda":
        torch.cuda.empty_cache()
