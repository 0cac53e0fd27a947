"""A command that follows a plan on a cluster: it submits what nobody does yet, and gives the records as they come.

It may end at any time: the jobs go on, and the same command finds them again.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from avbench.harness.cluster.settings import SlurmSettings
from avbench.harness.cluster.slurm import states
from avbench.harness.cluster.submission import Request, Submission, submissions
from avbench.harness.cluster.submit import Told, require_cluster, submit
from avbench.harness.errors import AvbenchError
from avbench.harness.records.planned import PlannedRun
from avbench.harness.records.record import RunRecord
from avbench.harness.records.results import ResultsFolder
from avbench.harness.running.session import known_of
from avbench.harness.running.tidy import tidy_up

LOOK_SECONDS = 1.0
"""Between two looks for new records."""
ASK_SECONDS = 10.0
"""Between two questions to SLURM."""


@dataclass
class Attached:
    """One plan and the submissions that do it."""

    planned: Sequence[PlannedRun]
    results: ResultsFolder
    settings: SlurmSettings
    request: Request
    told: Told
    open: dict[int, RunRecord | None] = field(default_factory=dict)
    """What has no new record yet, by index, and the record that was there before."""
    at_work: list[Submission] = field(default_factory=list)
    """The submissions that do open runs, some of whose jobs the queue still has."""

    def complete(self, again: Sequence[bool] = ()) -> Iterator[tuple[int, RunRecord, bool]]:
        """As :func:`avbench.harness.running.session.complete`.

        Raises :class:`AvbenchError` where the jobs ended, or were cancelled, and left runs.
        """
        tidy_up(self.results)
        for index, known in enumerate(known_of(self.planned, self.results)):
            if known.record is not None and known.stands and not (again and again[index]):
                yield index, known.record, False
            else:
                self.open[index] = known.record
        if not self.open:
            return
        require_cluster(self.results, self.settings, self.told)
        try:
            yield from self._follow()
        except KeyboardInterrupt:
            self.told("Detached: the jobs go on. The same command follows them again; see 'avbench jobs list'.")
            raise

    def _follow(self) -> Iterator[tuple[int, RunRecord, bool]]:
        self._attach()
        asked, new = time.monotonic(), True
        while True:
            for index in list(self.open):
                if (record := self._new_record(index)) is not None:
                    del self.open[index]
                    new = True
                    yield index, record, True
            if not self.open:
                return
            if not self.at_work:
                if not new:
                    raise AvbenchError(self._left())
                new = False
                self._submit()
            if time.monotonic() - asked >= ASK_SECONDS:
                asked = time.monotonic()
                self._ask()
                continue  # what the last jobs did is looked at before others are submitted
            time.sleep(LOOK_SECONDS)

    def _attach(self) -> None:
        """Find the submissions that are at work on open runs, and submit the runs that none of them does."""
        alive = {job for job, state in states().items() if state.alive}
        wanted = {self.planned[index].configuration.identity for index in self.open}
        done_by_others: set[str] = set()
        for submission in submissions(self.results):
            if submission.submitted.cancelled or alive.isdisjoint(submission.submitted.jobs):
                continue
            if does := wanted & {run.configuration.identity for run in submission.runs}:
                self.at_work.append(submission)
                done_by_others |= does
                self.told(f"Following {submission.name}, at work on {len(does)} of these runs.")
        free = [i for i in self.open if self.planned[i].configuration.identity not in done_by_others]
        if free:
            self._submit(free)

    def _submit(self, indices: Sequence[int] | None = None) -> None:
        wanted = list(self.open if indices is None else indices)
        runs, before = [self.planned[i] for i in wanted], [self.open[i] for i in wanted]
        submission = submit(self.results, runs, before, self.settings, self.request)
        self.at_work.append(submission)
        jobs = submission.submitted.jobs
        self.told(
            f"Submitted {len(runs)} runs in {len(jobs)} jobs ({jobs[0].partition('_')[0]}): {submission.name}, "
            f"logs in {submission.logs}"
        )

    def _ask(self) -> None:
        """Keep the submissions that the queue still has jobs of. Raises :class:`AvbenchError` for a cancelled one."""
        there = states()
        for submission in self.at_work:
            if submission.submitted.cancelled:
                raise AvbenchError(f"{submission.name} was cancelled, {len(self.open)} runs are left; {_AGAIN}")
        ids = [job for submission in self.at_work for job in submission.submitted.jobs]
        self.at_work = [s for s in self.at_work if any(j in there and there[j].alive for j in s.submitted.jobs)]
        if counted := Counter(there[job].state.lower() for job in ids if job in there and there[job].alive):
            self.told("jobs: " + ", ".join(f"{many} {state}" for state, many in sorted(counted.items())))

    def _new_record(self, index: int) -> RunRecord | None:
        configuration = self.planned[index].configuration
        if not self.results.path(configuration).exists():
            return None
        record = self.results.find(configuration)
        return record if record != self.open[index] else None

    def _left(self) -> str:
        last = list(submissions(self.results))[-1]
        errors = [path for path in sorted(last.logs.glob("*_log.err")) if path.stat().st_size]
        tail = f"; the last words of a job: {_tail(errors[-1])}" if errors else ""
        return f"the jobs ended and left {len(self.open)} runs, none of which was done by the last ones{tail}; {_AGAIN}"


_AGAIN = "the same command submits them again"


def _tail(path: Path) -> str:
    with path.open("rb") as stream:
        stream.seek(max(0, path.stat().st_size - 2_000))
        lines = stream.read().decode("utf-8", "replace").strip().splitlines()
    return lines[-1][:300] if lines else ""
