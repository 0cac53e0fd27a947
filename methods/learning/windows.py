"""The middle of long clips, for evaluation. Imports torch."""

from __future__ import annotations

import torch
from torch import Tensor

from avbench.harness.contract.data import Clips, Time
from avbench.harness.contract.packed import Window, places_of


def middle(clips: Clips, window: Window) -> Clips:
    """Clips over time cut to the window in their middle; shorter ones as they are."""
    time = clips.time
    assert time is not None
    if clips.audio.shape[1] <= window.audio and clips.visual.shape[1] <= window.visual:
        return clips
    heard, seen = places_of(time, window, None)
    audio, audio_lengths = _cut(clips.audio, heard, time.audio_lengths, window.audio)
    visual, visual_lengths = _cut(clips.visual, seen, time.visual_lengths, window.visual)
    return Clips(audio, visual, time=Time(audio_lengths, visual_lengths, time.audio_step, time.visual_step))


def _cut(x: Tensor, first: Tensor, lengths: Tensor, most: int) -> tuple[Tensor, Tensor]:
    """At most ``most`` steps of x (B, T, D) from ``first`` (B,) on, padded with zeros, and their number."""
    lengths = lengths.clamp_max(most)
    steps = torch.arange(min(most, x.shape[1]), device=x.device)
    places = (first[:, None] + steps).clamp_max(x.shape[1] - 1)
    cut = x.gather(1, places[..., None].expand(-1, -1, x.shape[2]))
    return cut.masked_fill((steps >= lengths[:, None])[..., None], 0), lengths
