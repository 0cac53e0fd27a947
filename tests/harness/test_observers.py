"""Observers are told of a run from start to end, cannot change it, and cannot break it."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import ClassVar

import pytest
import torch
from click.testing import CliRunner

from avbench.harness.cli import cli
from avbench.harness.evaluation.two_stages import EpochDone
from avbench.harness.plugins import registry as plugins
from avbench.harness.plugins.observers import RunObserver
from avbench.harness.records.planned import PlannedRun
from avbench.harness.records.record import RunRecord
from avbench.harness.records.results import ResultsFolder

SMALL = ["--dataset", "ucf", "--features", "demo", "-p", "epochs=2", "-p", "batches_per_epoch=2", "-p", "batch_size=16"]


class Diary(RunObserver):
    """Writes down all it is told, and draws random numbers."""

    name = "diary"
    lines: ClassVar[list[str]] = []

    def started(self, run: PlannedRun, results: Path) -> None:
        torch.rand(3)
        self.lines.append(f"started {run}")

    def epoch(self, done: EpochDone) -> None:
        torch.rand(3)
        self.lines.append(f"stage {done.stage} epoch {done.epoch} of {done.epochs}")

    def finished(self, record: RunRecord) -> None:
        self.lines.append(f"finished {record.finished}")


class Clumsy(RunObserver):
    name = "clumsy"

    def epoch(self, done: EpochDone) -> None:
        raise RuntimeError("no disk")


@pytest.fixture(autouse=True)
def observers(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        plugins.plugins(), "observers", {**plugins.plugins().observers, "diary": Diary, "clumsy": Clumsy}
    )
    Diary.lines.clear()


def run(folder: Path, *observe: str) -> RunRecord:
    names = [word for name in observe for word in ("--observe", name)]
    done = CliRunner().invoke(cli, ["run", "--method", "ale", *SMALL, "--results", str(folder), *names])
    assert done.exit_code == 0, done.output
    (record,) = ResultsFolder(folder).records()
    assert isinstance(record, RunRecord)
    return record


def test_an_observer_is_told_everything_and_changes_nothing(tmp_path: Path) -> None:
    plain, observed = run(tmp_path / "plain"), run(tmp_path / "observed", "diary")
    assert observed.outcome == plain.outcome
    assert observed.identity == plain.identity
    assert Diary.lines[0] == "started ale ucf/demo aligned seed 0"
    assert Diary.lines[1:3] == ["stage 1 epoch 1 of 2", "stage 1 epoch 2 of 2"]
    assert Diary.lines[3].startswith("stage 2 epoch 1")
    assert Diary.lines[-1] == "finished True"


def test_an_observer_that_raises_is_dropped(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    assert run(tmp_path, "clumsy", "diary").finished
    assert Diary.lines[-1] == "finished True"
    warnings = [r.getMessage() for r in caplog.records if r.levelno == logging.WARNING]
    assert warnings == ["observer 'clumsy' stops watching this run: RuntimeError: no disk"]


def test_an_unknown_observer_is_refused_with_a_suggestion() -> None:
    done = CliRunner().invoke(cli, ["run", "--method", "ale", *SMALL, "--observe", "dairy"])
    assert "unknown observer 'dairy'. Did you mean 'diary'?" in str(done.exception)


def test_tensorboard_gets_the_validation_of_each_epoch_and_the_final_metrics(tmp_path: Path) -> None:
    accumulator = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator", reason="extra")
    record = run(tmp_path, "tensorboard")
    (folder,) = (tmp_path / "tensorboard").iterdir()
    assert folder.name == f"ale-ucf-demo-aligned-0-{record.identity[:8]}"
    events = accumulator.EventAccumulator(str(folder)).Reload()
    assert record.outcome is not None
    stage_1 = [event.value for event in events.Scalars("stage 1 validation/HM")]
    assert stage_1 == pytest.approx([epoch.HM for epoch in record.outcome.validation])
    assert events.Scalars("test/ZSL")[0].value == pytest.approx(record.outcome.metrics.ZSL)
