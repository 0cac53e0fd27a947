"""An observer that writes TensorBoard logs (extra ``tensorboard``): ``avbench run --observe tensorboard``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from avbench.harness.extras import require
from avbench.harness.plugins.hookspecs import hookimpl
from avbench.harness.plugins.observers import RunObserver

if TYPE_CHECKING:
    from avbench.harness.evaluation.two_stages import EpochDone
    from avbench.harness.records.planned import PlannedRun
    from avbench.harness.records.record import RunRecord


class TensorBoard(RunObserver):
    """Validation metrics per epoch and stage, and the final metrics, under ``<results>/tensorboard/<run>``."""

    name = "tensorboard"

    def started(self, run: PlannedRun, results: Path) -> None:
        require("tensorboard", "tensorboard", "runs are observed by TensorBoard")
        from torch.utils.tensorboard import SummaryWriter

        c = run.configuration
        name = f"{c.method}-{c.dataset}-{c.features}-{c.protocol.name}-{c.seed}-{c.identity[:8]}"
        self._writer = SummaryWriter(str(results / "tensorboard" / name))

    def epoch(self, done: EpochDone) -> None:
        for metric in ("S", "U", "HM", "offset"):
            value = getattr(done.validation, metric)
            self._writer.add_scalar(f"stage {done.stage} validation/{metric}", value, done.epoch)
        self._writer.flush()

    def finished(self, record: RunRecord) -> None:
        if record.outcome is not None:
            for metric, value in record.outcome.metrics:
                self._writer.add_scalar(f"test/{metric}", value, record.outcome.epochs)
        self._writer.close()


@hookimpl
def avbench_run_observers() -> list[type[RunObserver]]:
    """The one observer of this module."""
    return [TensorBoard]
