"""One video, decoded once for all encoders. What it says about itself, such as its number of frames, is not trusted."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from avbench.harness.extraction.container import BadVideoError, opened, reason
from avbench.harness.extraction.frames import FrameSampler, quarter_turns
from avbench.harness.extraction.sound import SoundCutter

if TYPE_CHECKING:
    from av import AudioFrame, Packet, VideoFrame, VideoStream
    from av.container import InputContainer

MAX_SECONDS = 3600
"""Of a clip. The longest of the benchmark has four minutes."""
CUT_SHORT = 0.9
"""A stream that ends before this share of the length it states is told as cut short."""
ODD_FORMATS = ("yuv420p", "yuvj420p")
"""All other pixel formats are told."""
UNEVEN = 1.5
"""Ratio of the longest to the shortest distance of frames above which the frame rate is told as variable."""


@dataclass
class Account:
    """What was found in a video."""

    frames: int = 0
    """Decoded, of the span."""
    samples: int = 0
    """Of sound, at the rate of the file."""
    remarks: list[str] = field(default_factory=list)
    """What is not as usual, for the list of videos."""


@dataclass
class _Clock:
    """Time of the frames of one stream, from its first frame on, without steps back."""

    distance: float
    """Where a frame has no time stamp: seconds since the one before."""
    first: float | None = None
    last: float = 0.0
    least: float = float("inf")
    most: float = 0.0

    def tell(self, time: float | None) -> float:
        if self.first is None:
            self.first = time or 0.0
            return 0.0
        seconds = time - self.first if time is not None else self.last + self.distance
        if seconds <= self.last:
            seconds = self.last + self.distance
        if seconds > MAX_SECONDS:
            raise BadVideoError(f"has time stamps beyond {MAX_SECONDS:,} s, the longest clip that is taken")
        self.least, self.most = min(self.least, seconds - self.last), max(self.most, seconds - self.last)
        self.last = seconds
        return seconds


def decode(
    path: Path, frames: FrameSampler, sound: SoundCutter, start: float = 0.0, end: float = MAX_SECONDS
) -> Account:
    """Decode the seconds from ``start`` to ``end`` and hand them to the samplers.

    Raises :class:`BadVideoError` for what gives no picture at all; a video that breaks off is used as far as it goes.
    """
    from av import AudioFrame, VideoStream

    account = Account()
    with opened(path) as container:
        pictures = container.streams.best("video")
        if not isinstance(pictures, VideoStream):
            raise BadVideoError("has no video track")
        voices = container.streams.best("audio")
        for stream in (pictures, voices):
            if stream is not None:
                stream.codec_context.thread_count = 1  # many videos at once use the cores better, and alike each time
        rate = pictures.average_rate
        clock = _Clock(1 / float(rate) if rate else 0.04)
        heard = 0.0
        going = {"pictures"} if voices is None else {"pictures", "sound"}
        for frame in _decoded(container, [s for s in (pictures, voices) if s is not None], account):
            if isinstance(frame, AudioFrame):
                if heard >= end:
                    going.discard("sound")
                elif heard >= start:
                    account.samples += frame.samples
                    sound.push(frame)
                heard += frame.samples / frame.sample_rate
            else:
                seconds = clock.tell(frame.time)
                if seconds >= end:
                    going.discard("pictures")
                else:
                    if seconds >= start:
                        account.frames += 1
                        if account.frames == 1:
                            account.remarks += _oddities(frame)
                    frames.push(frame, seconds - start)  # the one before `start` may still be shown then
            if not going:
                break
        if not account.frames:
            raise BadVideoError("not one frame can be decoded")
        length = min(clock.last + clock.distance, end)
        if clock.most > UNEVEN * clock.least:
            account.remarks.append("variable frame rate: sampled by its time stamps")
        stated = min(_stated_seconds(container, pictures), end)
        if length < CUT_SHORT * stated and "pictures" in going:
            account.remarks.append(f"pictures end after {length:.1f} s of {stated:.1f} s: used as far as they go")
        frames.finish(length - start)
        sound.finish()
    return account


def _stated_seconds(container: InputContainer, pictures: VideoStream) -> float:
    """The length that the file claims: good for a remark, and for nothing else."""
    whole = container.duration / 1e6 if container.duration else 0.0
    counted = float(pictures.frames / pictures.average_rate) if pictures.average_rate else 0.0
    return max(whole, counted)


def _decoded(container: InputContainer, streams: list[object], account: Account) -> Iterator[VideoFrame | AudioFrame]:
    """Frames as they come. Packets that cannot be decoded are passed over and told; a broken end is the end."""
    import av

    broken = 0
    packets: Iterator[Packet[Any]] = container.demux(streams)
    while True:
        try:
            packet = next(packets)
        except StopIteration:
            break
        except av.FFmpegError as error:
            account.remarks.append(f"breaks off ({reason(error)}): used as far as it goes")
            break
        try:
            yield from packet.decode()
        except av.FFmpegError as error:
            if isinstance(error, MemoryError):
                raise
            broken += 1
    if broken:
        account.remarks.append(f"{broken:,} damaged packets passed over")


def _oddities(frame: VideoFrame) -> Iterator[str]:
    if turns := quarter_turns(frame):
        yield f"turned by {90 * turns} degrees to stand upright"
    if frame.format.name not in ODD_FORMATS:
        yield f"pixel format {frame.format.name} converted"
