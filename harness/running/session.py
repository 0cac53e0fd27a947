"""Completing a plan: what is finished already is read, the rest is executed. Command line and Python both come here."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from avbench.harness.evaluation.two_stages import EpochDone
from avbench.harness.records.planned import PlannedRun
from avbench.harness.records.record import RunRecord
from avbench.harness.records.results import ResultsFolder
from avbench.harness.running.jobs import execute_all
from avbench.harness.running.runs import RunListener

if TYPE_CHECKING:
    import torch


def complete(
    planned: Sequence[PlannedRun],
    folder: ResultsFolder,
    device: torch.device,
    jobs: int,
    listener: RunListener,
    *,
    observe: Sequence[str] = (),
    again: Sequence[bool] = (),
) -> Iterator[tuple[int, RunRecord, bool]]:
    """The record of every run with its index, and whether it was executed now; finished ones come first.

    ``again``: which runs to execute although they are finished; default none. A failed run is tried again.
    """
    waiting: list[int] = []
    for index, run in enumerate(planned):
        record = None if again and again[index] else folder.find(run.configuration)
        if record is not None and record.finished:
            yield index, record, False
        else:
            waiting.append(index)

    def relay(position: int, done: EpochDone) -> None:
        listener(waiting[position], done)

    if waiting:
        todo = [planned[index] for index in waiting]
        for position, record in execute_all(todo, folder, device, jobs, relay, observe):
            yield waiting[position], record, True
