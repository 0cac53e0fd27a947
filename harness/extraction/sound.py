"""Sound at an encoder's rate, mono, cut into steps as it comes."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from avbench.harness.contract.encoder import SoundSampling

if TYPE_CHECKING:
    from av import AudioFrame


class SoundCutter:
    """Calls ``emit`` with every step, mono float32 in [-1, 1].

    All steps are whole but the last, which is kept if it is at least half a step, or the only one.
    """

    def __init__(self, sampling: SoundSampling, emit: Callable[[NDArray[np.float32]], None]) -> None:
        from av import AudioResampler

        self._sampling = sampling
        self._emit = emit
        self._resampler: AudioResampler | None = None
        self._format: tuple[str, str, int] | None = None
        self._waiting: list[NDArray[np.float32]] = []
        self._length = 0
        self._steps = 0

    def push(self, frame: AudioFrame) -> None:
        """The next decoded sound. Its format may change from one to the next."""
        from av import AudioResampler

        found = (frame.format.name, frame.layout.name, frame.sample_rate)
        if found != self._format:
            self._flush()
            self._format = found
            self._resampler = AudioResampler(format="flt", layout="mono", rate=self._sampling.rate)
        assert self._resampler is not None
        for part in self._resampler.resample(frame):
            self._append(part)

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
        self._waiting.append(np.nan_to_num(samples, nan=0.0, posinf=1.0, neginf=-1.0).clip(-1, 1))
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
