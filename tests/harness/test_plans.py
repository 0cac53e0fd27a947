"""Plans from files: grids, excludes, what they will take; and many devices."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from simulated_results import simulated_run, store

from avbench.harness.cli import main
from avbench.harness.cli.dry_run import in_words
from avbench.harness.errors import UsageError
from avbench.harness.records.planned import PlannedRun
from avbench.harness.records.record import Measured, RunRecord
from avbench.harness.running.estimates import Estimates
from avbench.harness.running.jobs import choose_devices, execute_all
from avbench.harness.running.runs import plan
from avbench.harness.running.shared import SharedWork
from avbench.harness.tracks import Track

Call = Callable[..., tuple[int, list[dict[str, Any]], str]]

PLAN = """\
methods = ["ale", "sje"]
tracks = ["ucf/demo", "activitynet/demo"]
protocols = ["aligned", "as-published"]
seeds = 2

[options]
batches_per_epoch = 3

[grid]
epochs = [1, 2]
"""


@pytest.fixture
def planned(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Call:
    """A plan file's dry run: exit code, planned runs, standard error."""
    monkeypatch.setenv("AVBENCH_HOME", str(tmp_path / "home"))
    monkeypatch.chdir(tmp_path)

    def run(text: str, *arguments: str) -> tuple[int, list[dict[str, Any]], str]:
        Path("plan.toml").write_text(text)
        code = 0
        try:
            main(["run", "--plan", "plan.toml", "--dry-run", "--json", *arguments])
        except SystemExit as stop:
            code = int(stop.code or 0)
        captured = capsys.readouterr()
        return code, json.loads(captured.out or "[]"), captured.err

    return run


def test_a_plan_is_a_grid(planned: Call) -> None:
    code, rows, err = planned(PLAN)
    assert code == 0, err
    assert len(rows) == 2 * 2 * 2 * 2 * 2
    assert "2 values (epochs=1, epochs=2)" in err
    assert "To do: 32 runs, time unknown" in err
    same = [f"--{name}={value}" for name, value in (("method", "ale"), ("track", "ucf/demo"))]
    _, fewer, _ = planned("", *same, "-p", "epochs=1,2", "-p", "batches_per_epoch=3")
    assert {row["identity"] for row in fewer} <= {row["identity"] for row in rows}


def test_what_is_excluded_is_left_out(planned: Call) -> None:
    text = f"""{PLAN}
[[exclude]]
method = "sje"
protocol = "as-published"

[[exclude]]
track = "activitynet/demo"
seed = [0, 1]
options.epochs = 2
"""
    code, rows, err = planned(text)
    assert code == 0, err
    names = [row["run"] for row in rows]
    assert len(names) == 32 - 8 - 6
    assert not [name for name in names if "sje" in name and "as-published" in name]
    assert not [name for name in names if "activitynet" in name and "epochs=2" in name]
    assert "Left out by the file: 14 of 32 runs." in err


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("method = [", "not readable as TOML"),
        (PLAN.replace("seeds", "\nseedz"), "plan.toml, line 5 'seedz'. Did you mean 'seed"),
        (PLAN.replace("[1, 2]", "1"), "plan.toml, line 10: grid.epochs is 1; a list of values is expected"),
        (PLAN.replace("[1, 2]", "[]"), "grid.epochs is []"),
        (PLAN.replace("epochs =", "batches_per_epoch ="), "grid.batches_per_epoch stands under options too"),
        (PLAN.replace("2\n", "[2]\n", 1), "plan.toml, line 4: seeds is a list; one value is expected"),
        (f'method = "ale"\n{PLAN}', "plan.toml, line 2: methods stands there twice, as method too"),
        (PLAN.replace('"sje"', '"sye"'), "unknown method 'sye'. Did you mean 'sje'"),
        (PLAN.replace("ucf/demo", "ucf"), "is no track"),
        (PLAN.replace("ucf/demo", "ucf/dmo"), "Did you mean 'demo'"),
        ("exclude = 1\n" + PLAN, "write tables: [[exclude]]"),
        (f'{PLAN}[[exclude]]\nmethd = "ale"', "plan.toml, line 11: exclude 1 'methd'. Did you mean 'method'"),
        (f'{PLAN}[[exclude]]\nmethod = "avca"', "unknown value of method in plan.toml, line 11: exclude 1 'avca'"),
        (f"{PLAN}[[exclude]]\noptions.epoch = 1", "Did you mean 'epochs'"),
        (f"{PLAN}[[exclude]]\n", "name fields"),
        (f'{PLAN}[[exclude]]\nmethod = ["ale", "sje"]', "nothing of the plan is left"),
    ],
)
def test_a_plan_of_another_form_is_refused_by_key_and_line(planned: Call, text: str, message: str) -> None:
    code, rows, err = planned(text)
    assert (code, rows) == (2, []), err
    assert message in err


