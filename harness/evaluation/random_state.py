"""The global random generators: seeding them, and keeping them as they were. Imports torch when used."""

from __future__ import annotations

import random
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    import torch


def seed_generators(seed: int) -> None:
    """Seed the global generators of torch, NumPy and Python, as before every fit."""
    import torch

    torch.manual_seed(seed)
    np.random.seed(seed)
    random.seed(seed)


@contextmanager
def random_state_kept(device: torch.device) -> Iterator[None]:
    """Restore the global generators of torch (CPU and ``device``), NumPy and Python afterwards."""
    import torch

    python, numpy = random.getstate(), np.random.get_state()
    try:
        with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
            yield
    finally:
        random.setstate(python)
        np.random.set_state(numpy)
