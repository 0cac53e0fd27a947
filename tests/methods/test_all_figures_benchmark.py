"""The benchmark command: what it measures, its tables, and how reports are saved and compared."""

from __future__ import annotations

import runpy
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import torch

from avbench.harness.evaluation.peak_memory import peak_memory_bytes
from avbench.harness.running.environment import forget_peak_memory

if TYPE_CHECKING:
    from figures import Figure, Report

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"
CPU = torch.device("cpu")


@pytest.fixture(autouse=True)
def _importable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(BENCHMARKS))


def command(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    parts = [sys.executable, BENCHMARKS, "--quick", "--threads", "1", *arguments]
    return subprocess.run(parts, capture_output=True, text=True, check=False)


def report(cores: int = 2, **values: float) -> Report:
    """Figures of one table; ``speed`` is better when higher, ``share`` is not compared."""
    from figures import Figure, Machine, Report

    better = {"speed": "higher", "share": None}
    machine = Machine.here(CPU).model_copy(update={"cores": cores})
    figures = [
        Figure(table="t", case="c", quantity=name, value=value, better=better.get(name, "lower"))
        for name, value in values.items()
    ]
    return Report(machine=machine, figures=tuple(figures))


def values(figures: list[Figure]) -> dict[tuple[str, str], float]:
    return {(f.case, f.quantity): f.value for f in figures}


def test_steps_are_saved_and_compared(tmp_path: Path) -> None:
    from figures import Report

    saved = tmp_path / "before.json"
    first = command("--part", "steps", "--method", "sje", "--save", saved)
    assert first.returncode == 0, first.stderr
    assert "sje" in first.stdout
    old = Report.load(saved)
    assert {f.case for f in old.figures} == {"sje"}
    found = values(list(old.figures))
    assert found["sje", "step / products"] == pytest.approx(found["sje", "step ms"] / found["sje", "products ms"])

    fast = [f.model_copy(update={"value": f.value / 1e6}) for f in old.figures]
    old.model_copy(update={"figures": tuple(fast)}).save(saved)
    again = command("--part", "steps", "--method", "sje", "--compare", saved, "--fail-above", "2")
    assert again.returncode == 1
    assert "new/old cost" in again.stdout
    assert "machines differ" not in again.stdout


def test_the_products_of_one_step_are_counted_and_nothing_else() -> None:
    from step_timing import batch_method, measure, ucf_options

    kind, batch = batch_method("sje"), 16
    assert kind is not None
    row = measure("sje", kind, ucf_options(kind, batch_size=batch), 1, 1, torch.device("cpu"))
    # Multiply-adds per clip: the map of 1024 features to 300, and its products with 30 label vectors. Backward, once
    # more each: nothing flows into features and label vectors.
    assert row.gflop == pytest.approx(2 * batch * 2 * (1024 * 300 + 300 * 30) / 1e9)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--method", "avac"], "Did you mean 'avca'"),
        (["--fail-above", "2"], "needs --compare"),
        (["--compare", "nowhere.json"], "nowhere.json"),
    ],
)
def test_wrong_usage_is_explained(
    arguments: list[str], message: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", ["benchmarks", "--quick", *arguments])
    with pytest.raises(SystemExit) as end:
        runpy.run_path(str(BENCHMARKS), run_name="__main__")
    assert end.value.code == 2
    assert message in capsys.readouterr().err


def test_costs_are_compared_in_the_direction_that_is_worse() -> None:
    from figures import changes

    old, new = report(time=10, speed=10, share=10, gone=1), report(time=20, speed=20, share=20, fresh=1)
    assert {c.figure.quantity: c.cost for c in changes(new, old)} == {"time": 2, "speed": 0.5}


def test_a_comparison_tells_of_other_machines_and_of_new_figures() -> None:
    from figures import comparison

    same = comparison(report(time=1), report(time=1))
    assert "differ" not in same
    assert "counterpart" not in same
    other = comparison(report(time=1, more=1), report(cores=64, time=1))
    assert "machines differ" in other
    assert "cores: 64" in other
    assert "1 new figures have no counterpart" in other


def test_a_table_has_a_line_per_case_and_a_column_per_quantity() -> None:
    from figures import as_tables

    lines = as_tables(report(time=1.5, share=0.25).figures).splitlines()
    assert lines[0] == "t"
    assert lines[2].split() == ["time", "share"]
    assert lines[4].split() == ["c", "1.5", "0.25"]


@pytest.mark.parametrize("power", [0, 1, 2])
def test_the_exponent_of_a_power_is_found(power: int) -> None:
    from growth import exponent, last_exponent

    costs = {n: 3.0 * n**power for n in (5, 50, 700)}
    assert exponent(costs) == pytest.approx(power, abs=1e-9)
    assert last_exponent({1: 1e6, **costs}) == pytest.approx(power, abs=1e-9)


def test_a_run_is_measured_in_a_fresh_process() -> None:
    from run_costs import run_cost

    cost = run_cost("sje", epochs=1, batches=1, device="cpu", threads=1)
    assert cost.epochs == 2  # one in each stage
    assert cost.seconds > 0
    assert 0 < cost.added_mb < cost.peak_mb


def test_the_peak_can_be_forgotten() -> None:
    torch.zeros(50_000_000)  # 200 MB, freed at once
    high = peak_memory_bytes(CPU)
    forget_peak_memory(CPU)
    assert peak_memory_bytes(CPU) < high - 100e6


def test_steps_and_evaluation_grow_with_what_is_named() -> None:
    from scaling import Sizes, evaluation_growth, step_growth

    sizes = Sizes(classes=(20, 40), clips=(300, 600), repetitions=1, steps=1)
    steps, evaluation = list(step_growth("sje", sizes, CPU)), list(evaluation_growth(sizes, CPU))
    for figures, prefix in ((steps, "sje, "), (evaluation, "")):
        cases = list(dict.fromkeys(f.case for f in figures))
        sized = [
            f"{prefix}{size} {noun}" for noun, pair in (("classes", (20, 40)), ("clips", (300, 600))) for size in pair
        ]
        assert set(cases) == {*sized, f"{prefix}growth"}
        assert all(f.value > 0 for f in figures if f.better)


def test_memory_is_what_a_call_adds_at_its_peak() -> None:
    from costs import cost

    found = cost(lambda: torch.ones(25_000_000), 2, CPU)
    assert 80 < found.mb < 130  # 100 MB, freed in between


def test_the_statistics_of_a_board_are_measured_by_seeds_and_classes() -> None:
    from scaling import Sizes, board_growth

    figures = list(board_growth(Sizes(classes=(20, 40), seeds=(1, 3, 5), repetitions=1)))
    cases = {(f.table.split(" ")[0], f.case) for f in figures}
    assert {("A", "1 seeds"), ("Ranks", "3 seeds"), ("Ranks", "40 classes"), ("Ranks", "growth")} <= cases
    assert ("Ranks", "1 seeds") not in cases, "too few seeds are not tested"


def test_seeds_and_jobs_are_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    """With a stand-in for the command, whose time is what the seeds take when the jobs share them perfectly."""
    import scaling
    from costs import Cost

    def taken(method: str, *, seeds: int, jobs: int, **_: object) -> Cost:
        return Cost(seeds / jobs, 300)

    monkeypatch.setattr(scaling, "command_cost", taken)
    sizes = scaling.Sizes(seeds=(1, 4), job_seeds=4)
    by_seeds, by_jobs = (
        values(list(scaling.seed_growth("sje", sizes, CPU))),
        values(list(scaling.job_growth("sje", sizes, repeat=1))),
    )
    assert by_seeds["sje, growth", "s, exponent"] == pytest.approx(1)
    assert by_seeds["sje, growth", "peak MB, exponent"] == pytest.approx(0)
    assert by_jobs["sje, 2 jobs", "s"] == 2
    assert by_jobs["sje, 2 jobs", "speed-up over 1 job, 1 thread"] == 2


def test_the_command_itself_can_be_timed() -> None:
    from run_costs import command_cost

    found = command_cost("sje", seeds=1, jobs=1, epochs=1, batches=1, device="cpu", threads=1)
    assert found.time > 0
    assert found.mb > 100, "torch alone takes more"


@pytest.mark.cuda
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
def test_kernels_of_a_step_are_counted() -> None:
    from launches import launches
    from step_timing import batch_method, ucf_options

    kind = batch_method("sje")
    assert kind is not None
    found = launches(kind, ucf_options(kind), torch.device("cuda"))
    assert found.kernels > 5
    assert 0 < found.kernels_ms < found.step_ms
