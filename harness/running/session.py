"""Completing a plan: what is finished already is read, the rest is executed. Command line and Python both come here."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING

from avbench.harness.evaluation.evidence import Evidence
from avbench.harness.evaluation.two_stages import EpochDone
from avbench.harness.printable import printable
from avbench.harness.records.planned import PlannedRun
from avbench.harness.records.record import RunRecord
from avbench.harness.records.results import ResultsFolder
from avbench.harness.records.states import state_path
from avbench.harness.records.verification import check_tables
from avbench.harness.running.jobs import execute_all
from avbench.harness.running.runs import RunListener
from avbench.harness.running.tidy import tidy_up

if TYPE_CHECKING:
    import torch

logger = logging.getLogger("avbench")


def complete(
    planned: Sequence[PlannedRun],
    folder: ResultsFolder,
    device: torch.device,
    jobs: int,
    listener: RunListener,
    *,
    observe: Sequence[str] = (),
    again: Sequence[bool] = (),
    waiting: Callable[[Sequence[int]], None] = lambda _: None,
) -> Iterator[tuple[int, RunRecord, bool]]:
    """The record of every run with its index, and whether it was executed now; finished ones come first.

    ``again``: which runs to execute although they are finished; default none. A failed run is tried again, and so is
    one whose record was damaged. ``waiting`` is told, once, which runs only other commands still do.
    """
    tidy_up(folder)
    todo: list[int] = []
    before: list[RunRecord | None] = []
    for index, run in enumerate(planned):
        found = folder.find_with_evidence(run.configuration)
        if found and not (again and again[index]) and _stands(*found, run) and _has_state(found[0], run, folder):
            yield index, found[0], False
        else:
            todo.append(index)
            before.append(found[0] if found else None)

    def relay(position: int, done: EpochDone) -> None:
        listener(todo[position], done)

    def relay_waiting(positions: Sequence[int]) -> None:
        waiting([todo[position] for position in positions])

    if not todo:
        return
    runs = [planned[index] for index in todo]
    try:
        for position, record in execute_all(runs, folder, device, jobs, relay, observe, before, relay_waiting):
            yield todo[position], record, True
    except BaseException:
        tidy_up(folder)  # workers may have been ended in the middle of a file
        raise


def _has_state(record: RunRecord, run: PlannedRun, folder: ResultsFolder) -> bool:
    """Whether there is the fitted state of a finished run, where the run is to keep it."""
    return not run.keeps_state or state_path(folder, record).exists()


def _stands(record: RunRecord, tables: Mapping[str, Evidence], run: PlannedRun) -> bool:
    """Whether a record makes its run unnecessary. Where it was damaged, that is said."""
    if record.finished and (reasons := check_tables(record, tables)):
        logger.warning("%s: is repeated, its record does not verify: %s", run, printable(reasons[0]))
        return False
    return record.finished
