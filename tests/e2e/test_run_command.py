"""`avbench run` as a user meets it: on the demo, with a tiny budget, in processes of its own."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from avbench.harness.records.record import RunRecord, parse_record
from avbench.harness.records.results import ResultsFolder
from avbench.harness.records.verification import check

TINY = ["-p", "epochs=2", "-p", "batches_per_epoch=2", "-p", "batch_size=16"]
DEMO = ["run", "--method", "avca", "--features", "demo", *TINY]


def command(*arguments: str) -> list[str]:
    return [sys.executable, "-c", "from avbench.harness.cli import main; main()", *arguments]


def avbench(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "AVBENCH_HOME": str(folder / "home"), "OMP_NUM_THREADS": "1"}
    return subprocess.run(
        command(*arguments), cwd=folder, env=environment, capture_output=True, text=True, check=False, timeout=300
    )


def records(done: subprocess.CompletedProcess[str]) -> list[dict[str, Any]]:
    assert done.returncode == 0, done.stderr
    found: list[dict[str, Any]] = json.loads(done.stdout)
    return found


def stored(folder: Path) -> list[RunRecord]:
    found = list(ResultsFolder(folder / "results").records())
    assert all(isinstance(record, RunRecord) for record in found), found
    return [record for record in found if isinstance(record, RunRecord)]


def test_without_real_features_the_demo_runs_and_says_so(tmp_path: Path) -> None:
    done = avbench(tmp_path, "run", "--method", "avca", "--all-datasets", *TINY)
    assert done.returncode == 0, done.stderr
    assert "No real features of ucf, activitynet, vggsound are installed" in done.stderr
    assert "simulated" in done.stdout
    assert all(record.simulated for record in stored(tmp_path))


def test_two_runs_give_identical_records_but_for_times(tmp_path: Path) -> None:
    first, second = (
        records(avbench(tmp_path, *DEMO, "--dataset", "ucf", "--results", name, "--json"))[0] for name in "ab"
    )
    assert first.pop("measured") != second.pop("measured")
    assert first == second
    files = [next((tmp_path / name).rglob("*.safetensors")).read_bytes() for name in "ab"]
    assert files[0] == files[1]


def test_a_finished_run_is_not_repeated_unless_asked(tmp_path: Path) -> None:
    arguments = [*DEMO, "--dataset", "ucf", "--json"]
    first = records(avbench(tmp_path, *arguments))
    again = avbench(tmp_path, *arguments)
    assert records(again) == first
    assert "1 of 1 runs are finished already" in again.stderr
    fresh = records(avbench(tmp_path, *arguments, "--fresh"))
    assert fresh[0]["measured"] != first[0]["measured"]
    assert fresh[0]["outcome"] == first[0]["outcome"]


def test_parallel_jobs_give_the_same_results(tmp_path: Path) -> None:
    arguments = [*DEMO, "--all-datasets", "--json"]
    alone = records(avbench(tmp_path, *arguments, "--results", "a"))
    together = records(avbench(tmp_path, *arguments, "--results", "b", "--jobs", "2"))
    assert [r["outcome"] for r in alone] == [r["outcome"] for r in together]
    assert {r["measured"]["runs_at_once"] for r in alone} == {1}
    assert {r["measured"]["runs_at_once"] for r in together} == {2}
    assert [parse_record(r, "stdout").configuration.dataset for r in alone] == ["ucf", "activitynet", "vggsound"]


@pytest.fixture
def interruptible() -> Iterator[None]:
    """Commands hear SIGINT, also where the tests run in the background of a script, which ignores it for them."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.mark.usefixtures("interruptible")
