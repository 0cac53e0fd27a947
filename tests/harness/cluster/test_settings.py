"""What ``--slurm`` takes, and what is refused before anything is submitted."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from avbench.harness.cli import main
from avbench.harness.cluster.settings import minutes, read_settings
from avbench.harness.errors import UsageError

DEMO = ("run", "--method", "ale", "--track", "ucf/demo", "--executor", "slurm")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("90", 90),
        ("10:30", 11),
        ("4:00:00", 240),
        ("1:00:01", 61),
        ("1-0", 1440),
        ("1-2:30", 1590),
        ("2-00:00:00", 2880),
    ],
)
def test_times_are_slurms(text: str, expected: int) -> None:
    assert minutes(text) == expected


def test_values_with_commas_stand_in_quotes() -> None:
    found = read_settings(
        ['partition="a,b",gpus=1,setup="module load x, y"', "setup='export A=1',time=4:00:00,mem=16G"]
    )
    assert (found.partition, found.gpus, found.time, found.mem) == ("a,b", 1, 240, "16G")
    assert found.setup == ("module load x, y", "export A=1")
    assert found.parameters()["gpus_per_node"] == 1
    assert "gpus_per_node" not in read_settings(["partition=a"]).parameters()


@pytest.mark.parametrize(
    ("texts", "message"),
    [
        ([], "needs a partition"),
        (["partition="], "needs a partition"),
        (["partition=a,gpu=1"], "Did you mean 'gpus'"),
        (["partition=a,time=soon"], "--slurm time=soon: a time is written as minutes, H:M:S or D-H:M:S, such as"),
        (["partition=a,cpus=0"], "--slurm cpus=0"),
        (["partition=a,mem=1X"], "--slurm mem=1X: a size is written as a whole number of MB, or with K, M, G or T"),
        (["partition=a,setup=module load x, y"], "put a value that has commas in quotes"),
        (["partition=a,setup='x"], "No closing quotation"),
        (["partition=a,partition=b"], "given twice"),
        (["partition=a,time=1"], "a job of 1 min would be told at its start"),
        (["partition=a,time=2,warn=120"], "--slurm warn=120"),
    ],
)
def test_other_settings_are_refused(texts: list[str], message: str) -> None:
    with pytest.raises(UsageError, match=message.replace("(", r"\(")):
        read_settings(texts)


@pytest.fixture
def refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Callable[..., str]:
    """Standard error of a command that is refused, where SLURM's commands are those of ``commands``."""

    def run(*arguments: str, commands: dict[str, str] | None = None, code: int = 2) -> str:
        place = tmp_path / "bin"
        place.mkdir()
        for name, body in (commands or {}).items():
            (place / name).write_text(f"#!/bin/sh\necho {name} $* >> {tmp_path}/asked\n{body}\n")
            (place / name).chmod(0o755)
        monkeypatch.setenv("PATH", f"{place}:/usr/bin-of-nobody:/bin-of-nobody")
        monkeypatch.chdir(tmp_path)
        with pytest.raises(SystemExit) as stop:
            main([*DEMO, *arguments])
        assert stop.value.code == code
        submitted = [call for call in asked(tmp_path) if call.startswith("sbatch") and "--test-only" not in call]
        assert code == 1 or not submitted
        return capsys.readouterr().err

    return run


def asked(folder: Path) -> list[str]:
    """The commands of SLURM that were called, with their words."""
    return (folder / "asked").read_text().splitlines() if (folder / "asked").exists() else []


THERE = {
    "sbatch": "exit 1",
    "squeue": "exit 0",
    "scancel": "exit 0",
    "sinfo": 'case "$*" in *%c*) echo 2 CPUs, 16000 MB, "(null)", infinite;; *) echo main; echo long;; esac',
    "srun": "echo seen",
}


def test_without_slurm_nothing_is_submitted(refused: Callable[..., str]) -> None:
    assert "there is no 'sbatch' here" in refused("--slurm", "partition=main")


def test_an_unknown_partition_is_refused(refused: Callable[..., str]) -> None:
    err = refused("--slurm", "partition=mian", commands=THERE)
    assert "unknown partition 'mian'. Did you mean 'main'?" in err


def sbatch_without(words: str) -> str:
    """``sbatch`` of a cluster that has no place for jobs with such words."""
    said = "allocation failure: Requested node configuration is not available"
    return f'case "$*" in *{words}*) echo {said} >&2; exit 1;; esac'


def test_jobs_that_no_node_is_large_enough_for_are_refused(refused: Callable[..., str]) -> None:
    words = {**THERE, "sbatch": sbatch_without("--cpus-per-task=64")}
    err = refused("--slurm", "partition=main,cpus=64", commands=words)
    assert "SLURM has no place for such jobs (Requested node configuration is not available)" in err
    assert "Nodes of main by processors, memory, other resources and time limit: 2 CPUs, 16000 MB" in err


def test_where_all_nodes_are_down_that_is_said_and_no_reason_to_refuse(refused: Callable[..., str]) -> None:
    words = {**THERE, "sbatch": sbatch_without("--test-only"), "srun": "echo unseen"}
    err = refused("--slurm", "partition=main,cpus=64", commands=words)
    assert "Whether there are nodes for such jobs could not be asked (Requested node configuration" in err
    assert "do not see this results folder" in err


def test_a_results_folder_that_nodes_do_not_see_is_refused(refused: Callable[..., str]) -> None:
    err = refused("--slurm", "partition=main", commands={**THERE, "srun": "echo unseen"})
    assert "the nodes of partition main do not see this results folder" in err


def test_jobs_that_slurm_refuses_leave_nothing(refused: Callable[..., str], tmp_path: Path) -> None:
    words = {**THERE, "sbatch": 'case "$*" in *--test-only*) ;; *) echo not you >&2; exit 1;; esac'}
    assert "SLURM refuses the jobs: " in refused("--slurm", "partition=main", commands=words, code=1)
    assert not list((tmp_path / "results" / ".jobs").iterdir())


def test_without_submitit_nothing_is_submitted(refused: Callable[..., str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "submitit", None)
    assert "pip install 'avbench[cluster]'" in refused("--slurm", "partition=main", commands=THERE)


def test_settings_of_jobs_are_for_jobs(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["run", "--method", "ale", "--track", "ucf/demo", "--slurm", "partition=main"])
    assert "add --executor slurm" in capsys.readouterr().err
