"""Sound at an encoder's rate, mono, cut into steps as it comes."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from avbench.harness.contract.encoder import SoundSampling

if TYPE_CHECKING:
    from av import AudioFrame


JITTER = 0.1
"""Seconds that a time stamp may be off the end of the sound before it; beyond, that is a gap or an overlap. FFmpeg's
filter ``aresample=async=1`` judges by the same number."""


class Balance:
    """How much of two channels is left when they are mixed to one."""

    def __init__(self) -> None:
        self._both = self._mixed = 0.0

    @property
    def left(self) -> float:
        """Share of the power: 1 of equal channels, a half of unlike ones, 0 of opposite ones; 1 of silence."""
        return self._mixed / self._both if self._both else 1.0

    def add(self, frame: AudioFrame) -> None:
        """Count a block of two channels. Others are passed over."""
        if frame.layout.nb_channels != 2:
            return
        values = frame.to_ndarray()
        values = (values if frame.format.is_planar else values.reshape(-1, 2).T).astype(np.float64)
        left, right = values - 128 if frame.format.name.startswith("u8") else values
        middle, side = (left + right) / 2, (left - right) / 2
        self._mixed += float(middle @ middle)
        self._both += float(middle @ middle + side @ side)


class SoundCutter:
    """Calls ``emit`` with every step, mono float32 in [-1, 1]. Second 0 is the start of the clip.

    Sound is placed by its time stamps: silence fills what is missing before it and within, what overlaps or lies
    before the clip is left out. All steps are whole but the last, which is kept if it is at least half a step, or the
    only one.
    """

    def __init__(self, sampling: SoundSampling, emit: Callable[[NDArray[np.float32]], None]) -> None:
        from av import AudioResampler

        self._sampling = sampling
        self._emit = emit
        self._resampler: AudioResampler | None = None
        self._format: tuple[str, str, int] | None = None
        self.balance = Balance()
        """Of the sound that lies in the clip, also in part."""
        self._until: float | None = None
        """Second at which the sound before ends."""
        self._place = 0
        """Of the next sample from the resampler, in samples since second 0."""
        self._kept = 0
        """Samples since second 0 that were emitted or wait."""
        self._limit = 0
        self._filled = 0
        self._waiting: list[NDArray[np.float32]] = []
        self._length = 0
        self._steps = 0

    @property
    def silence(self) -> float:
        """Seconds that were filled."""
        return self._filled / self._sampling.rate

    def push(self, frame: AudioFrame, seconds: float, length: float) -> bool:
        """The next decoded sound, which begins at ``seconds``. Its format may change from one to the next.

        What lies before 0 or after ``length``, the end of the clip, is left out. False: the clip needs no more.
        """
        from av import AudioResampler

        self._limit = round(length * self._sampling.rate)
        follows = self._until is not None and abs(seconds - self._until) <= JITTER
        begin = self._until if follows and self._until is not None else seconds
        if begin >= length:
            self._flush()
            if self._kept:
                self._fill(self._limit)
            return False
        self._until = begin + frame.samples / frame.sample_rate
        found = (frame.format.name, frame.layout.name, frame.sample_rate)
        if not follows or found != self._format:
            self._flush()
        if self._until <= 0:
            return True
        self.balance.add(frame)
        if self._resampler is None:
            self._format, self._place = found, round(begin * self._sampling.rate)
            self._resampler = AudioResampler(format="flt", layout="mono", rate=self._sampling.rate)
        for part in self._resampler.resample(frame):
            self._append(part)
        return True

    def finish(self) -> None:
        """There is no more."""
        self._flush()
        self._cut()
        if self._length and (not self._steps or 2 * self._length >= self._sampling.samples):
            self._step(np.concatenate(self._waiting))

    def _flush(self) -> None:
        if self._resampler is not None:
            for part in self._resampler.resample(None):
                self._append(part)
            self._resampler = None

    def _append(self, part: AudioFrame) -> None:
        samples = part.to_ndarray()[0].astype(np.float32, copy=False)
        begin, self._place = self._place, self._place + len(samples)
        samples = samples[max(0, self._kept - begin) : max(0, self._limit - begin)]
        if len(samples):
            self._fill(begin)
            self._keep(np.nan_to_num(samples, nan=0.0, posinf=1.0, neginf=-1.0).clip(-1, 1))

    def _fill(self, place: int) -> None:
        """Silence until there, of which no more than a step is held at once."""
        while (missing := place - self._kept) > 0:
            silence = np.zeros(min(missing, self._sampling.samples), np.float32)
            self._filled += len(silence)
            self._keep(silence)

    def _keep(self, samples: NDArray[np.float32]) -> None:
        self._waiting.append(samples)
        self._kept += len(samples)
        self._length += len(samples)
        if self._length >= self._sampling.samples:
            self._cut()

    def _cut(self) -> None:
        if self._length < self._sampling.samples:
            return
        sound, whole = np.concatenate(self._waiting), self._sampling.samples
        for begin in range(0, len(sound) - whole + 1, whole):
            self._step(sound[begin : begin + whole])
        rest = sound[len(sound) - len(sound) % whole :]
        self._waiting, self._length = [rest], len(rest)

    def _step(self, sound: NDArray[np.float32]) -> None:
        self._emit(sound)
        self._steps += 1
