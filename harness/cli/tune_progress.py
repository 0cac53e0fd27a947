"""Progress of a study on a terminal: one bar for its trials, one for each trial at work. Off a terminal: lines."""

from __future__ import annotations

import sys
from types import TracebackType

import click
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeElapsedColumn

from avbench.harness.printable import printable
from avbench.harness.tuning.work import News, TrialEnded


class TuneProgress:
    """Shows trials on standard error, so that standard output stays for results."""

    def __init__(self, trials: int, there: int) -> None:
        """``there``: how many had ended before."""
        self._tasks: dict[int, TaskID] = {}
        self._bars = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("{task.fields[detail]}"),
            TimeElapsedColumn(),
            console=Console(file=sys.stderr),
            disable=not sys.stderr.isatty(),
        )
        self._all = self._bars.add_task("all trials", total=trials, completed=there, detail="")
        if there:
            self._say(f"{there} of {trials} trials are done already")

    def __enter__(self) -> TuneProgress:
        self._bars.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        self._bars.stop()

    def news(self, news: News) -> None:
        """What a trial has to say."""
        if isinstance(news, TrialEnded):
            if (task := self._tasks.pop(news.trial, None)) is not None:
                self._bars.remove_task(task)
            self._bars.advance(self._all)
            self._say(f"trial {news.trial}: {printable(news.text, 500)}")
        elif not self._bars.disable:
            if news.trial not in self._tasks:
                self._tasks[news.trial] = self._bars.add_task("", total=1, detail="")
            self._bars.update(
                self._tasks[news.trial],
                description=f"trial {news.trial}, {news.run}",
                completed=news.done.epoch,
                total=news.done.epochs,
                detail=f"validation HM {news.done.validation.HM:.2f}",
            )

    def _say(self, line: str) -> None:
        if self._bars.disable:
            click.echo(line, err=True)
        else:
            self._bars.console.print(line, markup=False, highlight=False)
