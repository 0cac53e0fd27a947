"""Executing many runs: one after the other, in parallel processes on the CPU, or in turn on one GPU."""

from __future__ import annotations

import logging
import multiprocessing
import os
import queue
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from functools import partial
from multiprocessing.queues import Queue
from pathlib import Path
from typing import TYPE_CHECKING

from avbench.harness.errors import AvbenchError, UsageError
from avbench.harness.evaluation.two_stages import EpochDone
from avbench.harness.records.planned import PlannedRun
from avbench.harness.records.record import RunRecord
from avbench.harness.records.results import ResultsFolder
from avbench.harness.running.runs import RunListener, execute

if TYPE_CHECKING:
    import torch

    from avbench.harness.running.company import Pause

Event = tuple[int, EpochDone]
_events: Queue[Event] | None = None


def choose_device(name: str) -> torch.device:
    """``auto`` (CUDA when there is one), ``cpu``, ``cuda`` or ``cuda:<i>``. Raises :class:`UsageError` for others."""
    import torch

    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "cpu"
    try:
        device = torch.device(name)
    except RuntimeError:
        raise UsageError(f"unknown device {name!r}; use auto, cpu, cuda or cuda:<number>") from None
    if device.type not in ("cpu", "cuda"):
        raise UsageError(f"device {name!r} is not supported; use auto, cpu, cuda or cuda:<number>")
    if device.type == "cuda":
        if not torch.cuda.is_available():
            raise UsageError("this machine, or this build of torch, has no CUDA device; use --device cpu")
        if (device.index or 0) >= torch.cuda.device_count():
            raise UsageError(f"there is no {name}; this machine has {torch.cuda.device_count()} CUDA device(s)")
    return device


def execute_all(
    runs: Sequence[PlannedRun],
    results: ResultsFolder,
    device: torch.device,
    jobs: int,
    listener: RunListener,
    observe: Sequence[str] = (),
) -> Iterator[tuple[int, RunRecord]]:
    """Execute runs and give each record, with the index of its run, as soon as it is stored.

    ``observe``: names of the observers that watch each run, in the process that executes it.
    """
    if jobs == 1 or len(runs) == 1:
        for index, run in enumerate(runs):
            yield index, execute(run, results, device, partial(listener, index), observe)
        return
    jobs = min(jobs, len(runs))
    if device.type == "cuda":
        from avbench.harness.running.company import Company

        def call(index: int, run: PlannedRun) -> Callable[[Pause], RunRecord]:
            return lambda pause: execute(run, results, device, partial(listener, index), observe, pause, jobs)

        yield from Company[RunRecord](device, jobs).results([call(*numbered) for numbered in enumerate(runs)])
        return
    yield from _in_processes(runs, results, jobs, listener, observe)


def _in_processes(
    runs: Sequence[PlannedRun], results: ResultsFolder, jobs: int, listener: RunListener, observe: Sequence[str]
) -> Iterator[tuple[int, RunRecord]]:
    context = multiprocessing.get_context("spawn")
    events: Queue[Event] = context.Queue()
    threads = max(1, (os.cpu_count() or 1) // jobs)
    pool = ProcessPoolExecutor(jobs, mp_context=context, initializer=_start_worker, initargs=(events, threads))
    try:
        waiting = {pool.submit(_work, index, run, results.root, observe, jobs): index for index, run in enumerate(runs)}
        while waiting:
            done, _ = wait(waiting, timeout=0.1, return_when=FIRST_COMPLETED)
            for event in _drain(events):
                listener(*event)
            for future in done:
                yield waiting.pop(future), future.result()
    except BrokenProcessPool:
        raise AvbenchError(
            "a worker process died (killed, or out of memory?); finished runs are kept: run the same command again, "
            "with fewer --jobs if memory was short"
        ) from None
    except BaseException:
        pool.shutdown(wait=False, cancel_futures=True)
        for process in multiprocessing.active_children():
            process.terminate()
        raise
    pool.shutdown()


def _drain(events: Queue[Event]) -> Iterator[Event]:
    while True:
        try:
            yield events.get_nowait()
        except queue.Empty:
            return


def _start_worker(events: Queue[Event], threads: int) -> None:
    import signal

    import torch

    global _events
    _events = events
    logging.getLogger("avbench.plugins").setLevel(logging.ERROR)  # the parent named the broken ones
    torch.set_num_threads(threads)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent decides; finished runs are stored by then


def _work(index: int, run: PlannedRun, root: Path, observe: Sequence[str], at_once: int) -> RunRecord:
    import torch

    assert _events is not None
    events = _events
    folder, device = ResultsFolder(root), torch.device("cpu")
    return execute(run, folder, device, lambda done: events.put((index, done)), observe, at_once=at_once)
