"""Workers that fail: what they cost, and what is said. The workers here speak the language and decode nothing."""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path
from time import perf_counter

import pytest

from avbench.harness.errors import DataError, PluginError
from avbench.harness.extraction import pool
from avbench.harness.extraction.messages import ClipTask, EncoderChoice, Setup, ShardTask
from avbench.harness.extraction.pool import work_off

SCRIPT = """
import json, os, signal, sys, time
sys.stdin.readline()
FOLDER = {folder!r}
open(os.path.join(FOLDER, f"worker-{{os.getpid()}}"), "w").close()
def tell(**news): print(json.dumps(news), flush=True)
{before}
tell(kind="ready")
for line in sys.stdin:
    task = json.loads(line)
    for at, clip in enumerate(task["clips"]):
        tell(kind="clip", at=at)
        if clip["spoilt"] is None:
            if clip["id"] == "crash": os.kill(os.getpid(), signal.SIGSEGV)
            if clip["id"] == "exit": sys.exit(7)
            if clip["id"] == "interrupt": os.kill(os.getppid(), signal.SIGUSR1)
            if clip["id"] in ("sleep", "interrupt"): time.sleep(600)
            while clip["id"] == "meet" and sum(n.startswith("worker-") for n in os.listdir(FOLDER)) < 3:
                time.sleep(0.01)
            if clip["id"] == "error": tell(kind="error", text="wrong weights", exit_code=3)
    with open(task["path"], "w") as file:
        json.dump([[clip["id"], clip["spoilt"]] for clip in task["clips"]], file)
    tell(kind="stored")
"""


def spoken(
    folder: Path, monkeypatch: pytest.MonkeyPatch, *shards: str, jobs: int = 1, before: str = "", seconds: float = 2.0
) -> list[str]:
    """What the shards say in the end; each is given as names of clips."""
    script = SCRIPT.format(folder=str(folder), before=before)
    monkeypatch.setattr(pool, "COMMAND", [sys.executable, "-c", script])
    basic = EncoderChoice(key="basic:visual")
    setup = Setup(frames=basic, sound=basic, device="cpu", missing_audio="zeros", memory=0)
    tasks = [
        ShardTask(
            number=n,
            path=folder / f"{n}.json",
            key="",
            clips=tuple(ClipTask(id=c, path=Path("x")) for c in ids.split()),
        )
        for n, ids in enumerate(shards)
    ]
    done: list[int] = []
    work_off(setup, tasks, jobs, seconds, lambda task: done.append(task.number))
    assert sorted(done) == list(range(len(tasks)))
    return [task.path.read_text("utf-8") for task in tasks]


def workers(folder: Path) -> list[int]:
    return [int(path.name.partition("-")[2]) for path in folder.glob("worker-*")]


def alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


def test_clips_that_cost_a_worker_are_given_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    genuine = pool._Worker.begin

    def begin(worker: pool._Worker, number: int, seconds: float) -> None:
        """Time runs out for one clip alone, however busy the machine is."""
        genuine(worker, number, seconds)
        genuine(worker, number, seconds if worker.clip == "sleep" else 600.0)

    monkeypatch.setattr(pool._Worker, "begin", begin)
    first, second = spoken(tmp_path, monkeypatch, "a crash b sleep c", "exit d", seconds=0.5)
    assert first == (
        '[["a", null], ["crash", "ends the decoder (SIGSEGV)"], ["b", null], ["sleep", "takes longer than 0.5 s"], '
        '["c", null]]'
    )
    assert second == '[["exit", "ends the decoder (exit code 7)"], ["d", null]]'
    assert len(workers(tmp_path)) == 4
    assert not any(map(alive, workers(tmp_path)))


def test_what_a_worker_says_is_raised_and_all_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    start = perf_counter()
    with pytest.raises(DataError, match="wrong weights"):
        spoken(tmp_path, monkeypatch, "sleep", "error", jobs=2, seconds=600.0)
    assert perf_counter() - start < 300
    assert not any(map(alive, workers(tmp_path)))


def test_a_worker_that_cannot_start_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(PluginError, match=r"ended at its start.*no such library"):
        spoken(tmp_path, monkeypatch, "a", before="raise SystemExit('no such library')")


def test_jobs_share_the_shards(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    spoken(tmp_path, monkeypatch, *["a meet"] * 7, jobs=3, seconds=600.0)
    assert len(workers(tmp_path)) == 3, "none waits for the others"
    assert not any(map(alive, workers(tmp_path)))


def test_an_interrupt_ends_the_workers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGUSR1, interrupt)
    try:
        with pytest.raises(KeyboardInterrupt):
            spoken(tmp_path, monkeypatch, "interrupt", seconds=600.0)
    finally:
        signal.signal(signal.SIGUSR1, before)
    assert workers(tmp_path)
    assert not any(map(alive, workers(tmp_path)))
