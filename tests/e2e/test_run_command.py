"""`avbench run` as a user meets it: on the demo, with a tiny budget, in processes of its own."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import simulated_gate
from click.testing import CliRunner, Result

from avbench.harness.cli import cli
from avbench.harness.records.record import RunRecord, parse_record
from avbench.harness.records.results import ResultsFolder
from avbench.harness.records.verification import check

TINY = ["-p", "epochs=2", "-p", "batches_per_epoch=2", "-p", "batch_size=16"]
HANGS = 600
"""Seconds after which a command is taken to hang; none is waited for so long that ends."""
DEMO = ["run", "--method", "avca", "--features", "demo", *TINY]


def command(*arguments: str) -> list[str]:
    return [sys.executable, "-c", "from avbench.harness.cli import main; main()", *arguments]


def avbench(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "AVBENCH_HOME": str(folder / "home"), "OMP_NUM_THREADS": "1"}
    return subprocess.run(
        command(*arguments), cwd=folder, env=environment, capture_output=True, text=True, check=False, timeout=HANGS
    )


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Result]:
    """As :func:`avbench`, in this process: for what does not depend on being another one."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("AVBENCH_HOME", str(tmp_path / "home"))
    return lambda *arguments: CliRunner().invoke(cli, arguments)


def records(done: subprocess.CompletedProcess[str] | Result) -> list[dict[str, Any]]:
    assert (done.exit_code if isinstance(done, Result) else done.returncode) == 0, done.stderr
    found: list[dict[str, Any]] = json.loads(done.stdout)
    return found


def stored(folder: Path) -> list[RunRecord]:
    found = list(ResultsFolder(folder / "results").records())
    assert all(isinstance(record, RunRecord) for record in found), found
    return [record for record in found if isinstance(record, RunRecord)]


def test_without_real_features_the_demo_runs_and_says_so(tmp_path: Path, here: Callable[..., Result]) -> None:
    done = here("run", "--method", "avca", "--all-datasets", *TINY)
    assert done.exit_code == 0, done.stderr
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


def test_a_finished_run_is_not_repeated_unless_asked(here: Callable[..., Result]) -> None:
    arguments = [*DEMO, "--dataset", "ucf", "--json"]
    first = records(here(*arguments))
    again = here(*arguments)
    assert records(again) == first
    assert "1 of 1 runs are finished already" in again.stderr
    fresh = records(here(*arguments, "--fresh"))
    assert fresh[0]["measured"] != first[0]["measured"]
    assert fresh[0]["outcome"] == first[0]["outcome"]


def test_parallel_jobs_give_the_same_results(tmp_path: Path, here: Callable[..., Result]) -> None:
    arguments = [*DEMO, "--all-datasets", "--json"]
    alone = records(here(*arguments, "--results", "a"))
    together = records(avbench(tmp_path, *arguments, "--results", "b", "--jobs", "2"))
    assert [r["outcome"] for r in alone] == [r["outcome"] for r in together]
    assert {r["measured"]["runs_at_once"] for r in alone} == {1}
    assert {r["measured"]["runs_at_once"] for r in together} == {2}
    assert [parse_record(r, "stdout").configuration.dataset for r in alone] == ["ucf", "activitynet", "vggsound"]


@pytest.fixture
def interruptible() -> Iterator[None]:
    """Commands hear SIGINT and SIGHUP, also where the tests run in the background of a script or under nohup, which
    ignore them for what they start."""
    hearing = ((signal.SIGINT, signal.default_int_handler), (signal.SIGHUP, signal.SIG_DFL))
    before = [(number, signal.signal(number, handler)) for number, handler in hearing]
    yield
    for number, handler in before:
        signal.signal(number, handler)


def held(folder: Path, *arguments: str, jobs: int, **options: Any) -> tuple[subprocess.Popen[str], list[int]]:
    """A command whose run of seed 0 is stored and whose next ones wait, one in each of the processes that are given."""
    package = folder / "gate"
    (package / "gate-1.0.dist-info").mkdir(parents=True)
    (package / "gate-1.0.dist-info" / "METADATA").write_text("Metadata-Version: 2.1\nName: gate\nVersion: 1.0\n")
    (package / "gate-1.0.dist-info" / "entry_points.txt").write_text("[avbench]\ngate = simulated_gate\n")
    shutil.copy(simulated_gate.__file__, package)
    environment = {**os.environ, "AVBENCH_HOME": str(folder / "home"), "OMP_NUM_THREADS": "1"}
    words = command(*arguments, "--jobs", str(jobs), "--observe", "gate")
    process = subprocess.Popen(
        words, cwd=folder, env={**environment, "PYTHONPATH": str(package)}, stderr=subprocess.PIPE, text=True, **options
    )
    deadline = time.monotonic() + HANGS
    while not list(folder.rglob("results/**/*.json")) or len(list(folder.glob("waits-*"))) < jobs:
        assert process.poll() is None, process.communicate()[1]
        assert time.monotonic() < deadline
        time.sleep(0.02)
    return process, [int(path.name.partition("-")[2]) for path in folder.glob("waits-*")]


