"""Clips over time, end to end in memory or in a mapped file, from which batches are gathered. Imports torch."""

from __future__ import annotations

from dataclasses import dataclass, field

import torch
from torch import Tensor

from avbench.harness.contract.data import Clips, Time


@dataclass(frozen=True)
class Window:
    """Steps of a batch: at most so many of each clip, and no more padding than ``padded`` asks for.

    A clip that is longer is cut to ``visual`` and ``audio`` steps. Where visual steps start at s, audio steps start at
    the same time, ``round(s * visual_step / audio_step)``, or as late as there are enough of them.
    """

    audio: int
    visual: int
    fixed: bool = False
    """Pad to these lengths, whatever the clips of a batch have: shapes stay, as a captured CUDA graph needs."""


@dataclass(frozen=True)
class PackedClips(Clips):
    """N clips over time. ``audio`` (sum of Ta, Da) and ``visual`` (sum of Tv, Dv): steps of all clips, end to end.

    Float32 or float16, perhaps a mapped file that is larger than memory. :meth:`take` gives float32 batches.
    """

    audio_offsets: Tensor = field(kw_only=True)
    """(N + 1,) int64, beside the values: clip i has the steps ``offsets[i]`` to ``offsets[i + 1] - 1``."""
    visual_offsets: Tensor = field(kw_only=True)
    audio_step: float = field(kw_only=True)
    """Seconds."""
    visual_step: float = field(kw_only=True)
    device: torch.device = field(default_factory=lambda: torch.device("cpu"), kw_only=True)
    """Where batches go."""

    def __len__(self) -> int:
        return len(self.audio_offsets) - 1

    @property
    def longest(self) -> Window:
        """The longest clip of each modality."""
        audio, visual = (int(o.diff().max()) for o in (self.audio_offsets, self.visual_offsets))
        return Window(audio, visual)

    def first(self, count: int) -> PackedClips:
        """The first clips: a view."""
        audio, visual = self.audio_offsets[: count + 1], self.visual_offsets[: count + 1]
        return PackedClips(
            self.audio[: int(audio[-1])],
            self.visual[: int(visual[-1])],
            audio_offsets=audio,
            visual_offsets=visual,
            audio_step=self.audio_step,
            visual_step=self.visual_step,
            device=self.device,
        )

    def take(
        self, rows: Tensor, window: Window | None = None, starts: Tensor | None = None, *, pinned: bool = False
    ) -> Clips:
        """A padded batch of the clips ``rows`` (n,) int64, float32, on :attr:`device`.

        ``window``: what is read of longer clips; all by default. ``starts`` (n,) in [0, 1): where the window lies,
        0 at the start and nearly 1 at the end of a longer clip; in the middle by default. ``pinned``: gather
        into memory from which a copy to a GPU need not be waited for.

        With a fixed window, and rows where :attr:`audio_offsets` are, nothing is read back from a device.
        """
        rows = rows.to(self.audio_offsets.device)
        audio_first, visual_first = self.audio_offsets[rows], self.visual_offsets[rows]
        audio_lengths = self.audio_offsets[rows + 1] - audio_first
        visual_lengths = self.visual_offsets[rows + 1] - visual_first
        if window is not None:
            time = Time(audio_lengths, visual_lengths, self.audio_step, self.visual_step)
            heard, seen = places_of(time, window, starts)
            audio_first, visual_first = audio_first + heard, visual_first + seen
            audio_lengths = audio_lengths.clamp_max(window.audio)
            visual_lengths = visual_lengths.clamp_max(window.visual)
        fixed = window is not None and window.fixed
        audio_size = window.audio if window and fixed else int(audio_lengths.max())
        visual_size = window.visual if window and fixed else int(visual_lengths.max())
        pinned = pinned and self.device.type == "cuda" and not self.audio.is_cuda
        return Clips(
            self._moved(gather(self.audio, audio_first, audio_lengths, audio_size, pinned=pinned)),
            self._moved(gather(self.visual, visual_first, visual_lengths, visual_size, pinned=pinned)),
            time=Time(
                audio_lengths.to(self.device, non_blocking=True),
                visual_lengths.to(self.device, non_blocking=True),
                self.audio_step,
                self.visual_step,
            ),
        )

    def _moved(self, batch: Tensor) -> Tensor:
        """On the device, as float32: what is stored in fewer bits travels in fewer bits."""
        return batch.to(self.device, non_blocking=True).float()


def places_of(time: Time, window: Window, starts: Tensor | None) -> tuple[Tensor, Tensor]:
    """The first audio and visual steps (n,) of a window in clips; ``starts`` as for :meth:`PackedClips.take`."""
    excess = (time.visual_lengths - window.visual).clamp_min(0)
    seen = excess // 2 if starts is None else (starts.to(excess.device) * (excess + 1)).long()
    heard = (seen * (time.visual_step / time.audio_step)).round().long()
    return torch.minimum(heard, (time.audio_lengths - window.audio).clamp_min(0)), seen


def gather(values: Tensor, first: Tensor, lengths: Tensor, size: int, *, pinned: bool = False) -> Tensor:
    """Steps ``first`` (n,) to ``first + lengths - 1`` of values (T, D) as (n, size, D), padded with zeros."""
    steps = torch.arange(size, device=values.device)
    padding = steps >= lengths[:, None]
    places = torch.where(padding, first[:, None], first[:, None] + steps)  # no page is touched for padding
    batch = torch.empty(places.numel(), values.shape[1], dtype=values.dtype, device=values.device, pin_memory=pinned)
    torch.index_select(values, 0, places.flatten(), out=batch)
    return batch.view(*places.shape, -1).masked_fill_(padding[..., None], 0)
