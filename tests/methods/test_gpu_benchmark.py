"""The script for a GPU measures all its parts, here on a CPU and tiny; what it prints of one is read back."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
import torch

sys.path.append(str(Path(__file__).parents[2] / "benchmarks"))

import on_a_gpu
from figures import Report, as_tables
from on_a_gpu import MANY, ONE, TINY, EpochClock, parts

from avbench.harness.evaluation.two_stages import Epoch, EpochDone


def test_a_part_prints_figures_that_become_markdown(capsys: pytest.CaptureFixture[str]) -> None:
    on_a_gpu.main(["--device", "cpu", "--tiny", "--part", "steps of all methods"])
    figures = Report.model_validate_json(capsys.readouterr().out).figures
    found = {(f.case, f.quantity) for f in figures if f.value > 0}
    assert found == {("sje", ONE), ("sje", f"2 {MANY}"), ("sje", "alone / in one step"), ("mdii", ONE)}
    assert "| sje  |" in as_tables(figures, "github")


def test_whole_runs_are_measured_alone_and_in_one_step() -> None:
    every = parts(TINY, torch.device("cpu"))
    for name, case in (("one whole run", "1 seed"), ("seeds, whole runs", "2 seeds")):
        values = {f.quantity: f.value for f in every[name]() if f.case == case}
        assert values["epochs of the longest"] == 2
        assert values["s"] >= values["s without"] > 0


def test_beginnings_are_what_first_epochs_take_beyond_the_others() -> None:
    clock = EpochClock()
    times = [(1, 30.0), (1, 32.0), (1, 34.0), (2, 50.0), (2, 52.0)]
    clock.start, clock.ends = 0.0, times
    assert clock.beginnings == (30 - 2) + (16 - 2)
    clock.ends = []
    clock(EpochDone(1, 1, 1, Epoch(0, 0, 0, 0)))
    assert clock.beginnings == 0, "of one epoch nothing can be told"


def test_what_fails_is_named_and_costs_no_other_part(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without a process of its own for each: what it would print is given."""
    printed = iter(["", Report(machine=on_a_gpu.Machine.here(torch.device("cpu")), figures=()).model_dump_json()])

    def run(command: list[str], **_: object) -> object:
        import subprocess

        if "pytest" in command:
            return subprocess.CompletedProcess(command, 0, "1 passed in 1s\n", "")
        if out := next(printed):
            return subprocess.CompletedProcess(command, 0, out + "\n", "")
        raise subprocess.CalledProcessError(1, command, "", "Traceback\nRuntimeError: no luck")

    monkeypatch.setattr(on_a_gpu.subprocess, "run", run)
    one = parts(TINY, torch.device("cpu"))
    monkeypatch.setattr(on_a_gpu, "parts", lambda *_: dict(list(one.items())[:2]))
    arguments = on_a_gpu.argparse.Namespace(device="cpu", minutes=1.0, tiny=True)
    *_, tests, _, last = on_a_gpu.all_parts(arguments, TINY, torch.device("cpu"))
    assert tests == "`pytest -m cuda`: 1 passed in 1s"
    assert last == "Not measured: steps of all methods (RuntimeError: no luck)."