@pytest.mark.usefixtures("interruptible")
@pytest.mark.parametrize(("kill", "status"), [(signal.SIGKILL, -signal.SIGKILL), (signal.SIGINT, 130)])
@pytest.mark.parametrize("jobs", [1, 2])
def test_a_killed_command_resumes(
    tmp_path: Path, here: Callable[..., Result], kill: signal.Signals, status: int, jobs: int
) -> None:
    arguments = [*DEMO, "--dataset", "ucf", "--seeds", "4"]
    process, _ = held(tmp_path, *arguments, jobs=jobs, start_new_session=True)
    if kill == signal.SIGINT:
        process.send_signal(kill)
    else:
        os.killpg(process.pid, kill)
    _, errors = process.communicate(timeout=HANGS)
    assert process.returncode == status, errors
    (kept,) = stored(tmp_path)

    done = here(*arguments)
    assert done.exit_code == 0, done.stderr
    assert "1 of 4 runs are finished already" in done.stderr
    final = {r.identity: r for r in stored(tmp_path)}
    assert len(final) == 4
    assert final[kept.identity] == kept
    if kill == signal.SIGINT:
        assert not list(tmp_path.rglob("results/**/.*")), "temporary files are left"


def test_a_dead_worker_costs_its_own_run_only(tmp_path: Path) -> None:
    process, workers = held(tmp_path, *DEMO, "--dataset", "ucf", "--seeds", "4", jobs=2)
    os.kill(workers[0], signal.SIGKILL)
    (tmp_path / "go").touch()
    _, errors = process.communicate(timeout=HANGS)
    assert "Traceback" not in errors
    assert process.returncode == 1, errors
    assert [r.failure.type for r in stored(tmp_path) if r.failure] == ["WorkerDied"]
    assert len(stored(tmp_path)) == 4


def test_results_that_cannot_be_written_are_explained(tmp_path: Path) -> None:
    (tmp_path / "results").write_text("a file where the folder should be")
    done = avbench(tmp_path, *DEMO, "--dataset", "ucf")
    assert done.returncode == 1
    assert "error: " in done.stderr
    assert "Traceback" not in done.stderr


def test_defaults_from_a_file(tmp_path: Path, here: Callable[..., Result]) -> None:
    (tmp_path / "run.toml").write_text(
        'method = "avca"\ndataset = ["ucf"]\nfeatures = "demo"\nprotocol = ["as-published"]\n'
        "[options]\nepochs = 2\nbatches_per_epoch = 2\nbatch_size = 16\n"
    )
    (record,) = records(here("run", "--config", "run.toml", "--seed", "7", "--json"))
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
    """Overlapping sets of 8 runs in one folder: each is executed once, and each command ends with all of its own."""
    environment = {**os.environ, "AVBENCH_HOME": str(tmp_path / "home"), "OMP_NUM_THREADS": "1"}
    commands = [
        command(*DEMO, "--dataset", "ucf", "--json", *(x for seed in seeds for x in ("--seed", str(seed))))
        for seeds in (range(8), range(8), range(6), range(2, 8))
    ]
    processes = [
        subprocess.Popen(c, cwd=tmp_path, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        for c in commands
    ]
    outputs = [process.communicate(timeout=HANGS) for process in processes]
    assert [process.returncode for process in processes] == [0] * 4, outputs
    assert [len(json.loads(out)) for out, _ in outputs] == [8, 8, 6, 6]
    found = {record.identity: record for record in stored(tmp_path)}
    assert len(found) == 8
    told = [record for out, _ in outputs for record in json.loads(out)]
    assert all(parse_record(record, "stdout") == found[record["identity"]] for record in told), "executed again"
    folder = ResultsFolder(tmp_path / "results")
    assert all(check(record, folder) == [] for record in found.values())
    assert not list((tmp_path / "results").rglob(".*"))


@pytest.mark.usefixtures("interruptible")
@pytest.mark.parametrize(("ask", "status"), [(signal.SIGTERM, 143), (signal.SIGHUP, 129), (signal.SIGKILL, -9)])
@pytest.mark.skipif(not Path("/proc/self/task").exists(), reason="sees the workers in /proc")
def test_workers_end_with_their_command(tmp_path: Path, ask: signal.Signals, status: int) -> None:
    process, workers = held(tmp_path, *DEMO, "--dataset", "ucf", "--seeds", "4", jobs=2)
    process.send_signal(ask)
    _, errors = process.communicate(timeout=HANGS)
    assert process.returncode == status, errors
    deadline = time.monotonic() + HANGS
    while any(Path(f"/proc/{worker}").exists() for worker in workers):
        assert time.monotonic() < deadline, "workers go on"
        time.sleep(0.05)
    assert len(stored(tmp_path)) == 1
    if ask != signal.SIGKILL:
        assert not list((tmp_path / "results").rglob(".*"))
