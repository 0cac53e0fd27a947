"""Work that several commands share: each does what no other does, and all end with the results of all."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

from avbench.harness.records.planned import PlannedRun
from avbench.harness.records.record import RunRecord
from avbench.harness.records.results import ResultsFolder
from avbench.harness.running.claims import Claim, Claims

Among = Callable[[PlannedRun], bool]
"""Which runs are meant."""


class SharedWork:
    """Runs that are to be done by this command or by another one at work on the same results folder."""

    def __init__(
        self,
        runs: Sequence[PlannedRun],
        results: ResultsFolder,
        before: Sequence[RunRecord | None],
        order: Sequence[int] | None = None,
    ) -> None:
        """``before``: what was there of each run when it was decided to do it. It does not count as done.

        ``order``: the indices of the runs in the order in which to begin them; by default, as they stand.
        """
        self._results = results
        self._claims = Claims(results.root)
        self._before = before
        self.open = {index: runs[index] for index in (range(len(runs)) if order is None else order)}
        """What has no new record yet, by index."""

    def ready(self, among: Among = lambda _: True) -> Iterator[tuple[int, Claim]]:
        """Claim one run after the other, each when it is asked for, and leave out those that others do or have done."""
        for index in list(self.open):
            if index not in self.open or not among(self.open[index]) or self.found(index):
                continue
            claim = self._claims.claim(self.open[index].configuration.identity)
            if claim is None:
                continue
            if self.found(index):  # its last owner has finished it just before
                claim.release()
                continue
            yield index, claim

    def found(self, index: int) -> RunRecord | None:
        """The new record of an open run: one that this command need not do any more."""
        record = self._results.find(self.open[index].configuration)
        return record if record != self._before[index] else None

    def done(self, index: int) -> None:
        """A run has its record."""
        del self.open[index]

    def collect(self) -> Iterator[tuple[int, RunRecord]]:
        """The runs that others have done since."""
        for index in list(self.open):
            if record := self.found(index):
                self.done(index)
                yield index, record
