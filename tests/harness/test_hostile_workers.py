"""A hostile worker costs its own run: a stored failure that says why. The judge goes on, and nothing is left alive."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from simulated_features import simulated_features
from simulated_hostile import Honest, avbench_methods
from simulated_worker import Forked, alive, forked

from avbench.harness.errors import UsageError
from avbench.harness.isolation import process
from avbench.harness.isolation.choice import Isolation
from avbench.harness.plugins.observers import Observers
from avbench.harness.plugins.registry import Plugins, Registered
from avbench.harness.records.record import RunRecord
from avbench.harness.records.results import ResultsFolder
from avbench.harness.running import runs
from avbench.harness.running.runs import execute, plan
from avbench.harness.tracks import Track

__all__ = ["forked"]

TRACK = Track("ucf", "simulated")
CPU = torch.device("cpu")
METHODS = {m.info.slug: Registered(m, "tests", "1.0", "simulated_hostile") for m in avbench_methods()}


class Loose(Honest):
    info = replace(Honest.info, slug="loose")


FORKS: list[int] = []


class Noted(Forked):
    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        FORKS.append(self.pid)


@pytest.fixture(autouse=True)
def simulated_world(forked: None, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    features = simulated_features()
    monkeypatch.setattr(runs, "plugins", lambda: Plugins(methods={**METHODS, "loose": Registered(Loose, "loose", "0")}))
    monkeypatch.setattr(runs, "planned_features", lambda *_: features)
    monkeypatch.setattr(runs, "feature_manifest", lambda _: features.manifest)
    monkeypatch.setattr(process.subprocess, "Popen", Noted)
    FORKS.clear()
    yield
    assert FORKS
    assert not any(alive(group) for group in FORKS)


def run(slug: str, folder: Path, **limits: Any) -> RunRecord:
    (planned,) = plan([slug], [TRACK], ["aligned"], [0])
    isolation = Isolation("process", **{"silence": 300.0, **limits})
    return execute(planned, ResultsFolder(folder), CPU, isolation=isolation)


@pytest.mark.parametrize(
    ("slug", "limits", "kind", "message"),
    [
        ("shapes", {}, "MethodError", r"returned shape \(3, 3\)"),
        ("nan", {}, "MethodError", "scores are NaN"),
        ("exits", {}, "WorkerError", "exit code 3 in the middle of its run; it printed last: so long"),
        ("quits", {}, "MethodError", "SystemExit: enough"),
        ("chatty", {"silence": 3.0}, "WorkerError", "was silent for 3 s; it printed last: .*blah"),
        ("silent", {"silence": 0.5}, "WorkerError", "was silent for 0.5 s"),
        ("slow", {"seconds": 2.0}, "WorkerError", "has not done its run in 2 s"),
        ("forks", {"silence": 1.0}, "WorkerError", "was silent for 1 s"),
        ("announces", {}, "WorkerError", "a message of 10,737,418,240 bytes was announced"),
        ("babbles", {}, "WorkerError", "said what is no message"),
        ("lies", {}, "WorkerError", "said Counted where EpochDone or Fitted was due"),
        ("skips", {}, "WorkerError", "wrote fewer scores"),
        ("screams", {}, "MethodError", "aaaa"),
    ],
)
def test_a_hostile_worker_is_a_stored_failure(
    slug: str, limits: dict[str, float], kind: str, message: str, tmp_path: Path
) -> None:
    record = run(slug, tmp_path, **limits)
    assert record.failure is not None
    assert record.failure.type == kind
    assert record.measured.isolation == "process"
    with pytest.raises(AssertionError, match=message):
        raise AssertionError(record.failure.message)
    assert ResultsFolder(tmp_path).find(record.configuration) == record
    assert run("honest", tmp_path).finished  # the judge goes on


def test_an_isolated_run_gives_the_record_of_a_plain_one_but_for_how_it_was_made(tmp_path: Path) -> None:
    (planned,) = plan(["honest"], [TRACK], ["aligned"], [0])
    plain = execute(planned, ResultsFolder(tmp_path / "plain"), CPU)
    isolated = run("honest", tmp_path / "isolated")
    assert isolated.model_dump(exclude={"measured"}) == plain.model_dump(exclude={"measured"})
    assert (plain.measured.isolation, isolated.measured.isolation) == ("none", "process")
    assert "isolation" not in plain.model_dump(mode="json")["measured"]  # as records were before


def test_ctrl_c_leaves_no_worker_behind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(Observers, "epoch", interrupt)
    start = time.monotonic()
    with pytest.raises(KeyboardInterrupt):
        run("honest", tmp_path)
    assert time.monotonic() - start < 150, "it waited for the worker to speak"
    assert not list(ResultsFolder(tmp_path).records())


def test_a_class_of_no_package_is_refused(tmp_path: Path) -> None:
    FORKS.append(2**22 + 1)  # none is started
    with pytest.raises(UsageError, match="comes from no installed package"):
        run("loose", tmp_path)
    assert os.getpid() not in FORKS
