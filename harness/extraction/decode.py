"""One video, decoded once for all encoders. What it says about itself, such as its number of frames, is not trusted."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from avbench.harness.extraction.clock import Clock, refuse_endless
from avbench.harness.extraction.container import MAX_SECONDS, BadVideoError, opened, reason
from avbench.harness.extraction.frames import FrameSampler, quarter_turns
from avbench.harness.extraction.sound import SoundCutter

if TYPE_CHECKING:
    from fractions import Fraction

    from av import AudioFrame, AudioStream, Packet, VideoFrame, VideoStream
    from av.container import InputContainer

CUT_SHORT = 0.9
"""A stream that ends before this share of the length it states is told as cut short."""
LONGEST_FRAME = 10.0
"""Seconds that the last frame is shown at most, of a video that claims to have fewer frames a second."""
NOTABLE = 0.1
"""Seconds that a clip may lack at its start or end, or its sound in between, before it is told."""
CANCELLED = 0.05
"""Share of the power of both channels of which less is left in mono: that is told. Of unlike channels half is left."""
ODD_FORMATS = ("yuv420p", "yuvj420p")
"""All other pixel formats are told."""
TAGGED = re.compile(r"(\d{2}):(\d{2}):(\d{2}\.\d{1,9})")
"""How Matroska writes the length of a stream."""


@dataclass
class Account:
    """What was found in a video."""

    frames: int = 0
    """Decoded, of the span."""
    samples: int = 0
    """Of sound, at the rate of the file: of the blocks that lie in the span, also in part."""
    remarks: list[str] = field(default_factory=list)
    """What is not as usual, for the list of videos."""


def decode(
    path: Path, frames: FrameSampler, sound: SoundCutter, start: float = 0.0, end: float = MAX_SECONDS
) -> Account:
    """Decode the seconds from ``start`` to ``end`` and hand them to the samplers, each thing at its own time.

    Second 0 is where the first of both streams begins. Raises :class:`BadVideoError` for what gives no picture at all;
    a video that breaks off is used as far as it goes.
    """
    from av import AudioFrame

    account = Account()
    with opened(path) as container:
        pictures, voices = _streams(container)
        rate = pictures.average_rate
        clock = Clock(
            distance=min(1 / float(rate), LONGEST_FRAME) if rate and rate > 0 else 0.04,
            zero=_beginning(pictures, voices),
            displayed=container.format.name != "avi",  # that has times of decoding alone; others are guessed
        )
        heard = 0.0
        going = {"pictures"} if voices is None else {"pictures", "sound"}
        for frame in _decoded(container, [s for s in (pictures, voices) if s is not None], account):
            if isinstance(frame, AudioFrame):
                if "sound" not in going:
                    continue
                at = heard if frame.time is None else clock.since_zero(frame.time)
                heard = at + frame.samples / frame.sample_rate
                if end >= MAX_SECONDS:
                    refuse_endless(at)
                if not sound.push(frame, at - start, end - start):
                    going.discard("sound")
                elif heard > start:
                    account.samples += frame.samples
            else:
                seconds = clock.tell(frame)
                if seconds >= end:
                    going.discard("pictures")
                else:
                    if seconds >= start:
                        account.frames += 1
                    if seconds == clock.first:
                        account.remarks += _oddities(frame, pictures.sample_aspect_ratio)
                    frames.push(frame, seconds - start)  # the one before `start` may still be shown then
            if not going:
                break
        if clock.first is None:
            raise BadVideoError("not one frame can be decoded")
        if clock.first >= end:
            raise BadVideoError(f"has no pictures before {clock.first:.1f} s, and the clip ends at {end:.1f} s")
        length = min(clock.last + clock.distance, end)
        if length <= start:
            raise BadVideoError(f"ends after {length:.1f} s, and the clip starts at {start:.1f} s")
        if clock.uneven:
            account.remarks.append("variable frame rate: sampled by its time stamps")
        if clock.first > start + NOTABLE + clock.distance:
            late = clock.first - start
            account.remarks.append(f"pictures begin {late:.1f} s late: the first is shown until then")
        if "pictures" in going:
            account.remarks += _lacking(container, pictures, voices, clock, heard, end)
        frames.finish(length - start)
        sound.finish()
        if (left := sound.balance.left) < CANCELLED:
            account.remarks.append(f"stereo in opposite phase: {100 * left:.0f} % of its sound is left in mono")
        if sound.silence >= NOTABLE:
            account.remarks.append(f"{sound.silence:.1f} s before or between its sound filled with silence")
    return account


def _streams(container: InputContainer) -> tuple[VideoStream, AudioStream | None]:
    """The pictures and the sound to take, each decoded by one thread. A cover is no video."""
    from av import AudioStream, VideoStream
    from av.stream import Disposition

    covers = Disposition.attached_pic | Disposition.timed_thumbnails
    best, voices = container.streams.best("video"), container.streams.best("audio")
    moving = [stream for stream in container.streams.video if not stream.disposition & covers]
    if not moving:
        raise BadVideoError("has no video track" + (", only a cover" if container.streams.video else ""))
    pictures = best if isinstance(best, VideoStream) and best in moving else moving[0]
    for stream in (pictures, voices):
        if stream is not None:
            stream.codec_context.thread_count = 1  # many videos at once use the cores better, and alike each time
    return pictures, voices if isinstance(voices, AudioStream) else None


def _beginning(*streams: VideoStream | AudioStream | None) -> float | None:
    """The time stamp, in seconds, at which the first of the streams begins, as FFmpeg's command line counts."""
    begun = [float(s.start_time * s.time_base) for s in streams if s and s.start_time is not None and s.time_base]
    return min(begun, default=None)


