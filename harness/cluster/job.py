"""What runs on a node: a job that begins the runs of its pack, then those that no other job has begun.

It is told before its time is up, and when a more important job takes its place: the run in progress is given back,
nothing of it is stored, and the job is queued again by submitit.
"""

from __future__ import annotations

import os
import signal
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import Any

from avbench.harness.cluster.packing import order_of
from avbench.harness.cluster.staging import stage
from avbench.harness.cluster.submission import Submission, digest
from avbench.harness.printable import printable
from avbench.harness.records.record import RunRecord
from avbench.harness.running.spin import SHORT_SPIN


class GivenUp(KeyboardInterrupt):
    """Ends the run in progress as Ctrl-C does: no failure of the run."""


@dataclass(frozen=True)
class Share:
    """The share of one job; submitit keeps it and calls it on the node."""

    submission: Path
    number: int
    """Which pack the job begins with."""

    def __call__(self) -> str:
        with interrupting(signal.SIGUSR2):
            return work(Submission(self.submission), self.number)

    def checkpoint(self) -> Any:
        """What submitit queues again: the same, for what is done is known from the results folder."""
        from submitit.helpers import DelayedSubmission

        return DelayedSubmission(self)


@contextmanager
def interrupting(number: int) -> Iterator[None]:
    """Let what a signal's handler raises end the block as an interrupt, and raise it itself after the block.

    submitit's handler ends the process by SystemExit or an error of its own, which a run would store as its failure.
    """
    handler = signal.getsignal(number)
    if not callable(handler):
        yield
        return
    said: list[BaseException] = []

    def told(signum: int, frame: FrameType | None) -> None:
        try:
            handler(signum, frame)
        except BaseException as error:
            said.append(error)
            raise GivenUp(signal.Signals(signum).name) from error

    signal.signal(number, told)
    try:
        yield
    except GivenUp:
        raise said[0] from None
    finally:
        signal.signal(number, handler)


def work(submission: Submission, number: int) -> str:
    """Do what is to be done; gives a line about it. Raises :class:`AvbenchError` where the node lacks something."""
    os.environ.setdefault(*SHORT_SPIN)
    request, runs, results = submission.shared.request, submission.runs, submission.results
    print(f"{socket.gethostname()}: {submission.name}, share {number}", flush=True)
    from avbench.harness.isolation.strangers import describe_strangers
    from avbench.harness.plugins.registry import plugins

    describe_strangers(request.isolation, results.root)
    for method in {run.configuration.method for run in runs}:
        plugins().method(method)  # says what is not installed on this node
    if request.stage_store is not None:
        stage({run.configuration.track for run in runs}, request.stage_store)
    from avbench.harness.running.jobs import choose_devices, execute_all

    there = [results.find(run.configuration) for run in runs]
    todo = [
        index
        for index in order_of(submission.shared.packs, number)
        if (record := there[index]) is None or digest(record) == submission.shared.before[index]
    ]
    own: set[int] = set()  # execute_all also gives the records of runs that others did meanwhile
    done, failed = 0, 0
    for position, record in execute_all(
        [runs[index] for index in todo],
        results,
        choose_devices(request.device),
        request.runs_at_once,
        lambda position, _: own.add(position),
        request.observe,
        [there[index] for index in todo],
        isolation=request.isolation,
        order=range(len(todo)),
        to_the_end=False,
    ):
        if position in own or not record.finished:
            done, failed = done + 1, failed + (not record.finished)
            print(f"{runs[todo[position]]} ({record.identity[:8]}): {_verdict(record)}", flush=True)
    return f"{done} runs, {failed} of them failed"


def _verdict(record: RunRecord) -> str:
    where = f"{record.measured.seconds:.1f} s, started {record.measured.started}"
    if record.failure is not None:
        return f"FAILED: {printable(record.failure.type + ': ' + record.failure.message, 500)} ({where})"
    return f"finished ({where})"
