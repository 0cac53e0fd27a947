"""The order in which clips are shown to be scored: it follows from the clips alone, so it tells nothing about labels.

Clips come in the order of a hash of their own content. Whoever has the clips could work it out, and it depends on
nothing else: not on labels, parts, or the order of the store. An order drawn at random would tell as little, but the
bits of a clip's scores depend on its place in the batch (the last rows of a matrix product go through another kernel:
up to 6 of 271 clips of AVCA differ in the last bit), and the same seed must give the same bits. Clips without any
difference would keep the order of the store among them; theirs is drawn anew from the system's randomness.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from avbench.harness.contract.packed import PackedClips


@dataclass(frozen=True, eq=False)
class ShownOrder:
    """The order in which N clips are shown. Imports torch."""

    digests: NDArray[np.uint64]
    """(N, 4) SHA-256 of the content of each clip, as four numbers."""

    @classmethod
    def of(cls, *modalities: Tensor) -> ShownOrder:
        """For clips with the given features, each (N, D) of any floating type on any device."""
        rows = [tensor.contiguous().view(torch.uint8).cpu().numpy() for tensor in modalities]
        contents = zip(*rows, strict=True)
        digests = [hashlib.sha256(b"".join(row.data for row in clip)).digest() for clip in contents]
        return cls(np.frombuffer(b"".join(digests), dtype=np.uint64).reshape(len(digests), -1))

    @classmethod
    def over_time(cls, clips: PackedClips, rows: Sequence[int]) -> ShownOrder:
        """For some clips over time, read one after the other."""
        digests = []
        for row in rows:
            content = hashlib.sha256()
            for values, offsets in ((clips.audio, clips.audio_offsets), (clips.visual, clips.visual_offsets)):
                steps = values[int(offsets[row]) : int(offsets[row + 1])]
                content.update(len(steps).to_bytes(8, "little"))
                content.update(steps.contiguous().view(torch.uint8).cpu().numpy().data)
            digests.append(content.digest())
        return cls(np.frombuffer(b"".join(digests), dtype=np.uint64).reshape(len(digests), -1))

    def order(self) -> NDArray[np.intp]:
        """(N,) the clip in each place."""
        chance = np.frombuffer(os.urandom(8 * len(self.digests)), dtype=np.uint64)
        order: NDArray[np.intp] = np.lexsort([chance, *self.digests.T])
        return order