def _lacking(
    container: InputContainer,
    pictures: VideoStream,
    voices: AudioStream | None,
    clock: Clock,
    heard: float,
    end: float,
) -> Iterator[str]:
    """What is told of a video that is shorter than its clip, or than it claims."""
    length = clock.last + clock.distance
    if end < MAX_SECONDS and length < end - NOTABLE - clock.distance:
        yield f"pictures end after {length:.1f} s, the clip at {end:.1f} s: used as far as they go"
        return
    stated = _stated_end(container, pictures, clock)
    if stated is None:  # what the file states as a whole may be the length of its sound
        stated = clock.since_zero(container.duration / 1e6) if container.duration else 0.0
        length = max(length, heard) if voices is not None else length
    if length < CUT_SHORT * min(stated, end):
        yield f"pictures end after {length:.1f} s of {stated:.1f} s: used as far as they go"


def _stated_end(container: InputContainer, pictures: VideoStream, clock: Clock) -> float | None:
    """When the pictures end, as their stream claims: good for a remark, and for nothing else."""
    if container.format.name == "avi" and pictures.average_rate:  # its duration is reckoned from what is there
        return float(pictures.frames / pictures.average_rate)
    if pictures.duration and pictures.time_base:
        return clock.since_zero(float(((pictures.start_time or 0) + pictures.duration) * pictures.time_base))
    if written := TAGGED.fullmatch(pictures.metadata.get("DURATION", "")):  # in Matroska
        hours, minutes, seconds = written.groups()
        return clock.since_zero(int(hours) * 3600 + int(minutes) * 60 + float(seconds))
    return None


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


def _oddities(frame: VideoFrame, ratio: Fraction | None) -> Iterator[str]:
    """``ratio``: width to height of a pixel, as the file states it."""
    if ratio and ratio != 1:
        yield f"pixels of {ratio.numerator}:{ratio.denominator} taken for square"
    if turns := quarter_turns(frame):
        yield f"turned by {90 * turns} degrees to stand upright"
    if frame.format.name not in ODD_FORMATS:
        yield f"pixel format {frame.format.name} converted"
