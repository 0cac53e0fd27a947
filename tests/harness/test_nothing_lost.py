"""A trained run is always stored: what can be refused is refused before, and nothing that comes after costs it."""

from __future__ import annotations

import json
import multiprocessing
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from simulated_features import Ridge, simulated_features

from avbench.harness.contract.data import TrainingSet
from avbench.harness.contract.method import Progress
from avbench.harness.errors import AvbenchError, DataError, MethodError, UsageError
from avbench.harness.features.manifest import Manifest
from avbench.harness.plugins import registry
from avbench.harness.plugins.observers import RunObserver
from avbench.harness.plugins.registry import LOOSE, Plugins, Registered
from avbench.harness.records.planned import PlannedRun
from avbench.harness.records.record import MAX_EPOCHS, MAX_RECORD_BYTES, RunRecord, ValidationEpoch, read_record
from avbench.harness.records.results import ResultsFolder, Unreadable
from avbench.harness.running import attempt, environment, jobs, runs, workers
from avbench.harness.running.jobs import execute_all
from avbench.harness.running.runs import execute, plan
from avbench.harness.tracks import Track

TRACK = Track("ucf", "simulated")
CPU = torch.device("cpu")


class UnspeakableError(Exception):
    def __str__(self) -> str:
        raise RuntimeError("no text")


ENDS: Mapping[str, Callable[[], BaseException]] = {
    "exits": lambda: SystemExit(0),
    "closes": GeneratorExit,
    "half-character": lambda: ValueError("lone \udc80 surrogate"),
    "unspeakable": UnspeakableError,
    "huge": lambda: ValueError("x" * 10**6),
    "odd-type": lambda: type("Odd\udc80Name", (Exception,), {})("odd"),
}


def ending(slug: str) -> type[Ridge]:
    """A method whose fit ends in its own way."""

    class Ends(Ridge):
        info = replace(Ridge.info, slug=slug)

        def fit(self, train: TrainingSet, progress: Progress) -> None:
            raise ENDS[slug]()

    return Ends


class Trained(Ridge):
    """Counts its fits."""

    info = replace(Ridge.info, slug="trained")
    fits = 0

    def fit(self, train: TrainingSet, progress: Progress) -> None:
        Trained.fits += 1
        super().fit(train, progress)


class Leaves(RunObserver):
    name = "leaves"

    def started(self, run: PlannedRun, results: Path) -> None:
        raise SystemExit(0)


class NeverThere(RunObserver):
    name = "never-there"

    def __init__(self) -> None:
        raise RuntimeError("no")


@pytest.fixture(autouse=True)
def simulated_world(monkeypatch: pytest.MonkeyPatch) -> None:
    features = simulated_features()
    methods = {m.info.slug: Registered(m, LOOSE, "1.0") for m in (Ridge, Trained, *map(ending, ENDS))}
    world = Plugins(methods=methods, observers={"leaves": Leaves, "never-there": NeverThere})
    for module in (runs, jobs, attempt):
        monkeypatch.setattr(module, "plugins", lambda: world)
    monkeypatch.setattr(runs, "planned_features", lambda *_: features)
    monkeypatch.setattr(runs, "feature_manifest", lambda _: features.manifest)
    monkeypatch.setattr(Trained, "fits", 0)
    environment.git_state.cache_clear()


def planned(method: str = "trained", seeds: int = 1, **options: Any) -> list[PlannedRun]:
    return plan([method], [TRACK], ["aligned"], range(seeds), options)


def all_of(todo: list[PlannedRun], root: Path, **more: Any) -> list[RunRecord]:
    return [record for _, record in execute_all(todo, ResultsFolder(root), [CPU], 1, lambda *_: None, **more)]


def stored(root: Path) -> list[RunRecord]:
    found = list(ResultsFolder(root).records())
    assert all(isinstance(r, RunRecord) for r in found), found
    return [r for r in found if isinstance(r, RunRecord)]


