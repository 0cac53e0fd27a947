"""Progress of a study on a terminal: one bar for its trials, one for each trial at work. Off a terminal: lines."""

from __future__ import annotations

from types import TracebackType

from rich.progress import TaskID

from avbench.harness.cli.progress import bars, say
from avbench.harness.printable import printable
from avbench.harness.tuning.work import News, TrialEnded


class TuneProgress:
    """Shows trials on standard error, so that standard output stays for results."""

    def __init__(self, trials: int, there: int) -> None:
        """``there``: how many had ended before."""
        self._tasks: dict[int, TaskID] = {}
        self._bars = bars()
        self._all = self._bars.add_task("all trials", total=trials, completed=there, detail="")
        if there:
            say(self._bars, f"{there} of {trials} trials are done already")

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
            say(self._bars, f"trial {news.trial}: {printable(news.text, 500)}")
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
