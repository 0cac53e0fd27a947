"""Doing the trials of a study, in this process or in several."""

from __future__ import annotations

import multiprocessing
import os
import signal
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from multiprocessing.connection import Connection, wait
from pathlib import Path
from statistics import fmean
from types import FrameType
from typing import TYPE_CHECKING

from avbench.harness.errors import AvbenchError
from avbench.harness.evaluation.two_stages import EpochDone
from avbench.harness.printable import storable
from avbench.harness.records.planned import PlannedRun
from avbench.harness.running.workers import die_with_parent
from avbench.harness.tuning.score import Score, objective
from avbench.harness.tuning.search import Search
from avbench.harness.tuning.study import Course, Study, Taken

if TYPE_CHECKING:
    from avbench.harness.tuning.bench import Bench

LOOK_SECONDS = 0.2
"""Between two looks at the trials that others do."""
STOP_SECONDS = 10.0


@dataclass(frozen=True)
class TrialEpoch:
    """News: a run of a trial has done an epoch."""

    trial: int
    run: str
    done: EpochDone


@dataclass(frozen=True)
class TrialEnded:
    """News: a trial has ended."""

    trial: int
    text: str
    """What came out, in words."""


News = TrialEpoch | TrialEnded
Listener = Callable[[News], None]


class _Unpromising(BaseException):  # no method takes it for a failure of its own
    """The trial is to be pruned."""


def work(study: Study, bench: Bench, listener: Listener = lambda _: None) -> None:
    """Do trials until the study is complete, whoever does them. An interrupt hands the open one back."""
    while not study.complete:
        taken = study.take()
        if taken is None:
            time.sleep(LOOK_SECONDS)
            continue
        try:
            text = _carried_out(study, taken, bench, listener)
        except BaseException:
            study.hand_back(taken)
            raise
        listener(TrialEnded(taken.number, text))


def stage_1_of(
    runs: Sequence[PlannedRun], bench: Bench, listener: Callable[[int, PlannedRun, EpochDone], None]
) -> list[Score]:
    """The validation of each run. ``listener`` is told the number of the run too."""
    scores = []
    for index, run in enumerate(runs):
        chosen = bench.stage_1(run, partial(listener, index, run))
        c = run.configuration
        scores.append(Score(str(c.track), c.seed, chosen.best.HM, chosen.epochs))
    return scores


def _carried_out(study: Study, taken: Taken, bench: Bench, listener: Listener) -> str:
    best: list[float] = []

    def epoch_done(index: int, run: PlannedRun, done: EpochDone) -> None:
        listener(TrialEpoch(taken.number, f"{run.configuration.track} seed {run.configuration.seed}", done))
        if len(best) == index:
            best.append(0.0)
        best[index] = max(best[index], done.validation.HM)
        if taken.unpromising(index, done.epoch, fmean(best)):
            raise _Unpromising

    try:
        scores = stage_1_of(study.search.runs_with(taken.values), bench, epoch_done)
    except KeyboardInterrupt:
        raise
    except _Unpromising:
        study.pruned(taken)
        return "pruned"
    except BaseException as error:  # also SystemExit: a method ends its own trial, never the others
        reason = storable(f"{error}" if isinstance(error, AvbenchError) else f"{type(error).__name__}: {error}")
        study.failed(taken, reason)
        return f"FAILED: {reason}"
    study.done(taken, scores, value := objective(scores))
    return f"validation HM {value:.2f}"


@dataclass(frozen=True)
class Order:
    """What a process needs to join a study."""

    results: Path
    name: str
    search: Search
    course: Course
    device: str
    threads: int


def work_in_processes(orders: Sequence[Order], listener: Listener) -> None:
    """Do the trials in a process for each order, until the study is complete. One that dies costs no trial.

    Raises :class:`AvbenchError` where all have died.
    """
    context = multiprocessing.get_context("spawn")
    processes, connections = [], []
    try:
        for order in orders:
            ours, theirs = context.Pipe(duplex=False)
            process = context.Process(target=_serve, args=(theirs, order))
            process.start()
            theirs.close()
            processes.append(process)
            connections.append(ours)
        said: AvbenchError | None = None
        open_ones = list(connections)
        while open_ones:
            for connection in wait(open_ones):
                assert isinstance(connection, Connection)
                try:
                    news = connection.recv()
                except (EOFError, OSError):
                    open_ones.remove(connection)
                    continue
                if isinstance(news, AvbenchError):
                    said = news
                else:
                    listener(news)
        for process in processes:
            process.join()
        if all(process.exitcode for process in processes):
            codes = ", ".join(str(process.exitcode) for process in processes)
            raise said or AvbenchError(
                f"all processes of the search died (exit codes {codes}): killed, out of memory, or ended by the "
                "method; run the same command again, with fewer --jobs if memory was short"
            )
    finally:
        for process in processes:
            process.terminate()
        for process in processes:
            process.join(STOP_SECONDS)
            process.kill()
            process.join()


def _serve(connection: Connection, order: Order) -> None:
    """The life of a process that joins."""
    die_with_parent()
    signal.signal(signal.SIGTERM, _stop)
    for number in (signal.SIGINT, signal.SIGHUP):  # the parent decides
        signal.signal(number, signal.SIG_IGN)
    import torch

    from avbench.harness.tuning.bench import Bench

    torch.set_num_threads(order.threads)
    try:
        study = Study(order.results, order.name, order.search, order.course)
        work(study, Bench(torch.device(order.device)), connection.send)
    except KeyboardInterrupt:
        os._exit(1)
    except AvbenchError as error:
        with suppress(OSError):
            connection.send(error)
        os._exit(1)


def _stop(_number: int, _frame: FrameType | None) -> None:
    raise KeyboardInterrupt
