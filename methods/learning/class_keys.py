"""Class names as numbers, for states that hold tensors only. Imports torch."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

import torch
from torch import Tensor


def class_keys(names: Sequence[str]) -> Tensor:
    """The first 64 bits of each name's SHA-256, (C,) int64, on the CPU."""
    digests = (hashlib.sha256(name.encode()).digest() for name in names)
    return torch.tensor([int.from_bytes(d[:8], "little", signed=True) for d in digests], dtype=torch.int64)
