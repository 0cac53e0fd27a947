"""One video through all encoders: its features over time."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from avbench.harness.contract.encoder import FrameEncoder, SoundEncoder
from avbench.harness.errors import AvbenchError, PluginError
from avbench.harness.extraction.container import MAX_SECONDS
from avbench.harness.extraction.decode import Account, decode
from avbench.harness.extraction.frames import FrameSampler
from avbench.harness.extraction.sound import SoundCutter

BATCH = 16
"""Steps that an encoder gets at once. Fixed, since the bits may depend on it."""


@dataclass(frozen=True)
class VideoFeatures:
    """Steps of one video: ``visual`` (Tv, Dv) and ``audio`` (Ta, Da), float32; Ta is 0 where there is no sound."""

    visual: NDArray[np.float32]
    audio: NDArray[np.float32]
    account: Account


def encode_video(
    path: Path, frames: FrameEncoder, sound: SoundEncoder, start: float = 0.0, end: float = MAX_SECONDS
) -> VideoFeatures:
    """Decode once, encode both. Raises :class:`BadVideoError`, and :class:`PluginError` for an encoder's mistake."""
    visual, audio = _Batches(frames), _Batches(sound)
    account = decode(
        path, FrameSampler(frames.sampling, visual.add), SoundCutter(sound.sampling, audio.add), start, end
    )
    return VideoFeatures(visual.finish(), audio.finish(), account)


class _Batches:
    """Collects steps and has them encoded, a fixed number at once."""

    def __init__(self, encoder: FrameEncoder | SoundEncoder) -> None:
        self._encoder = encoder
        self._encode: Callable[[Sequence[Any]], NDArray[np.float32]] = encoder.encode
        self._waiting: list[NDArray[Any]] = []
        self._rows: list[NDArray[np.float32]] = []

    def add(self, step: NDArray[Any]) -> None:
        self._waiting.append(step)
        if len(self._waiting) == BATCH:
            self._flush()

    def finish(self) -> NDArray[np.float32]:
        if self._waiting:
            self._flush()
        return np.concatenate([np.empty((0, self._encoder.width), np.float32), *self._rows])

    def _flush(self) -> None:
        try:
            found = np.array(self._encode(self._waiting), np.float32)  # a copy: the encoder may use its own again
        except (AvbenchError, MemoryError):
            raise
        except Exception as error:  # kept apart from what a broken video can raise
            raise PluginError(f"encoder {self._encoder.name!r} failed: {type(error).__name__}: {error}") from error
        if found.shape != (len(self._waiting), self._encoder.width) or not np.isfinite(found).all():
            raise PluginError(
                f"encoder {self._encoder.name!r} gave {found.shape} for {len(self._waiting)} steps, or values that are "
                f"not finite; expected {(len(self._waiting), self._encoder.width)}"
            )
        self._rows.append(found)
        self._waiting = []
