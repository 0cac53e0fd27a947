"""Executing many runs: one after the other, in processes, or in turn on one GPU."""

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
from avbench.harness.plugins.registry import plugins
from avbench.harness.records.planned import PlannedRun
from avbench.harness.records.record import RunRecord
from avbench.harness.records.results import ResultsFolder
from avbench.harness.running.runs import RunListener, execute

if TYPE_CHECKING:
    import torch

    from avbench.harness.running.company import Pause

Event = tuple[int, EpochDone]
_events: Queue[Event] | None = None
_has_run = False
"""Whether a run took place in this process."""


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

    Each run of a package's method has a process in which no run was before: whatever its code keeps in memory ends with
    it, so that test clips of one run cannot reach the training of the next. avbench's own methods are known to keep
    nothing and share processes, which saves starting torch anew. ``observe``: names of the observers that watch each
    run, in the process that executes it.
    """
    global _has_run
    alone = len(runs) == 1 and not _has_run
    numbered = list(enumerate(runs))
    own = [(index, run) for index, run in numbered if alone or _may_share(run)]
    foreign = [(index, run) for index, run in numbered if not (alone or _may_share(run))]
    _has_run = _has_run or bool(own)
    if jobs == 1 or len(own) == 1:
        for index, run in own:
            yield index, execute(run, results, device, partial(listener, index), observe)
    elif own and device.type == "cuda":
        from avbench.harness.running.company import Company

        members = min(jobs, len(own))

        def call(index: int, run: PlannedRun) -> Callable[[Pause], RunRecord]:
            return lambda pause: execute(run, results, device, partial(listener, index), observe, pause, members)

        for place, record in Company[RunRecord](device, members).results([call(*item) for item in own]):
            yield own[place][0], record
    elif own:
        yield from _in_processes(own, results, device, jobs, listener, observe, fresh=False)
    if foreign:
        yield from _in_processes(foreign, results, device, jobs, listener, observe, fresh=True)


def _may_share(run: PlannedRun) -> bool:
    """Whether a run may take place in a process where others did: those of avbench's own methods, and those of classes
    that only this process has."""
    registered = plugins().method(run.configuration.method)
    return registered.built_in or registered.loose


def _in_processes(
    runs: Sequence[tuple[int, PlannedRun]],
    results: ResultsFolder,
    device: torch.device,
    jobs: int,
    listener: RunListener,
    observe: Sequence[str],
    *,
    fresh: bool,
) -> Iterator[tuple[int, RunRecord]]:
    """Numbered runs in ``jobs`` processes at once. ``fresh``: a new process for each."""
    import torch

    jobs = min(jobs, len(runs))
    context = multiprocessing.get_context("spawn")
    events: Queue[Event] = context.Queue()
    threads = torch.get_num_threads() if jobs == 1 else max(1, (os.cpu_count() or 1) // jobs)
    pool = ProcessPoolExecutor(
        jobs,
        mp_context=context,
        initializer=_start_worker,
        initargs=(events, threads),
        max_tasks_per_child=1 if fresh else None,
    )
    try:
        work = partial(_work, root=results.root, device=str(device), observe=observe, at_once=jobs)
        waiting = {pool.submit(work, index, run): index for index, run in runs}
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


def _work(index: int, run: PlannedRun, root: Path, device: str, observe: Sequence[str], at_once: int) -> RunRecord:
    import torch

    assert _events is not None
    events = _events
    listener = partial(_tell, events, index)
    return execute(run, ResultsFolder(root), torch.device(device), listener, observe, at_once=at_once)


def _tell(events: Queue[Event], index: int, done: EpochDone) -> None:
    events.put((index, done))
