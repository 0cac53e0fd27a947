"""Random numbers for a part that not every loss needs. Imports torch."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch


@contextmanager
def drawn_apart() -> Iterator[None]:
    """What is drawn inside from torch's global generator of the CPU comes from a stream of its own, seeded by a draw.

    Two of them with no other draw in between hold the same stream.
    All that is drawn afterwards, dropout masks above all, is then the same with the part and without it, so that runs
    of one seed that differ in the loss can be compared in pairs.
    """
    with torch.random.fork_rng(devices=[]):
        seed = int(torch.randint(2**62, ()))
        torch.default_generator.manual_seed(seed)
        yield
