"""Progress of runs on a terminal: one bar for all runs, one for each run at work. Off a terminal: one line per run."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from types import TracebackType

import click
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeElapsedColumn

from avbench.harness.evaluation.two_stages import EpochDone
from avbench.harness.printable import printable
from avbench.harness.records.planned import PlannedRun
from avbench.harness.records.record import RunRecord


class RunProgress:
    """Shows runs on standard error, so that standard output stays for results."""

    def __init__(self, runs: Sequence[PlannedRun]) -> None:
        self._runs = runs
        self._tasks: dict[tuple[int, int], TaskID] = {}
        self._bars = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("{task.fields[detail]}"),
            TimeElapsedColumn(),
            console=Console(file=sys.stderr),
            disable=not sys.stderr.isatty(),
        )
        self._all = self._bars.add_task("all runs", total=len(runs), detail="")
        self._known = 0

    def __enter__(self) -> RunProgress:
        self._bars.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        self._tell_known()
        self._bars.stop()

    def known(self) -> None:
        """A run was finished before."""
        self._known += 1
        self._bars.advance(self._all)

    def _tell_known(self) -> None:
        """Say once how many runs were finished before."""
        if self._known:
            self._say(f"{self._known} of {len(self._runs)} runs are finished already")
        self._known = 0

    def epoch(self, index: int, done: EpochDone) -> None:
        """An epoch of a run is done."""
        self._tell_known()
        key = (index, done.stage)
        if key not in self._tasks:
            text = f"{self._runs[index]}, stage {done.stage}"
            self._tasks[key] = self._bars.add_task(text, total=done.epochs, detail="")
        self._bars.update(self._tasks[key], completed=done.epoch, detail=f"validation HM {done.validation.HM:.2f}")

    def waiting(self, indices: Sequence[int]) -> None:
        """Only other commands still do these runs."""
        named = ", ".join(str(self._runs[index]) for index in indices[:3]) + (", ..." if len(indices) > 3 else "")
        self._say(f"waiting for {len(indices)} runs that another command does: {named}")

    def finished(self, index: int, record: RunRecord) -> None:
        """A run is stored."""
        self._tell_known()
        for stage in (1, 2):
            if (task := self._tasks.pop((index, stage), None)) is not None:
                self._bars.remove_task(task)
        self._bars.advance(self._all)
        self._say(f"{self._runs[index]}: {_verdict(record)} ({record.measured.seconds:.1f} s)")

    def _say(self, line: str) -> None:
        if self._bars.disable:
            click.echo(line, err=True)
        else:
            self._bars.console.print(line, markup=False, highlight=False)


def _verdict(record: RunRecord) -> str:
    if record.outcome is None:
        assert record.failure is not None
        return f"FAILED: {printable(record.failure.message, 500)}"
    m = record.outcome.metrics
    return f"S {m.S:.2f}  U {m.U:.2f}  HM {m.HM:.2f}  ZSL {m.ZSL:.2f}"