@pytest.mark.parametrize(("kill", "status"), [(signal.SIGKILL, -signal.SIGKILL), (signal.SIGINT, 130)])
@pytest.mark.parametrize("jobs", ["1", "2"])
def test_a_killed_command_resumes(tmp_path: Path, kill: signal.Signals, status: int, jobs: str) -> None:
    arguments = [*DEMO, "--dataset", "ucf", "--seeds", "4", "--jobs", jobs]
    environment = {**os.environ, "AVBENCH_HOME": str(tmp_path / "home"), "OMP_NUM_THREADS": "1"}
    process = subprocess.Popen(
        command(*arguments), cwd=tmp_path, env=environment, stderr=subprocess.DEVNULL, start_new_session=True
    )
    deadline = time.monotonic() + 120
    while not list(tmp_path.rglob("results/**/*.json")):
        assert process.poll() is None, "ended before it could be killed"
        assert time.monotonic() < deadline
        time.sleep(0.005)
    if kill == signal.SIGINT:
        process.send_signal(kill)
    else:
        os.killpg(process.pid, kill)
    assert process.wait(60) == status
    kept = {r.identity: r for r in stored(tmp_path)}
    assert 1 <= len(kept) < 4

    done = avbench(tmp_path, *arguments)
    assert done.returncode == 0, done.stderr
    assert f"{len(kept)} of 4 runs are finished already" in done.stderr
    final = {r.identity: r for r in stored(tmp_path)}
    assert len(final) == 4
    assert {identity: final[identity] for identity in kept} == kept
    if kill == signal.SIGINT:
        assert not list(tmp_path.rglob("results/**/.*")), "temporary files are left"


@pytest.mark.skipif(not Path("/proc/self/task").exists(), reason="finds the worker through /proc")
def test_a_dead_worker_costs_its_own_run_only(tmp_path: Path) -> None:
    environment = {**os.environ, "AVBENCH_HOME": str(tmp_path / "home"), "OMP_NUM_THREADS": "1"}
    arguments = command(*DEMO, "--dataset", "ucf", "--seeds", "6", "--jobs", "2")
    process = subprocess.Popen(arguments, cwd=tmp_path, env=environment, stderr=subprocess.PIPE, text=True)
    while not list(tmp_path.rglob("results/**/*.json")):
        assert process.poll() is None
        time.sleep(0.005)
    children = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
    workers = [int(c) for c in children if b"spawn_main" in Path(f"/proc/{c}/cmdline").read_bytes()]
    os.kill(workers[0], signal.SIGKILL)
    _, errors = process.communicate(timeout=120)
    assert "Traceback" not in errors
    assert len(stored(tmp_path)) == 6
    failures = [record.failure for record in stored(tmp_path) if record.failure]
    assert len(failures) <= 1, "it may have stored its run just before"
    assert all(failure.type == "WorkerDied" for failure in failures)
    assert process.returncode == len(failures), errors


def test_results_that_cannot_be_written_are_explained(tmp_path: Path) -> None:
    (tmp_path / "results").write_text("a file where the folder should be")
    done = avbench(tmp_path, *DEMO, "--dataset", "ucf")
    assert done.returncode == 1
    assert "error: " in done.stderr
    assert "Traceback" not in done.stderr


