"""When the frames of a video are shown, by time stamps that may be missing, guessed or wrong."""

from __future__ import annotations

from dataclasses import dataclass, field
from statistics import median
from typing import TYPE_CHECKING

from avbench.harness.extraction.container import MAX_SECONDS, BadVideoError

if TYPE_CHECKING:
    from av import VideoFrame

UNEVEN = 1.5
"""How many times longer or shorter than usual the distance to the next frame must be to count as uneven."""
UNEVEN_SHARE = 0.1
"""Share of the time with uneven distances above which the frame rate is told as variable."""

UNEVEN_FRAMES = 3
"""How many usual distances that time must have at least: files of FFmpeg's may skip a frame at their start."""


def refuse_endless(seconds: float) -> None:
    """Raises :class:`BadVideoError` for what is beyond the longest clip."""
    if seconds > MAX_SECONDS:
        raise BadVideoError(f"has time stamps beyond {MAX_SECONDS:,} s, the longest clip that is taken")


@dataclass
class Clock:
    """Seconds of the frames of one stream since ``zero``, in the order of display, without steps back."""

    distance: float
    """Where a frame has no time stamp: seconds since the one before."""
    zero: float | None
    """The time stamp that is second 0; None: the first that is told."""
    displayed: bool = True
    """Frames know when they are shown. Where not, they have the time at which they came out of the decoder, which
    orders them too; and where times of display step back, they are none."""
    first: float | None = None
    last: float = 0.0
    _latest: float | None = None
    _distances: list[float] = field(default_factory=list)

    def since_zero(self, stamp: float) -> float:
        """A time stamp of this or another stream, as seconds since second 0."""
        self.zero = stamp if self.zero is None else self.zero
        return round(stamp - self.zero, 6)  # so that a frame at the end of a clip is not taken for one before it

    def tell(self, frame: VideoFrame) -> float:
        """When the next frame is shown. Raises :class:`BadVideoError` for what is beyond the longest clip."""
        stamp = self._stamp(frame)
        if self.first is None:
            seconds = max(0.0, self.since_zero(stamp)) if stamp is not None else 0.0
        else:
            seconds = self.since_zero(stamp) if stamp is not None else self.last + self.distance
            if seconds <= self.last:
                seconds = self.last + self.distance
            self._distances.append(seconds - self.last)
        refuse_endless(seconds)
        self.first = seconds if self.first is None else self.first
        self.last = seconds
        return seconds

    def _stamp(self, frame: VideoFrame) -> float | None:
        if frame.time is not None:
            self.displayed = self.displayed and (self._latest is None or frame.time > self._latest)
            self._latest = frame.time
        if frame.time is not None and self.displayed:
            return frame.time
        return float(frame.dts * frame.time_base) if frame.dts is not None and frame.time_base else None

    @property
    def uneven(self) -> bool:
        """Frames are shown for different times."""
        if not self._distances:
            return False
        usual = median(self._distances)
        odd = sum(d for d in self._distances if not usual / UNEVEN <= d <= usual * UNEVEN)
        return odd > max(UNEVEN_SHARE * sum(self._distances), UNEVEN_FRAMES * usual)
