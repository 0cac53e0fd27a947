"""24 runs on a real SLURM through all that can happen to jobs: killed, cancelled, out of time, a restarted node."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from slurm_node import needs_slurm, one_node

from avbench.harness.cli import main
from avbench.harness.cluster.submission import submissions
from avbench.harness.records.results import ResultsFolder, Unreadable
from avbench.harness.records.verification import check

PLAN = """\
methods = ["ale", "sje"]
tracks = ["ucf/demo", "activitynet/demo"]
seeds = 6
executor = "slurm"
slurm = ["partition=main,time=1,warn=50,jobs=5,mem=1G"]
[options]
epochs = 4
batches_per_epoch = 40
"""
WAIT_SECONDS = 600  # ends what hangs; a loaded machine takes minutes


@pytest.fixture
def slurm(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("AVBENCH_HOME", str(tmp_path / "home"))
    with one_node(tmp_path / "slurm") as settings:
        monkeypatch.setenv("SLURM_CONF", str(settings))
        yield tmp_path / "slurm"


def until(what: Callable[[], Any]) -> Any:
    """What a question gives as soon as that is true."""
    end = time.monotonic() + WAIT_SECONDS
    while not (answer := what()):
        assert time.monotonic() < end, "it never came true"
        time.sleep(0.1)
    return answer


def jobs_listed(capsys: pytest.CaptureFixture[str]) -> list[dict[str, Any]]:
    capsys.readouterr()
    main_exit("jobs", "list", "--json")
    return list(json.loads(capsys.readouterr().out))


def main_exit(*arguments: str) -> int:
    try:
        main(arguments)
    except SystemExit as stop:
        return int(stop.code or 0)
    return 0


def step_process(log: Path) -> int:
    """The process that writes a job's log."""
    name = log.name.partition("_0_log")[0]
    array, task = name.split("_")
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            variables = (folder / "environ").read_bytes().split(b"\0")
            command = (folder / "cmdline").read_bytes()
        except OSError:
            continue
        if b"submitit.core._submit" in command and b"python" in command.split(b"\0")[0]:
            wanted = {f"SLURM_ARRAY_JOB_ID={array}".encode(), f"SLURM_ARRAY_TASK_ID={task}".encode()}
            if wanted <= set(variables):
                return int(folder.name)
    return 0


@needs_slurm
@pytest.mark.slow
def test_nothing_is_lost_whatever_happens_to_jobs(
    slurm: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], request: pytest.FixtureRequest
) -> None:
    Path("plan.toml").write_text(PLAN)
    # a command that is interrupted leaves its jobs at work
    start = "from avbench.harness.cli import main; main()"
    command = [sys.executable, "-c", start, "run", "--plan", "plan.toml"]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as attached:
        assert attached.stderr is not None
        lines = iter(attached.stderr.readline, "")
        assert "Submitted 24 runs in 5 jobs" in next(line for line in lines if "Submitted" in line)
        attached.send_signal(signal.SIGINT)
        assert "Detached" in "".join(lines)
    assert attached.returncode == 130

    (submission,) = submissions(ResultsFolder(tmp_path / "results"))
    jobs = submission.submitted.jobs
    logs = [submission.logs / f"{job}_0_log.out" for job in jobs]

    def stopped(number: int) -> None:
        """Stop a job that has just begun, so that what follows happens in its time; SLURM lets it go on."""
        until(lambda: logs[number].exists() and "share" in logs[number].read_text())
        process = until(lambda: step_process(logs[number]))
        os.kill(process, signal.SIGSTOP)

    stopped(0)
    stopped(1)
    # the same command follows the jobs; both places are taken by stopped ones, so there is something left to follow
    follower = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
    request.addfinalizer(follower.kill)
    assert follower.stderr is not None
    told = iter(follower.stderr.readline, "")
    assert any(f"Following {submission.name}" in line for line in told)

    subprocess.run(["scancel", "--signal=KILL", jobs[0]], check=True)
    assert main_exit("jobs", "cancel", jobs[1]) == 0

    # slurmd is stopped and started again under the next job, whose time then runs out
    stopped(2)
    daemon = int((slurm / "slurmd.pid").read_text())
    os.kill(daemon, signal.SIGTERM)
    until(lambda: not Path(f"/proc/{daemon}").exists())  # its last deed is to delete the file with its number
    subprocess.run(["slurmd", "-f", slurm / "slurm.conf"], check=True)
    # SLURM tells it with SIGUSR2 and lets it go on, which is when it gives its run back
    until(lambda: "this job is timed-out" in logs[2].read_text() + logs[2].with_suffix(".err").read_text())

    # the command that followed has all records in the end
    _, rest = follower.communicate(timeout=WAIT_SECONDS)
    assert follower.returncode == 0, rest
    records = list(ResultsFolder(tmp_path / "results").records())
    assert len(records) == 24
    for record in records:
        assert not isinstance(record, Unreadable)
        assert record.finished
        assert check(record, ResultsFolder(tmp_path / "results")) == []
    text = "".join(
        log.read_text() for s in submissions(ResultsFolder(tmp_path / "results")) for log in s.logs.glob("*.out")
    )
    executed = Counter(re.findall(r"\((\w{8})\): finished", text))
    assert set(executed) == {r.identity[:8] for r in records if not isinstance(r, Unreadable)}
    assert set(executed.values()) == {1}
    rows = {row["job"]: row for row in jobs_listed(capsys)}
    assert {rows[job]["state"] for job in jobs[:2]} == {"cancelled"}  # which SLURM calls a job that got SIGKILL, too
    assert main_exit("jobs", "logs", jobs[2]) == 0
    shown = capsys.readouterr()
    assert "share 2" in shown.out
    assert "timed-out" in shown.out
    assert main_exit("jobs", "logs", f"{jobs[2]}9") == 2
    assert "Did you mean" in capsys.readouterr().err
    # the next command has nothing to do but to clear away what a killed job was writing
    assert main_exit("run", "--plan", "plan.toml") == 0
    assert "24 of 24 runs are finished already" in capsys.readouterr().err
    assert not list((tmp_path / "results").rglob("*.part"))
