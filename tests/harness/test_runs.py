"""Planning, executing, repeating and failing runs."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from simulated_features import Ridge, simulated_features

from avbench.harness.contract.data import TrainingSet
from avbench.harness.contract.method import Progress
from avbench.harness.errors import RecordError, UsageError
from avbench.harness.features.featureset import FeatureSet
from avbench.harness.features.manifest import Manifest
from avbench.harness.plugins.registry import Plugins, Registered
from avbench.harness.records.planned import PlannedRun
from avbench.harness.records.record import RunRecord
from avbench.harness.records.results import ResultsFolder, Unreadable
from avbench.harness.records.verification import check
from avbench.harness.running import runs
from avbench.harness.running.runs import execute, plan
from avbench.harness.tracks import Track

TRACK = Track("ucf", "simulated")
CPU = torch.device("cpu")


class Fails(Ridge):
    info = Ridge.info.__class__(slug="fails", title="Fails", year=2026, summary="For tests.", citation="none")
    cured = False

    def fit(self, train: TrainingSet, progress: Progress) -> None:
        if not Fails.cured:
            raise RuntimeError("out of luck")
        super().fit(train, progress)


class Interrupted(Ridge):
    info = Ridge.info.__class__(slug="interrupted", title="I", year=2026, summary="For tests.", citation="none")

    def fit(self, train: TrainingSet, progress: Progress) -> None:
        raise KeyboardInterrupt


@pytest.fixture(autouse=True)
def simulated_world(monkeypatch: pytest.MonkeyPatch) -> None:
    features = simulated_features()

    def load(_: Track, _hash: str) -> FeatureSet:
        return features

    def manifest(_: Track) -> Manifest:
        return features.manifest

    methods = {m.info.slug: Registered(m, "tests", "1.0") for m in (Ridge, Fails, Interrupted)}
    world = Plugins(methods=methods)
    monkeypatch.setattr(runs, "plugins", lambda: world)
    monkeypatch.setattr(runs, "planned_features", load)
    monkeypatch.setattr(runs, "feature_manifest", manifest)
    monkeypatch.setattr(Fails, "cured", False)


def planned(method: str = "ridge", protocol: str = "aligned", seed: int = 0, **options: Any) -> PlannedRun:
    return plan([method], [TRACK], [protocol], [seed], options)[0]


def without_times(record: RunRecord) -> dict[str, Any]:
    return record.model_dump(mode="json", exclude={"measured"})


def test_two_runs_of_one_configuration_are_identical_but_for_times(tmp_path: Path) -> None:
    first, second = (execute(planned(), ResultsFolder(tmp_path / n), CPU) for n in "ab")
    assert without_times(first) == without_times(second)
    files = [ResultsFolder(tmp_path / n).evidence_bytes(first) for n in "ab"]
    assert files[0] == files[1]


def test_a_finished_run_is_found_again(tmp_path: Path) -> None:
    folder = ResultsFolder(tmp_path)
    assert folder.find(planned().configuration) is None
    record = execute(planned(), folder, CPU)
    assert folder.find(planned().configuration) == record
    assert folder.find(planned(strength=2.0).configuration) is None
    assert folder.find(planned(seed=1).configuration) is None
    assert folder.find(planned(protocol="as-published").configuration) is None


def test_the_plan_is_the_full_product() -> None:
    everything = plan(["ridge", "fails"], [TRACK], ["aligned", "as-published"], [0, 1, 2], {"strength": "0.5"})
    assert len({p.configuration.identity for p in everything}) == 12
    assert all(p.configuration.options["strength"] == 0.5 for p in everything)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: planned("rigde"), "Did you mean 'ridge'"),
        (lambda: planned(protocol="alinged"), "Did you mean 'aligned'"),
        (lambda: planned(strenght=1), "Did you mean 'strength'"),
        (lambda: planned(strength=0), "strength.*greater than 0"),
        (lambda: planned(strength="much"), "strength.*number"),
        (lambda: planned(epochs=0), "epochs"),
    ],
)
def test_wrong_names_and_values_are_explained(call: Callable[[], PlannedRun], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        call()


def test_a_failure_is_stored_and_retried(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = ResultsFolder(tmp_path)
    record = execute(planned("fails"), folder, CPU)
    assert record.failure is not None
    assert "out of luck" in record.failure.message
    assert "RuntimeError" in record.failure.traceback
    found = folder.find(planned("fails").configuration)
    assert found is not None
    assert not found.finished
    monkeypatch.setattr(Fails, "cured", True)
    assert execute(planned("fails"), folder, CPU).finished
    (only,) = folder.records()
    assert isinstance(only, RunRecord)
    assert only.finished


def test_an_interrupt_stores_nothing(tmp_path: Path) -> None:
    with pytest.raises(KeyboardInterrupt):
        execute(planned("interrupted"), ResultsFolder(tmp_path), CPU)
    assert list(tmp_path.rglob("*")) == []


def test_simulated_features_mark_the_record(tmp_path: Path) -> None:
    assert execute(planned(), ResultsFolder(tmp_path), CPU).simulated


def test_a_run_whose_evidence_is_gone_or_changed_is_repeated(tmp_path: Path) -> None:
    folder = ResultsFolder(tmp_path)
    record = execute(planned(), folder, CPU)
    path = folder.evidence_path(record)
    content = path.read_bytes()
    path.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
    with pytest.raises(RecordError, match="hash differs"):
        folder.evidence(record)
    assert folder.find(record.configuration) is None
    path.unlink()
    assert folder.find(record.configuration) is None


def test_unreadable_records_are_reported_in_place(tmp_path: Path) -> None:
    folder = ResultsFolder(tmp_path)
    record = execute(planned(), folder, CPU)
    (tmp_path / "stray.json").write_text("{")
    folder.path(record.configuration).with_name("moved.json").write_text(record.to_json())
    found = list(folder.records())
    assert [type(f) for f in found].count(Unreadable) == 2
    assert record in found


def test_evidence_is_enough_to_recompute_the_metrics(tmp_path: Path) -> None:
    from avbench.harness.evaluation.metrics import evaluate

    folder = ResultsFolder(tmp_path)
    record = execute(planned(protocol="as-published"), folder, CPU)
    assert record.outcome is not None
    tables = folder.evidence(record)
    again = evaluate(tables["test"], record.outcome.offset)
    assert np.allclose(list(vars(again).values()), list(record.outcome.metrics.model_dump().values()), atol=0)


@pytest.mark.parametrize("protocol", ["aligned", "as-published"])
@pytest.mark.parametrize("branches", [False, True])
def test_what_a_run_records_follows_from_its_evidence(tmp_path: Path, protocol: str, branches: bool) -> None:
    folder = ResultsFolder(tmp_path)
    record = execute(planned(protocol=protocol, branches=branches), folder, CPU)
    assert record.finished
    assert check(record, folder) == []


def test_scores_that_are_final_verify_at_the_offset_zero(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Ridge, "info", replace(Ridge.info, calibrated_stacking=False))
    folder = ResultsFolder(tmp_path)
    record = execute(planned(), folder, CPU)
    assert record.outcome is not None
    assert record.outcome.offset == 0
    assert not record.capabilities.calibrated_stacking
    assert check(record, folder) == []
