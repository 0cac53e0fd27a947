"""The batches of an epoch of clips over time, which may be larger than memory. Imports torch."""

from __future__ import annotations

from collections import deque
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import replace

import torch
from torch import Tensor

from avbench.harness.contract.data import Clips, Time, TrainingSet
from avbench.harness.contract.packed import PackedClips, Window
from avbench.methods.learning.batch import Batch
from avbench.methods.learning.batches import EpochBatches, gather

AHEAD = 2
"""Batches that a thread gathers before they are asked for: it reads the disk while the step computes."""


class EpochSequences(EpochBatches):
    """Draws an epoch at once and hands out padded batches in turn.

    Steps that lie on the GPU are gathered there, as part of a captured step. Others are gathered by a thread, and on a
    GPU copied, before the step, into tensors that stay in place. With ``window`` a batch holds so many steps of longer
    clips, from a place drawn anew for each. On a GPU all batches have the lengths of the window, or of the longest
    clip, unless ``as_batch``: then they are padded to their own longest clip, as on a CPU, and no step is captured.
    """

    def __init__(
        self,
        train: TrainingSet,
        batches: int,
        size: int,
        pairs: bool,
        seed: int,
        *,
        window: Window | None = None,
        as_batch: bool = False,
    ) -> None:
        super().__init__(train, batches, size, pairs, seed)
        assert isinstance(train.clips, PackedClips)
        self.clips = train.clips
        on_gpu = self.clips.device.type == "cuda"
        self.capturable = not as_batch
        self.window = window
        if on_gpu and not as_batch:
            self.window = replace(window or self.clips.longest, fixed=True)
        self.random = window is not None
        self.resident = on_gpu and self.clips.audio.is_cuda
        self.staged = on_gpu and not self.resident and not as_batch
        self.starts = torch.zeros(self.rows.shape, device=self.rows.device)
        self.generator = torch.Generator(device=self.rows.device).manual_seed(seed)
        self.slots: list[Clips] = []
        self.slot = 0
        self.ahead: deque[Future[Clips]] = deque()
        self.thread: ThreadPoolExecutor | None = None
        self.host_rows, self.host_starts = self.rows.cpu(), self.starts.cpu()
        self.asked = 0

    def draw(self) -> None:
        super().draw()
        if self.random:
            self.starts.uniform_(generator=self.generator)
        if self.resident:
            return
        self.host_rows, self.host_starts, self.asked = self.rows.cpu(), self.starts.cpu(), 0
        self.thread = ThreadPoolExecutor(1, "batches")
        self.ahead.clear()
        for _ in range(AHEAD):
            self._ask()

    def stage(self, batches: int = 1) -> None:
        """Copy the next batches to the GPU, into the tensors that a captured step reads."""
        if not self.staged:
            return
        found = [self._gathered() for _ in range(batches)]
        self.slot = 0
        if not self.slots:
            self.slots = found
            return
        for kept, clips in zip(self.slots, found, strict=True):
            assert kept.time is not None
            assert clips.time is not None
            kept.audio.copy_(clips.audio, non_blocking=True)
            kept.visual.copy_(clips.visual, non_blocking=True)
            kept.time.audio_lengths.copy_(clips.time.audio_lengths, non_blocking=True)
            kept.time.visual_lengths.copy_(clips.time.visual_lengths, non_blocking=True)

    def next(self) -> Batch:
        rows = self.rows.index_select(0, self.position).squeeze(0)
        if self.resident:
            starts = self.starts.index_select(0, self.position).flatten() if self.random else None
            clips = self.clips.take(rows.flatten(), self.window, starts)
        elif self.staged:
            clips = self.slots[self.slot]
            self.slot += 1
        else:
            clips = self._gathered()
        self.position += 1
        labels = gather(self.train.labels, rows)
        time = clips.time
        assert time is not None
        return Batch(
            audio=clips.audio.view(*rows.shape, *clips.audio.shape[1:]),
            visual=clips.visual.view(*rows.shape, *clips.visual.shape[1:]),
            labels=labels,
            vectors=gather(self.train.classes.vectors, labels),
            classes=self.train.classes.vectors,
            time=Time(
                time.audio_lengths.view(rows.shape),
                time.visual_lengths.view(rows.shape),
                time.audio_step,
                time.visual_step,
            ),
            texts=self.train.classes.texts,
        )

    def _ask(self) -> None:
        """Let the thread gather the batch after those that were asked for, if there is one."""
        if self.asked < len(self.host_rows) and self.thread is not None:
            starts = self.host_starts[self.asked].flatten() if self.random else None
            self.ahead.append(self.thread.submit(self._taken, self.host_rows[self.asked].flatten(), starts))
            self.asked += 1

    def _taken(self, rows: Tensor, starts: Tensor | None) -> Clips:
        return self.clips.take(rows, self.window, starts, pinned=True)

    def _gathered(self) -> Clips:
        """The next batch, waited for."""
        future = self.ahead.popleft()
        self._ask()
        if not self.ahead and self.thread is not None:
            self.thread.shutdown(wait=False)
            self.thread = None
        return future.result()
