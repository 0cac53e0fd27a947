"""Progress of runs on a terminal: one bar for all runs, one for each run at work. Off a terminal: lines."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator, Sequence
from types import TracebackType
from typing import TYPE_CHECKING

import click
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeElapsedColumn

from avbench.harness.evaluation.two_stages import EpochDone
from avbench.harness.isolation.choice import NONE, Isolation
from avbench.harness.printable import printable
from avbench.harness.records.planned import PlannedRun
from avbench.harness.records.record import RunRecord

if TYPE_CHECKING:
    import torch

    from avbench.harness.records.results import ResultsFolder

Completed = Iterator[tuple[int, RunRecord, bool]]
"""Index and record of each run, and whether it was executed now."""
LINE_SECONDS = 10.0
"""Off a terminal, epochs of one stage are told no more often, but for the first and the last."""


def bars() -> Progress:
    """Bars on standard error, so that standard output stays for results; disabled off a terminal."""
    return Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.fields[detail]}"),
        TimeElapsedColumn(),
        console=Console(file=sys.stderr),
        disable=not sys.stderr.isatty(),
    )


def say(bars: Progress, line: str) -> None:
    """A line above the bars, or on standard error."""
    if bars.disable:
        click.echo(line, err=True)
    else:
        bars.console.print(line, markup=False, highlight=False)


def carry_out(
    planned: Sequence[PlannedRun],
    names: Sequence[str],
    folder: ResultsFolder,
    devices: Sequence[torch.device],
    jobs: int,
    *,
    observe: Sequence[str] = (),
    again: Sequence[bool] = (),
    isolation: Isolation = NONE,
) -> list[RunRecord]:
    """Complete a plan, show how it goes by the ``names`` of its runs, and give the record of each run in its order.

    ``observe``, ``again`` and ``isolation`` as for :func:`avbench.harness.running.session.complete`.
    """
    from avbench.harness.running.session import complete

    def begin(progress: RunProgress) -> Completed:
        return complete(
            planned,
            folder,
            devices,
            jobs,
            progress.epoch,
            observe=observe,
            again=again,
            waiting=progress.waiting,
            isolation=isolation,
        )

    return shown(names, begin)


def shown(names: Sequence[str], begin: Callable[[RunProgress], Completed]) -> list[RunRecord]:
    """Show how runs go by their names, whoever does them, and give the record of each in its order."""
    records: dict[int, RunRecord] = {}
    with RunProgress(names) as progress:
        for index, record, is_new in begin(progress):
            records[index] = record
            if is_new:
                progress.finished(index, record)
            else:
                progress.known()
    return [records[index] for index in range(len(names))]


class RunProgress:
    """Shows runs, given by their names, on standard error, so that standard output stays for results."""

    def __init__(self, runs: Sequence[str]) -> None:
        self._runs = runs
        self._tasks: dict[tuple[int, int], TaskID] = {}
        self._bars = bars()
        self._all = self._bars.add_task("all runs", total=len(runs), detail="")
        self._known = 0
        self._left = len(runs)
        self._timed = False
        self._told: dict[tuple[int, int], float] = {}

    def __enter__(self) -> RunProgress:
        self._bars.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        self._tell_known()
        self._bars.stop()

    def known(self) -> None:
        """A run was finished before."""
        self._known += 1
        self._left -= 1
        self._bars.advance(self._all)

    def _tell_known(self) -> None:
        """Say once how many runs were finished before."""
        if self._known:
            self.say(f"{self._known} of {len(self._runs)} runs are finished already")
        self._known = 0

    def epoch(self, index: int, done: EpochDone) -> None:
        """An epoch of a run is done."""
        self._tell_known()
        key = (index, done.stage)
        if self._bars.disable:
            self._tell_epoch(key, done)
            return
        if key not in self._tasks:
            text = f"{self._runs[index]}, stage {done.stage}"
            self._tasks[key] = self._bars.add_task(text, total=done.epochs, detail="")
        self._bars.update(self._tasks[key], completed=done.epoch, detail=f"validation HM {done.validation.HM:.2f}")

    def _tell_epoch(self, key: tuple[int, int], done: EpochDone) -> None:
        now = time.monotonic()
        if done.epoch in (1, done.epochs) or now - self._told[key] >= LINE_SECONDS:
            self._told[key] = now
            hm = f", validation HM {done.validation.HM:.2f}" if done.stage == 1 else ""
            self.say(f"{self._runs[key[0]]}, stage {done.stage}: epoch {done.epoch} of {done.epochs}{hm}")

    def waiting(self, indices: Sequence[int]) -> None:
        """Only other commands still do these runs."""
        named = ", ".join(str(self._runs[index]) for index in indices[:3]) + (", ..." if len(indices) > 3 else "")
        self.say(f"waiting for {len(indices)} runs that another command does: {named}")

    def finished(self, index: int, record: RunRecord) -> None:
        """A run is stored."""
        self._tell_known()
        for stage in (1, 2):
            if (task := self._tasks.pop((index, stage), None)) is not None:
                self._bars.remove_task(task)
        self._bars.advance(self._all)
        self.say(f"{self._runs[index]}: {_verdict(record)} ({record.measured.seconds:.1f} s)")
        self._left -= 1
        if self._left and not self._timed and record.finished:
            self._timed = True
            m = record.measured
            seconds = m.seconds * self._left / (m.runs_at_once * m.seeds_at_once)
            self.say(f"about {duration(seconds)} for the {self._left} that are left, if they take as long")

    def say(self, line: str) -> None:
        """A line between the bars."""
        say(self._bars, line)


def duration(seconds: float) -> str:
    """Such as ``40 s``, ``12 min`` or ``3.5 h``."""
    if seconds < 120:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 7200 else f"{seconds / 3600:.1f} h"


def _verdict(record: RunRecord) -> str:
    if record.outcome is None:
        assert record.failure is not None
        kind = "" if record.failure.type == "MethodError" else f"{record.failure.type}: "
        return f"FAILED: {printable(kind + record.failure.message, 500)}"
    m = record.outcome.metrics
    return f"S {m.S:.2f}  U {m.U:.2f}  HM {m.HM:.2f}  ZSL {m.ZSL:.2f}"
