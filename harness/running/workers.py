"""Processes that do runs on the CPU. One that dies costs its own run only; none outlives the process it works for."""

from __future__ import annotations

import logging
import multiprocessing
import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from multiprocessing.connection import Connection, wait
from multiprocessing.context import SpawnProcess

from avbench.harness.errors import AvbenchError
from avbench.harness.evaluation.two_stages import EpochDone
from avbench.harness.records.planned import PlannedRun
from avbench.harness.records.record import RunRecord

PR_SET_PDEATHSIG = 1
STOP_SECONDS = 5.0

Work = Callable[[PlannedRun, Callable[[EpochDone], None]], RunRecord]
"""Does a run in a worker and gives its record; the second argument takes the news of its epochs."""


@dataclass(frozen=True)
class Died:
    """A worker died at its run."""

    reason: str
    place: int
    """Which of the works it did."""


class Worker:
    """One process that does run after run."""

    def __init__(self, work: Work, threads: int, place: int) -> None:
        self.place = place
        context = multiprocessing.get_context("spawn")
        self.connection, theirs = context.Pipe()
        self.process: SpawnProcess = context.Process(target=_serve, args=(theirs, work, threads))
        self.process.start()
        theirs.close()
        self.ready = False
        self.index = -1

    def start(self, index: int, run: PlannedRun) -> None:
        self.index = index
        with suppress(OSError):  # it may have died while it had nothing to do: seen at the next look
            self.connection.send(run)

    def end(self) -> None:
        """End the process, by force where it does not end by itself."""
        self.connection.close()
        self.process.join(STOP_SECONDS)
        self.process.kill()
        self.process.join()

    def news(self) -> EpochDone | RunRecord | Died | None:
        """What it has to say; None: that it is ready. Raises what went wrong with it, but for a run that failed."""
        try:
            said = self.connection.recv()
        except (EOFError, OSError):
            self.process.join()
            if not self.ready:
                raise AvbenchError(f"processes for --jobs cannot start: {_why(self.process.exitcode or 0)}") from None
            return Died(_why(self.process.exitcode or 0), self.place)
        if isinstance(said, BaseException):
            raise said
        self.ready = True
        assert said is None or isinstance(said, EpochDone | RunRecord)
        return said


def work_through(
    todo: Iterator[tuple[int, PlannedRun]], works: Sequence[Work], threads: int, *, once: bool = False
) -> Iterator[tuple[int, EpochDone | RunRecord | Died]]:
    """Do runs in up to one process for each of ``works``, which may be for different devices, and give the news.

    Each run is asked for when a process is free. ``once``: no process does a second run. Raises :class:`AvbenchError`
    where a worker cannot even start.
    """
    idle: list[Worker] = []
    busy: list[Worker] = []
    try:
        while True:
            while len(busy) < len(works) and (following := next(todo, None)):
                place = min(set(range(len(works))) - {worker.place for worker in busy})
                ready = next((worker for worker in idle if worker.place == place), None)
                if ready is not None:
                    idle.remove(ready)
                worker = ready or Worker(works[place], threads, place)
                busy.append(worker)
                worker.start(*following)
            if not busy:
                return
            for connection in wait([worker.connection for worker in busy]):
                worker = next(w for w in busy if w.connection is connection)
                if (news := worker.news()) is None:
                    continue
                if not isinstance(news, EpochDone):
                    busy.remove(worker)
                    if once:
                        worker.end()
                    elif isinstance(news, RunRecord):
                        idle.append(worker)
                yield worker.index, news
    finally:
        for worker in (*idle, *busy):
            worker.process.kill()
        for worker in (*idle, *busy):
            worker.end()


def _why(status: int) -> str:
    what = f"signal {-status}" if status < 0 else f"exit code {status}"
    return (
        f"a worker process died ({what}): killed, out of memory, or ended by the method. "
        "Run the same command again, with fewer --jobs if memory was short"
    )


def _serve(connection: Connection, work: Work, threads: int) -> None:
    """The life of a worker."""
    die_with_parent()
    # the parent decides, also on what a scheduler sends to all processes of a job; finished runs are stored by then
    for number in (signal.SIGINT, signal.SIGHUP, signal.SIGTERM, signal.SIGUSR2):
        signal.signal(number, signal.SIG_IGN)
    logging.getLogger("avbench.plugins").setLevel(logging.ERROR)  # the parent named the broken ones
    import torch

    torch.set_num_threads(threads)
    connection.send(None)
    while True:
        try:
            run = connection.recv()
        except EOFError:
            return
        try:
            said: object = work(run, connection.send)
        except AvbenchError as error:
            said = error
        except Exception as error:
            said = AvbenchError(f"{type(error).__name__}: {error}")
        connection.send(said)


def die_with_parent() -> None:
    """End this process when its parent ends, however that is."""
    parent = multiprocessing.parent_process()
    assert parent is not None
    if sys.platform == "linux":
        import ctypes

        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    threading.Thread(target=_follow, args=(parent.sentinel,), daemon=True).start()


def _follow(sentinel: int) -> None:
    wait([sentinel])
    os._exit(1)