def test_defaults_from_a_file(tmp_path: Path) -> None:
    (tmp_path / "run.toml").write_text(
        'method = "avca"\ndataset = ["ucf"]\nfeatures = "demo"\nprotocol = ["as-published"]\n'
        "[options]\nepochs = 2\nbatches_per_epoch = 2\nbatch_size = 16\n"
    )
    (record,) = records(avbench(tmp_path, "run", "--config", "run.toml", "--seed", "7", "--json"))
    configuration = record["configuration"]
    assert (configuration["seed"], configuration["protocol"]["name"]) == (7, "as-published")
    assert (configuration["options"]["epochs"], configuration["options"]["batch_size"]) == (2, 16)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["run"], "name a method"),
        (["run", "--method", "avca"], "--all-datasets"),
        (["run", "--method", "acva", "--all-datasets"], "Did you mean 'avca'"),
        (["run", "--method", "avca", "--dataset", "ufc"], "'ucf'"),
        (["run", "--method", "avca", "--all-datasets", "--features", "mian"], "Did you mean 'main'"),
        (["run", "--method", "avca", "--all-datasets", "--protocol", "alinged"], "Did you mean 'aligned'"),
        (["run", "--method", "avca", "--all-datasets", "-p", "epoch=3"], "Did you mean 'epochs'"),
        (["run", "--method", "avca", "--all-datasets", "-p", "epochs=0"], "greater than or equal to 1"),
        (["run", "--method", "avca", "--all-datasets", "-p", "epochs"], "OPTION=VALUE"),
        (["run", "--method", "avca", "--all-datasets", "--variant", "loss=l_r"], "Did you mean 'loss=-l_r'"),
        (["run", "--method", "avca", "--all-datasets", "--seeds", "2", "--seed", "1"], "not both"),
        (["run", "--method", "avca", "--all-datasets", "--device", "gpu"], "auto, cpu, cuda"),
        (["run", "--config", "none.toml"], "none.toml"),
        (["rnu"], "Did you mean 'run'"),
        (["methods", "show", "acva"], "Did you mean 'avca'"),
    ],
)
def test_wrong_usage_is_explained(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    arguments: list[str],
    message: str,
) -> None:
    from avbench.harness.cli import main

    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("AVBENCH_HOME", str(tmp_path / "home"))
    with pytest.raises(SystemExit) as end:
        main(arguments)
    assert end.value.code == 2
    assert message in capsys.readouterr().err
    assert not (tmp_path / "results").exists()


def test_four_commands_at_once_share_the_work(tmp_path: Path) -> None:
    """Overlapping sets of 16 runs in one folder: each is executed once, and each command ends with all of its own."""
    environment = {**os.environ, "AVBENCH_HOME": str(tmp_path / "home"), "OMP_NUM_THREADS": "1"}
    commands = [
        command(*DEMO, "--dataset", "ucf", "--json", *(x for seed in seeds for x in ("--seed", str(seed))))
        for seeds in (range(16), range(16), range(12), range(4, 16))
    ]
    processes = [
        subprocess.Popen(c, cwd=tmp_path, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        for c in commands
    ]
    outputs = [process.communicate(timeout=600) for process in processes]
    assert [process.returncode for process in processes] == [0] * 4, outputs
    assert [len(json.loads(out)) for out, _ in outputs] == [16, 16, 12, 12]
    found = {record.identity: record for record in stored(tmp_path)}
    assert len(found) == 16
    told = [record for out, _ in outputs for record in json.loads(out)]
    assert all(parse_record(record, "stdout") == found[record["identity"]] for record in told), "executed again"
    folder = ResultsFolder(tmp_path / "results")
    assert all(check(record, folder) == [] for record in found.values())
    assert not list((tmp_path / "results").rglob(".*"))


@pytest.mark.parametrize(("ask", "status"), [(signal.SIGTERM, 143), (signal.SIGHUP, 129), (signal.SIGKILL, -9)])
@pytest.mark.skipif(not Path("/proc/self/task").exists(), reason="finds the workers through /proc")
def test_workers_end_with_their_command(tmp_path: Path, ask: signal.Signals, status: int) -> None:
    environment = {**os.environ, "AVBENCH_HOME": str(tmp_path / "home"), "OMP_NUM_THREADS": "1"}
    arguments = command(*DEMO, "--dataset", "ucf", "--seeds", "40", "--jobs", "2")
    process = subprocess.Popen(arguments, cwd=tmp_path, env=environment, stderr=subprocess.DEVNULL)
    while not list(tmp_path.rglob("results/**/*.json")):
        assert process.poll() is None
        time.sleep(0.005)
    workers = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
    assert len(workers) >= 2
    process.send_signal(ask)
    assert process.wait(60) == status
    deadline = time.monotonic() + 30
    while any(Path(f"/proc/{worker}").exists() for worker in workers):
        assert time.monotonic() < deadline, "workers go on"
        time.sleep(0.05)
    count = len(stored(tmp_path))
    assert 1 <= count < 40
    if ask != signal.SIGKILL:
        assert not list((tmp_path / "results").rglob(".*"))
