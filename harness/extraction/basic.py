"""``basic``: an encoder without weights. Statistics of colour, edges and motion, and of the mel spectrum.

It exists so that the whole road from videos to results runs offline; it says little about what is to be seen or heard.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache

import numpy as np
from numpy.typing import NDArray

from avbench.harness.contract.encoder import (
    Encoder,
    FrameEncoder,
    FrameSampling,
    SoundEncoder,
    SoundSampling,
    TrainedOn,
)
from avbench.harness.plugins.hookspecs import hookimpl

NOTHING = TrainedOn(datasets=(), unseen_classes=())
COLOUR_BINS, ANGLE_BINS, MOTION_BINS, CELLS = 16, 8, 16, 4
MELS, WINDOW, HOP, LOWEST, FLOOR = 64, 400, 200, 125.0, 1e-6


class BasicPictures(FrameEncoder):
    """Per second: histograms of the colours, of gradient directions in 4 x 4 cells, and of changes between frames."""

    name = "basic"
    summary = "no weights: histograms of colour, gradients and frame differences"
    trained_on = NOTHING
    sampling = FrameSampling(rate=4, size=64, clip=4)
    width = 3 * COLOUR_BINS + CELLS * CELLS * ANGLE_BINS + MOTION_BINS

    def encode(self, steps: Sequence[NDArray[np.uint8]]) -> NDArray[np.float32]:
        """Roots of frequencies, so that the distance of two vectors is Hellinger's. (n, 192)"""
        return np.stack([self._step(step) for step in steps])

    def _step(self, step: NDArray[np.uint8]) -> NDArray[np.float32]:
        grey = step.astype(np.float32) @ np.array([0.299, 0.587, 0.114], np.float32)
        colours = [_frequencies(step[..., c] // (256 // COLOUR_BINS), COLOUR_BINS) for c in range(3)]
        changes = np.minimum(np.abs(np.diff(grey, axis=0)) / 4, MOTION_BINS - 1).astype(np.intp)
        parts = [*colours, _directions(grey), _frequencies(changes, MOTION_BINS)]
        return np.sqrt(np.concatenate(parts), dtype=np.float32)


class BasicSound(SoundEncoder):
    """Per 0.96 s: mean and standard deviation of the log mel spectrum."""

    name = "basic"
    summary = "no weights: statistics of the log mel spectrum"
    trained_on = NOTHING
    sampling = SoundSampling(rate=16_000, seconds=0.96)
    width = 2 * MELS

    def encode(self, steps: Sequence[NDArray[np.float32]]) -> NDArray[np.float32]:
        """(n, 128)"""
        return np.stack([self._step(step) for step in steps])

    def _step(self, step: NDArray[np.float32]) -> NDArray[np.float32]:
        padded = np.pad(step, (0, max(0, WINDOW - len(step))))
        windows = np.lib.stride_tricks.sliding_window_view(padded, WINDOW)[::HOP]
        spectrum = np.abs(np.fft.rfft(windows * np.hanning(WINDOW).astype(np.float32), axis=1)) ** 2
        mel = np.log(spectrum @ mel_filters(self.sampling.rate) + FLOOR)
        return np.concatenate([mel.mean(axis=0), mel.std(axis=0)]).astype(np.float32)


@cache
def mel_filters(rate: int) -> NDArray[np.float32]:
    """Triangles (WINDOW // 2 + 1, MELS), evenly spaced in mel, from 125 Hz to half the rate."""
    frequencies = np.fft.rfftfreq(WINDOW, 1 / rate)
    low, high = (2595 * np.log10(1 + f / 700) for f in (LOWEST, rate / 2))
    corners = 700 * (10 ** (np.linspace(low, high, MELS + 2) / 2595) - 1)
    rising = (frequencies[:, None] - corners[:-2]) / (corners[1:-1] - corners[:-2])
    falling = (corners[2:] - frequencies[:, None]) / (corners[2:] - corners[1:-1])
    found: NDArray[np.float32] = np.maximum(0, np.minimum(rising, falling)).astype(np.float32)
    return found


def _frequencies(bins: NDArray[np.integer], count: int) -> NDArray[np.float32]:
    found = np.bincount(bins.ravel(), minlength=count)
    shares: NDArray[np.float64] = found / max(1, int(found.sum()))
    return shares.astype(np.float32)


def _directions(grey: NDArray[np.float32]) -> NDArray[np.float32]:
    """Gradient magnitude by cell and direction, as shares of all. ``grey``: (frames, side, side)."""
    down, right = grey[:, 2:, 1:-1] - grey[:, :-2, 1:-1], grey[:, 1:-1, 2:] - grey[:, 1:-1, :-2]
    angle = np.arctan2(down, right) * (ANGLE_BINS / (2 * np.pi))
    side = np.arange(grey.shape[1] - 2) * CELLS // (grey.shape[1] - 2)
    cell = side[:, None] * CELLS + side
    bins = cell * ANGLE_BINS + np.floor(angle).astype(np.intp) % ANGLE_BINS
    found = np.bincount(bins.ravel(), np.hypot(down, right).ravel(), CELLS * CELLS * ANGLE_BINS)
    return (found / max(float(found.sum()), 1.0)).astype(np.float32)


@hookimpl
def avbench_encoders() -> list[type[Encoder]]:
    return [BasicPictures, BasicSound]