@pytest.mark.parametrize("slug", ENDS)
def test_a_method_ends_its_own_run_and_no_other(tmp_path: Path, slug: str) -> None:
    all_of([*planned(slug), *planned()], tmp_path)
    failed, finished = sorted(stored(tmp_path), key=lambda r: r.finished)
    assert finished.finished
    assert failed.failure is not None
    assert len(failed.failure.message) <= 20_000
    assert "fit" in failed.failure.traceback


@pytest.mark.parametrize("end", [lambda: os._exit(0), lambda: os.kill(os.getpid(), signal.SIGKILL)])
def test_a_method_that_ends_its_process_costs_its_own_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, end: Callable[[], None]
) -> None:
    """In workers; they are forked here, so that they know the simulated methods."""
    context = multiprocessing.get_context("fork")
    monkeypatch.setattr(workers.multiprocessing, "get_context", lambda _: context)
    fit = Trained.fit

    def ends(self: Trained, train: TrainingSet, progress: Progress) -> None:
        if self.options.strength == 7:
            end()
        fit(self, train, progress)

    monkeypatch.setattr(Trained, "fit", ends)
    todo = [*planned(strength=7), *planned(seeds=4)]
    records = dict(execute_all(todo, ResultsFolder(tmp_path), [CPU], 2, lambda *_: None))
    assert [records[index].finished for index in range(5)] == [False, True, True, True, True]
    failure = records[0].failure
    assert failure is not None
    assert failure.message.startswith("a worker process died (")
    assert len(stored(tmp_path)) == 5
    assert not list(tmp_path.rglob(".*"))


def test_an_observer_that_exits_or_cannot_be_made_costs_nothing(tmp_path: Path) -> None:
    (record,) = all_of(planned(), tmp_path, observe=("leaves", "never-there"))
    assert record.finished


def test_a_repetition_that_fails_takes_the_place_of_no_finished_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (first,) = all_of(planned(), tmp_path)

    def breaks(*_: object) -> None:
        raise RuntimeError("out of memory")

    monkeypatch.setattr(Trained, "fit", breaks)
    (second,) = all_of(planned(), tmp_path)
    assert second.failure is not None
    assert stored(tmp_path) == [first]


def test_a_file_name_that_is_no_text_costs_no_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    git = ["git", "-c", "user.name=a", "-c", "user.email=a@b"]
    name = os.fsencode(tmp_path) + b"/bad-\xff.txt"
    for command in (
        ["git", "init", "--quiet", "."],
        ["git", "config", "core.quotepath", "false"],
        ["git", "add", "--all"],
        [*git, "commit", "--quiet", "-m", "x"],
    ):
        Path(os.fsdecode(name)).write_text("before")
        subprocess.run(command, cwd=tmp_path, check=True)
    Path(os.fsdecode(name)).write_text("after")
    monkeypatch.chdir(tmp_path)
    (record,) = all_of(planned(), tmp_path / "results")
    assert record.environment.git_dirty is True
    assert record.environment.unknown == []


