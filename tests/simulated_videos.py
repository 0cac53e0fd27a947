"""Videos made by PyAV: moving shapes and tones, in many codecs; and a small UCF of them with lists of its own."""

from __future__ import annotations

import csv
from collections.abc import Iterator, Sequence
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
from numpy.typing import NDArray

from avbench.splits import ARCHIVE_NAMES, PARTS, Split, load_split

SIDE = 64


def shapes(frames: int, width: int, height: int, seed: int, take: int) -> Iterator[NDArray[np.uint8]]:
    """A square that moves over a coloured ground. Colours and speed follow from the seed, size and place from both."""
    generator, own = np.random.default_rng(seed), np.random.default_rng((seed, take))
    ground, colour = generator.integers(0, 256, (2, 3))
    speed, side = generator.integers(1, 6, 2), int(own.integers(height // 8, height // 3))
    place = own.integers(0, height, 2)
    for number in range(frames):
        picture = np.full((height, width, 3), ground, np.uint8)
        top, left = (place + number * speed) % (height - side, width - side)
        picture[top : top + side, left : left + side] = colour
        yield picture


def tone(seconds: float, rate: int, seed: int, take: int = 0) -> NDArray[np.float32]:
    """Two sines whose frequencies follow from the seed, louder in one take than in another."""
    generator = np.random.default_rng(seed)
    time = np.arange(round(seconds * rate)) / rate
    waves = [np.sin(2 * np.pi * f * time) for f in generator.uniform(150, 4000, 2)]
    return ((0.3 - 0.02 * (take % 8)) * np.sum(waves, axis=0)).astype(np.float32)


def write_video(
    path: Path,
    *,
    frames: int = 25,
    rate: Fraction | int = 25,
    width: int = SIDE,
    height: int = SIDE,
    codec: str = "mpeg4",
    pixels: str = "yuv420p",
    sound: str | None = "aac",
    sound_rate: int = 48_000,
    seed: int = 0,
    take: int = 0,
    turned: int = 0,
    pixel: Fraction | None = None,
    right: float | None = None,
    times: Sequence[int] | None = None,
    heard: Sequence[tuple[float, float]] | None = None,
    grain: int = 0,
    bit_rate: int | None = None,
    options: dict[str, str] | None = None,
) -> Path:
    """A video file. ``times``: time stamps of the frames in thousandths of a second, for a variable frame rate.
    ``heard``: the seconds that have sound, the last of which may lie after the pictures; by default all.

    ``pixel``: its width to its height. ``right``: how loud the right channel is beside the left one, None for mono.
    ``grain``: the most that noise changes a value, as cameras have it.
    """
    noise = np.random.default_rng((seed, take))
    path.parent.mkdir(parents=True, exist_ok=True)
    with av.open(str(path), "w", options=options or {}) as container:
        pictures = container.add_stream(codec, rate=rate)
        pictures.width, pictures.height, pictures.pix_fmt = width, height, pixels
        if pixel:
            pictures.codec_context.sample_aspect_ratio = pixel
        if bit_rate:
            pictures.bit_rate = bit_rate
        if times is not None:
            pictures.codec_context.time_base = Fraction(1, 1000)
        if turned:
            pictures.set_display_rotation(turned)
        voices = None
        if sound:
            voices = container.add_stream(sound, rate=sound_rate, layout="mono" if right is None else "stereo")
        for number, picture in enumerate(shapes(frames, width, height, seed, take)):
            if grain:
                picture = (picture + noise.integers(-grain, grain + 1, picture.shape)).clip(0, 255).astype(np.uint8)
            frame = av.VideoFrame.from_ndarray(picture, format="rgb24").reformat(format=pixels)
            if times is not None:
                frame.pts, frame.time_base = times[number], Fraction(1, 1000)
            container.mux(pictures.encode(frame))
        container.mux(pictures.encode(None))
        if voices is not None:
            seconds = heard[-1][1] if heard else float(frames / Fraction(rate))
            samples = tone(seconds, sound_rate, seed, take)
            channels = samples[None] if right is None else np.stack([samples, right * samples])
            frame = av.AudioFrame.from_ndarray(channels, format="fltp", layout="mono" if right is None else "stereo")
            frame.sample_rate = sound_rate
            fifo = av.AudioFifo()
            fifo.write(frame)
            size = voices.codec_context.frame_size or 1024
            number = 0
            while block := fifo.read(size) or fifo.read(size, partial=True):
                if heard:
                    block.pts, block.time_base = number, Fraction(1, sound_rate)
                if heard is None or any(start <= number / sound_rate < end for start, end in heard):
                    container.mux(voices.encode(block))
                number += block.samples
            container.mux(voices.encode(None))
    return path


def write_lists(folder: Path, split: Split, clips: int, classes: int | None = None) -> dict[str, str]:
    """Class-split lists with some made-up clips for each class of each part, or for its first ``classes``.

    Returns the class of every clip.
    """
    owners = {}
    lists = folder / f"{split.partition}_split"
    lists.mkdir(parents=True, exist_ok=True)
    for part in PARTS:
        members = split.classes_of(part)
        (lists / f"{ARCHIVE_NAMES[part]}.txt").write_text("".join(f"{c.name}\n" for c in members), "utf-8")
        with (lists / f"{ARCHIVE_NAMES[part]}.csv").open("w", encoding="utf-8", newline="") as stream:
            rows = csv.writer(stream)
            rows.writerow(["filename", "label", "label_code"])
            for c in members[:classes]:
                for number in range(clips):
                    video = f"v_{c.name}_g{PARTS.index(part) + 1:02d}_c{number + 1:02d}"
                    owners[video] = c.name
                    rows.writerow([video, c.name, c.id])
    return owners


def made_up_ucf(folder: Path, classes: int, clips: int = 1, frames: int = 10) -> tuple[Path, Path]:
    """A UCF in class folders of ``.avi``, with clips of the first ``classes`` of each part, and its lists.

    Clips of a class are alike, not the same.
    """
    split = load_split("ucf", "main")
    owners = write_lists(folder / "class-split", split, clips, classes)
    for take, (video, owner) in enumerate(owners.items()):
        path, seed = folder / "videos" / owner / f"{video}.avi", split.find(owner).id
        write_video(path, frames=frames, sound="mp3", seed=seed, take=take)
    return folder / "videos", folder / "class-split"
