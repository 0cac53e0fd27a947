"""Frames at an encoder's rate and size, taken from a stream of decoded ones as they come."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from avbench.harness.contract.encoder import FrameSampling
from avbench.harness.extraction.container import MAX_PIXELS, BadVideoError

if TYPE_CHECKING:
    from av import VideoFrame

MAX_ASPECT = 16
"""A longer side is squeezed to this many times the shorter one before the middle is cut out."""


class FrameSampler:
    """Calls ``emit`` with every step, uint8 RGB (clip, height, width, 3).

    Sampled are the frames shown at (k + 1/2) / rate seconds, k = 0, 1, ..., by their time stamps, so that a variable
    frame rate does no harm. A video too short for one gives its last frame. A clip that the end cuts short is left out,
    but for the first, which is filled with its last frame.
    """

    def __init__(self, sampling: FrameSampling, emit: Callable[[NDArray[np.uint8]], None]) -> None:
        self._sampling = sampling
        self._emit = emit
        self._held: VideoFrame | None = None
        self._picture: NDArray[np.uint8] | None = None
        self._taken = 0
        self._steps = 0
        self._clip: list[NDArray[np.uint8]] = []

    def push(self, frame: VideoFrame, seconds: float) -> None:
        """The next frame, shown from ``seconds`` on."""
        self._take_until(seconds)
        self._held, self._picture = frame, None

    def finish(self, seconds: float) -> None:
        """The last frame is shown until ``seconds``."""
        self._take_until(seconds)
        if self._held is not None and not self._taken:
            self._take()
        if self._clip and not self._steps:
            self._step(self._clip + self._clip[-1:] * (self._sampling.clip - len(self._clip)))

    def _take_until(self, seconds: float) -> None:
        while self._held is not None and (self._taken + 0.5) / self._sampling.rate < seconds:
            self._take()

    def _take(self) -> None:
        assert self._held is not None
        if self._picture is None:
            self._picture = picture(self._held, self._sampling.size)
        self._taken += 1
        if self._clip and self._clip[-1].shape != self._picture.shape:
            raise BadVideoError("the size of its frames changes")
        self._clip.append(self._picture)
        if len(self._clip) == self._sampling.clip:
            self._step(self._clip)

    def _step(self, clip: list[NDArray[np.uint8]]) -> None:
        self._emit(np.stack(clip))
        self._steps += 1
        self._clip = []


def picture(frame: VideoFrame, size: int | None) -> NDArray[np.uint8]:
    """A frame as RGB (height, width, 3), upright: whole, or its middle square scaled to ``size``.

    Raises :class:`BadVideoError` for a frame that is too large or in a pixel format that cannot be converted.
    """
    if frame.width * frame.height > MAX_PIXELS:
        raise BadVideoError(f"frames of {frame.width} x {frame.height} pixels, more than {MAX_PIXELS:,}")
    width, height = frame.width, frame.height
    if size is not None:
        short = min(width, height)
        width, height = (min(max(size, round(side * size / short)), MAX_ASPECT * size) for side in (width, height))
    try:
        rgb = frame.reformat(width=width, height=height, format="rgb24", interpolation="AREA", threads=1).to_ndarray()
    except ValueError as error:
        raise BadVideoError(f"pixel format {frame.format.name} cannot be converted ({error})") from None
    if size is not None:
        top, left = (height - size) // 2, (width - size) // 2
        rgb = rgb[top : top + size, left : left + size]
    upright = np.rot90(rgb, quarter_turns(frame))
    return np.ascontiguousarray(upright, dtype=np.uint8)


def quarter_turns(frame: VideoFrame) -> int:
    """How often a frame must be turned by 90 degrees, counter-clockwise, to stand upright: 0 to 3."""
    return round(frame.rotation / 90) % 4