def test_what_cannot_be_found_out_is_named_in_the_record(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    gone = tmp_path / "gone"
    gone.mkdir()
    monkeypatch.chdir(gone)
    gone.rmdir()

    def fails(_: object) -> Any:
        raise ModuleNotFoundError("avbench \udc80")

    monkeypatch.setattr(environment, "version", fails)
    monkeypatch.setattr(environment, "_cpu_model", lambda: "model \udc80" + "x" * 9_000)
    monkeypatch.setattr(environment, "peak_memory_bytes", fails)
    (record,) = all_of(planned(), tmp_path / "results")
    assert record.finished
    assert [text.partition(":")[0] for text in record.environment.unknown] == ["git", "avbench", "peak memory"]
    assert stored(tmp_path / "results") == [record]


def test_where_all_is_known_a_record_says_nothing_of_it(tmp_path: Path) -> None:
    (record,) = all_of(planned(), tmp_path)
    assert '"unknown"' not in record.to_json()


def test_a_refused_chmod_costs_nothing_and_the_umask_holds(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(*_: object, **__: object) -> None:
        raise PermissionError(1, "Operation not permitted")

    for name in ("chmod", "fchmod", "lchmod"):
        monkeypatch.setattr(os, name, refused, raising=False)
    before = os.umask(0o027)
    try:
        (record,) = all_of(planned(), tmp_path)
    finally:
        os.umask(before)
    folder = ResultsFolder(tmp_path)
    for path in (folder.path(record.configuration), folder.evidence_path(record)):
        assert path.stat().st_mode & 0o777 == 0o640


def test_a_refused_fsync_costs_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(_: int) -> None:
        raise OSError(95, "Operation not supported")

    monkeypatch.setattr(os, "fsync", refused)
    assert all_of(planned(), tmp_path) == stored(tmp_path)


def _a_file(root: Path, _: Path, __: pytest.MonkeyPatch) -> None:
    root.write_text("a file")


def _a_file_below(root: Path, path: Path, _: pytest.MonkeyPatch) -> None:
    root.mkdir()
    (root / "ucf").write_text("a file")


def _a_folder_for_a_record(root: Path, path: Path, _: pytest.MonkeyPatch) -> None:
    path.mkdir(parents=True)


def _read_only(root: Path, path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path.parent.mkdir(parents=True)
    monkeypatch.setattr(os, "access", lambda place, _: Path(place) != path.parent)


def _full(root: Path, path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    found = os.statvfs("/")
    full = os.statvfs_result((*found[:4], 10, *found[5:]))
    monkeypatch.setattr(os, "statvfs", lambda _: full)


@pytest.mark.parametrize("spoil", [_a_file, _a_file_below, _a_folder_for_a_record, _read_only, _full])
def test_a_folder_that_cannot_hold_results_is_found_before_training(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, spoil: Callable[[Path, Path, pytest.MonkeyPatch], None]
) -> None:
    todo = planned(seeds=2)
    root = tmp_path / "results"
    spoil(root, ResultsFolder(root).path(todo[1].configuration), monkeypatch)
    with pytest.raises(AvbenchError, match=r"results cannot be stored here: .*--results") as error:
        all_of(todo, root)
    assert str(root) in str(error.value)
    assert Trained.fits == 0


def test_a_disk_that_fills_while_a_run_trains_does_not_lose_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "tmp"))
    (tmp_path / "tmp").mkdir()
    root, save = tmp_path / "results", ResultsFolder.save

    def full(self: ResultsFolder, record: RunRecord, evidence: bytes | None) -> Path:
        if self.root == root:
            raise OSError(28, "No space left on device")
        return save(self, record, evidence)

    monkeypatch.setattr(ResultsFolder, "save", full)
    records = all_of(planned(seeds=2), root)
    (rescued,) = (tmp_path / "tmp").iterdir()
    assert sorted(r.identity for r in stored(rescued)) == sorted(r.identity for r in records)
    assert str(rescued) in caplog.text


def test_features_removed_while_a_run_trains_cost_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    todo = planned(seeds=3)

    def removed(_: Track) -> Manifest:
        raise DataError("these features are not installed")

    monkeypatch.setattr(runs, "feature_manifest", removed)
    assert [r.finished for r in all_of(todo, tmp_path)] == [True] * 3


def test_unknown_inputs_are_refused_at_the_door() -> None:
    method = type("Bad", (Ridge,), {"info": replace(Ridge.info, inputs="both")})  # type: ignore[arg-type]
    with pytest.raises(MethodError, match="inputs is 'both', not averaged or temporal"):
        registry._slug(method)


@pytest.mark.parametrize("slug", ["../../bad slug", "", "a/b", "a" * 101, ".hidden", None])
def test_a_slug_that_is_no_name_is_refused_at_the_door(slug: Any) -> None:
    method = type("Bad", (Ridge,), {"info": replace(Ridge.info, slug=slug)})
    with pytest.raises(MethodError, match="it names folders and pages"):
        registry._slug(method)


@pytest.mark.parametrize("change", [{"generative": "perhaps"}, {"uses_unseen_names": "maybe"}])
def test_what_no_record_can_say_is_refused_before_training(monkeypatch: pytest.MonkeyPatch, change: Any) -> None:
    monkeypatch.setattr(Trained, "info", replace(Trained.info, **change))
    with pytest.raises(UsageError, match="method 'trained' of loose: a run could not be recorded: "):
        planned()


def test_a_record_that_would_be_too_large_to_be_read_is_refused_before_training() -> None:
    with pytest.raises(UsageError, match="at most 20,000 epochs"):
        planned(epochs=20_001)
    epoch = ValidationEpoch(S=100 / 3, U=200 / 3, HM=400 / 9, offset=-1.2345678901234567e-100)
    assert MAX_EPOCHS * (len(json.dumps({"x": [[epoch.model_dump()]]}, indent=1)) - 10) < MAX_RECORD_BYTES


def test_what_no_folder_takes_is_said_with_both_paths(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "tmp"))
    (tmp_path / "tmp").mkdir()

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(ResultsFolder, "save", full)
    with pytest.raises(AvbenchError, match=r"results: cannot be written to \(No space left on device\), and .*rescued"):
        all_of(planned(), tmp_path / "results")


def test_a_folder_that_cannot_be_looked_into_is_no_empty_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    all_of([*planned(), *planned("ridge")], tmp_path)
    scandir = os.scandir

    def refused(path: Any) -> Any:
        if Path(os.fsdecode(path)).name == "ridge":
            raise PermissionError(13, "Permission denied", str(path))
        return scandir(path)

    monkeypatch.setattr(os, "scandir", refused)
    found = list(ResultsFolder(tmp_path).records())
    (hidden,) = [f for f in found if isinstance(f, Unreadable)]
    assert hidden.path == tmp_path / "ucf" / "simulated" / "ridge"
    assert "cannot be looked into (Permission denied); the runs below it are left out" in hidden.reason
    assert len(found) == 2


def test_hidden_files_and_folders_are_no_records(tmp_path: Path) -> None:
    (record,) = all_of(planned(), tmp_path)
    path = ResultsFolder(tmp_path).path(record.configuration)
    path.with_name(f"._{path.name}").write_bytes(b"\0\5\26\7")
    (path.parent / ".ipynb_checkpoints").mkdir()
    (path.parent / ".ipynb_checkpoints" / path.name).write_bytes(path.read_bytes())
    assert stored(tmp_path) == [record]


def test_the_process_name_may_be_anything() -> None:
    code = (
        "import ctypes, torch; from avbench.harness.evaluation.peak_memory import peak_memory_bytes; "
        r"ctypes.CDLL(None).prctl(15, b'\xff\xfe'); print(peak_memory_bytes(torch.device('cpu')))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert int(done.stdout) > 2**20


def test_results_of_an_earlier_version_are_read_and_replaced(tmp_path: Path) -> None:
    """Their evidence has no hash in its name."""
    folder = ResultsFolder(tmp_path)
    (record,) = all_of(planned(), tmp_path)
    path = folder.path(record.configuration)
    earlier = folder.evidence_path(record).rename(path.with_suffix(".safetensors"))
    folder.tidy()
    assert folder.find(record.configuration) == record
    assert folder.evidence_path(record) == earlier
    (again,) = all_of(planned(), tmp_path)
    assert folder.find(again.configuration) == again
    assert not earlier.exists()
    assert read_record(path) == again


def test_ctrl_c_stores_nothing_and_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(Trained, "fit", interrupted)
    with pytest.raises(KeyboardInterrupt):
        execute(planned()[0], ResultsFolder(tmp_path), CPU)
    with pytest.raises(KeyboardInterrupt):
        all_of(planned(), tmp_path)
    assert list(tmp_path.rglob("*")) == []
