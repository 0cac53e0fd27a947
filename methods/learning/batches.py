"""The batches of an epoch, gathered on the device from one draw. Imports torch."""

from __future__ import annotations

import torch
from torch import Tensor

from avbench.harness.contract.data import TrainingSet
from avbench.methods.learning.batch import Batch
from avbench.methods.learning.sampling import BalancedSampler


class EpochBatches:
    """Draws an epoch at once and hands out its batches in turn.

    The draws and the position among them are tensors that stay in place, so :meth:`next` can be part of a CUDA
    graph: each replay gathers the next batch.
    """

    capturable = True
    """Whether a step can be captured as a CUDA graph."""

    def __init__(self, train: TrainingSet, batches: int, size: int, pairs: bool, seed: int) -> None:
        self.train = train
        self.sampler = BalancedSampler(train.labels, pairs, seed)
        self.size = size
        self.rows = torch.zeros(
            (batches, size, 2) if pairs else (batches, size), dtype=torch.int64, device=train.labels.device
        )
        self.position = torch.zeros(1, dtype=torch.int64, device=train.labels.device)

    def draw(self) -> None:
        """Draw the next epoch and go to its start."""
        self.rows.copy_(self.sampler.draw(len(self.rows), self.size))
        self.position.zero_()

    def stage(self, batches: int = 1) -> None:
        """Called before a step that takes so many batches: what cannot be part of a CUDA graph."""

    def next(self) -> Batch:
        """The next batch of the epoch."""
        rows = self.rows.index_select(0, self.position).squeeze(0)
        self.position += 1
        labels = gather(self.train.labels, rows)
        return Batch(
            audio=gather(self.train.clips.audio, rows).float(),
            visual=gather(self.train.clips.visual, rows).float(),
            labels=labels,
            vectors=gather(self.train.classes.vectors, labels),
            classes=self.train.classes.vectors,
            texts=self.train.classes.texts,
        )


def gather(table: Tensor, rows: Tensor) -> Tensor:
    """Rows (...) of a table (N, ...)."""
    return table.index_select(0, rows.flatten()).view(*rows.shape, *table.shape[1:])
