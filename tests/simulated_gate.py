"""An observer of runs that holds them, so that a test knows what a command does at the moment it is ended."""

from __future__ import annotations

import os
import time
from pathlib import Path

from avbench.harness.evaluation.two_stages import EpochDone
from avbench.harness.plugins.hookspecs import hookimpl
from avbench.harness.plugins.observers import RunObserver
from avbench.harness.records.planned import PlannedRun


class Gate(RunObserver):
    """The run with seed 0 passes. The others wait in their first epoch for a file ``go`` beside the results folder, and
    say so by a file ``waits-PROCESS``."""

    name = "gate"

    def started(self, run: PlannedRun, results: Path) -> None:
        self.place, self.holds = results.absolute().parent, run.configuration.seed > 0

    def epoch(self, done: EpochDone) -> None:
        if self.holds:
            (self.place / f"waits-{os.getpid()}").touch()
        while self.holds and not (self.place / "go").exists():
            time.sleep(0.02)


@hookimpl
def avbench_run_observers() -> list[type[RunObserver]]:
    return [Gate]
