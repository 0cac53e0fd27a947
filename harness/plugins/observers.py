"""Watching runs: what a package may be told about a run while it goes on. Nothing it does can change a result."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

if TYPE_CHECKING:
    import torch

    from avbench.harness.evaluation.two_stages import EpochDone
    from avbench.harness.records.planned import PlannedRun
    from avbench.harness.records.record import RunRecord

logger = logging.getLogger("avbench")


class RunObserver:
    """Watches one run, in the process that executes it; a fresh instance per run.

    ``avbench run --observe NAME`` chooses observers by name. Override what you need. Observers see validation metrics
    and the record, never scores or labels. One that raises is dropped with a warning; the run goes on. The global
    random generators are put back after each call, so that an observed run has the same bits.
    """

    name: ClassVar[str]

    def started(self, run: PlannedRun, results: Path) -> None:
        """The run starts. ``results``: the results folder, where an observer may make a folder of its own."""

    def epoch(self, done: EpochDone) -> None:
        """An epoch was trained and validated."""

    def finished(self, record: RunRecord) -> None:
        """The record, of a finished or a failed run, is stored. Not called after an interrupt."""


class Observers:
    """The observers of one run, with the harness's side of their contract."""

    def __init__(self, kinds: Sequence[Callable[[], RunObserver]], device: torch.device) -> None:
        self._active: list[RunObserver] = []
        self._device = device
        for kind in kinds:
            try:
                self._active.append(kind())
            except Exception as error:
                logger.warning("observer %r cannot be made: %s: %s", kind, type(error).__name__, error)

    def started(self, run: PlannedRun, results: Path) -> None:
        self._tell(lambda observer: observer.started(run, results))

    def epoch(self, done: EpochDone) -> None:
        self._tell(lambda observer: observer.epoch(done))

    def finished(self, record: RunRecord) -> None:
        self._tell(lambda observer: observer.finished(record))

    def _tell(self, call: Callable[[RunObserver], None]) -> None:
        if not self._active:
            return
        from avbench.harness.evaluation.random_state import random_state_kept

        for observer in list(self._active):
            try:
                with random_state_kept(self._device):
                    call(observer)
            except KeyboardInterrupt:
                raise
            except BaseException as error:  # also SystemExit
                self._active.remove(observer)
                logger.warning(
                    "observer %r stops watching this run: %s: %s", observer.name, type(error).__name__, error
                )
