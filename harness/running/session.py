"""Completing a plan: what is finished already is read, the rest is executed. Command line and Python both come here."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from avbench.harness.evaluation.two_stages import EpochDone
from avbench.harness.isolation.choice import NONE, Isolation
from avbench.harness.printable import printable
from avbench.harness.records.planned import PlannedRun
from avbench.harness.records.record import RunRecord
from avbench.harness.records.results import ResultsFolder
from avbench.harness.records.states import state_path
from avbench.harness.records.verification import check_tables
from avbench.harness.running.claims import Claims
from avbench.harness.running.jobs import execute_all
from avbench.harness.running.runs import RunListener
from avbench.harness.running.tidy import tidy_up

if TYPE_CHECKING:
    import torch

logger = logging.getLogger("avbench")


@dataclass(frozen=True)
class Known:
    """What is there of a planned run."""

    record: RunRecord | None = None
    reasons: tuple[str, ...] = ()
    """Why a finished record cannot be believed: the run is repeated."""
    lacks_state: bool = False
    """Whether the fitted state is not there, although the run is to keep it."""

    @property
    def stands(self) -> bool:
        """Whether the run need not be done."""
        return self.record is not None and self.record.finished and not (self.reasons or self.lacks_state)


def known_of(planned: Sequence[PlannedRun], folder: ResultsFolder) -> Iterator[Known]:
    """What is there of each run, every number of a finished one recomputed from its evidence."""
    for run in planned:
        found = folder.find_with_evidence(run.configuration)
        if found is None:
            yield Known()
        else:
            lacks_state = run.keeps_state and found[0].finished and not state_path(folder, found[0]).exists()
            yield Known(found[0], tuple(check_tables(*found)), lacks_state)


def complete(
    planned: Sequence[PlannedRun],
    folder: ResultsFolder,
    devices: Sequence[torch.device],
    jobs: int,
    listener: RunListener,
    *,
    observe: Sequence[str] = (),
    again: Sequence[bool] = (),
    waiting: Callable[[Sequence[int]], None] = lambda _: None,
    isolation: Isolation = NONE,
    in_step: bool | None = None,
) -> Iterator[tuple[int, RunRecord, bool]]:
    """The record of every run with its index, and whether it was executed now; finished ones come first.

    ``again``: which runs to execute although they are finished; default none. A failed run is tried again, and so is
    one whose record was damaged. ``waiting`` is told, once, which runs only other commands still do. ``isolation``:
    where methods are meanwhile. A run that is finished stands wherever its method was. ``in_step``: see
    :func:`execute_all`.
    """
    tidy_up(folder)
    todo: list[int] = []
    before: list[RunRecord | None] = []
    for index, (run, known) in enumerate(zip(planned, known_of(planned, folder), strict=True)):
        if known.reasons:
            logger.warning("%s: is repeated, its record does not verify: %s", run, printable(known.reasons[0]))
        if known.record is not None and known.stands and not (again and again[index]):
            yield index, known.record, False
        else:
            todo.append(index)
            before.append(known.record)

    def relay(position: int, done: EpochDone) -> None:
        listener(todo[position], done)

    def relay_waiting(positions: Sequence[int]) -> None:
        waiting([todo[position] for position in positions])

    if not todo:
        return
    runs = [planned[index] for index in todo]
    try:
        for position, record in execute_all(
            runs, folder, devices, jobs, relay, observe, before, relay_waiting, isolation, in_step=in_step
        ):
            yield todo[position], record, True
    except BaseException:
        Claims(folder.root).drop(run.configuration.identity for run in runs)
        tidy_up(folder)  # workers may have been ended in the middle of a file
        raise
