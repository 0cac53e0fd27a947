"""A search from beginning to end. Command line and Python both come here."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from avbench.harness.tuning.bench import Bench
from avbench.harness.tuning.outcome import Confirmation, Tuning, keep_confirmation, outcome, write_config
from avbench.harness.tuning.study import Study
from avbench.harness.tuning.work import Listener, Order, stage_1_of, work, work_in_processes

if TYPE_CHECKING:
    import torch


def search_through(
    study: Study, devices: Sequence[torch.device], jobs: int = 1, listener: Listener = lambda _: None
) -> None:
    """Do the trials that a study lacks, ``jobs`` at once on each device.

    What an interrupt leaves open will be done by the next call.
    """
    import torch

    if study.complete:
        return
    if jobs * len(devices) == 1:
        work(study, Bench(devices[0]), listener)
        return
    threads = max(1, (os.cpu_count() or 1) // jobs) if devices[0].type == "cpu" else torch.get_num_threads()
    orders = [
        Order(study.results, study.name, study.search, study.course, str(device), threads)
        for device in devices
        for _ in range(jobs)
    ]
    try:
        work_in_processes(orders, listener)
    finally:
        study.tidy()


def conclude(study: Study, device: torch.device, confirm: int | None = None) -> tuple[Tuning, Path]:
    """What a complete study found, and the file for ``avbench run``, which lies beside the study.

    ``confirm``: compare the best options with the preset on so many seeds that follow those of the trials.
    """
    tuning = outcome(study)
    if confirm:
        tuning = _confirmed(study, tuning, device, confirm)
    path = study.path.with_name(f"{study.name}.toml")
    write_config(tuning, path)
    return tuning, path


def _confirmed(study: Study, tuning: Tuning, device: torch.device, seeds: int) -> Tuning:
    there = len(tuning.confirmation.best) if tuning.confirmation else 0
    if tuning.best.preset or there == seeds * len(tuning.subject.tracks):
        return tuning
    fresh = range(tuning.subject.seeds, tuning.subject.seeds + seeds)
    bench = Bench(device)
    preset, best = (
        tuple(stage_1_of(study.search.runs_on(fresh, values), bench, lambda *_: None))
        for values in ({}, tuning.best.values)
    )
    found = Confirmation(tuning.best.number, preset, best)
    keep_confirmation(study, found)
    return replace(tuning, confirmation=found)