def test_a_track_is_both_data_set_and_features(planned: Call) -> None:
    code, _, err = planned(PLAN, "--features", "demo")
    assert code == 2
    assert "either --track, or --dataset and --features" in err


@pytest.fixture
def runs(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> list[PlannedRun]:
    """Runs of ALE of different length."""
    monkeypatch.setenv("AVBENCH_HOME", str(tmp_path / "home"))
    return [
        plan(["ale"], [Track("ucf", "demo")], ["aligned"], [0], {"epochs": epochs, "batches_per_epoch": 2})[0]
        for epochs in (1, 4, 2)
    ]


def done_by(
    device: str, method: str = "ale", *, seconds: tuple[float, ...], epochs: int
) -> list[tuple[RunRecord, bytes]]:
    found = []
    for seed, took in enumerate(seconds):
        options = {"epochs": epochs, "batches_per_epoch": 10}
        record, evidence = simulated_run(method, Track("ucf", "demo"), seed=seed, options=options, clips=4)
        where = record.environment.model_copy(update={"device": device})
        measured = Measured(started="2024-05-01T12:00:00Z", seconds=took)
        found.append((record.model_copy(update={"environment": where, "measured": measured}), evidence))
    return found


def test_estimates_are_medians_scaled_by_the_budget(tmp_path: Path, runs: list[PlannedRun]) -> None:
    """By hand: 10, 20 and 90 s for 5 x 10 batches make 0.4 s a batch."""
    folder = store(
        tmp_path / "results",
        [
            *done_by("cuda (A)", seconds=(10.0, 20.0, 90.0), epochs=5),
            *done_by("cpu (B)", "sje", seconds=(1.0,), epochs=5),
        ],
    )
    estimates = Estimates.of(folder)
    assert [estimates.seconds(run, "cuda (A)") for run in runs] == pytest.approx([0.8, 3.2, 1.6])
    assert estimates.seconds(runs[0], "cuda (another)") == pytest.approx(0.8)
    assert estimates.seconds(runs[0], "cuda") == pytest.approx(0.8)
    assert estimates.seconds(runs[0], "cpu (B)") is None
    assert estimates.longest_first(runs, "cuda") == [1, 2, 0]
    size = estimates.bytes(runs[0])
    files = [p.stat().st_size for p in folder.root.rglob("*") if p.is_file()]
    assert size is not None
    assert abs(size - sum(files) / 4) < 0.2 * size
    real = plan(["ale"], [Track("ucf", "demo")], ["aligned"], [0])[0]
    assert Estimates().seconds(real, "cpu") is None


def test_the_sum_of_a_plan_says_what_is_unknown() -> None:
    assert in_words([], [], 1) == "To do: nothing."
    assert in_words([None], [None], 1) == "To do: 1 run, time unknown: no earlier run tells, size unknown to store."
    assert in_words([30.0, 30.0, 30.0, None], [1e6, 1e6, 1e6, None], 2) == (
        "To do: 4 runs, about 90 s by earlier runs (60 s with 2 at once), without 1 of unknown time, "
        "more than 3.0 MB to store."
    )


def test_every_device_has_workers_and_the_longest_runs_begin_first(
    tmp_path: Path, runs: list[PlannedRun], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two devices that are both the processor."""
    folder = store(tmp_path / "results", done_by("cpu (B)", seconds=(10.0,), epochs=5))
    orders: list[list[int]] = []

    def shared(runs: Any, results: Any, before: Any, order: Any) -> SharedWork:
        orders.append(list(order))
        return SharedWork(runs, results, before, order)

    monkeypatch.setattr("avbench.harness.running.jobs.SharedWork", shared)
    cpu = torch.device("cpu")
    records = dict(execute_all(runs, folder, [cpu, cpu], 1, lambda index, done: None))
    assert sorted(records) == [0, 1, 2]
    assert all(record.finished for record in records.values())
    assert {record.measured.runs_at_once for record in records.values()} == {2}
    assert [set(order[:2]) for order in orders] == [{1, 2}]


def test_devices_are_named_one_by_one_in_a_list_or_all(monkeypatch: pytest.MonkeyPatch) -> None:
    assert choose_devices("cpu") == (torch.device("cpu"),)
    with pytest.raises(UsageError, match="no CUDA device" if not torch.cuda.is_available() else "twice"):
        choose_devices("cuda:0,0")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 3)
    cuda = [torch.device("cuda", number) for number in range(3)]
    assert choose_devices("all") == tuple(cuda)
    assert choose_devices("cuda:2,0") == (cuda[2], cuda[0])
    assert choose_devices("cuda:1,cuda:2") == (cuda[1], cuda[2])
    for name, message in (("cuda:1,1", "twice"), ("cuda:1,5", "there is no cuda:5"), ("cuda:0,", "unknown device")):
        with pytest.raises(UsageError, match=message):
            choose_devices(name)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 0)
    with pytest.raises(UsageError, match="no CUDA device"):
        choose_devices("all")
