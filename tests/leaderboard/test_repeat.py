"""The command that a run's page gives repeats the run: same identity, same place beside the paper's row, same bits."""

from __future__ import annotations

import json
import shlex
from pathlib import Path
from typing import Any

import pytest
from simulated_results import OPTIONS, simulated_run

from avbench.harness.cli import main
from avbench.harness.plugins.registry import plugins
from avbench.harness.records.record import RunRecord
from avbench.harness.records.results import ResultsFolder
from avbench.harness.tracks import Track
from avbench.leaderboard.site.text import repeat_command

SMALL = ["-p", "epochs=1", "-p", "batches_per_epoch=2", "-p", "batch_size=16"]
DEMO = ["run", "--dataset", "ucf", "--features", "demo", "--device", "cpu", *SMALL]


def words(record: RunRecord) -> list[str]:
    threads, program, *arguments = shlex.split(repeat_command(record))
    assert threads == f"OMP_NUM_THREADS={record.environment.threads}"
    assert program == "avbench"
    return arguments


def records(folder: Path) -> list[RunRecord]:
    found = list(ResultsFolder(folder).records())
    assert all(isinstance(record, RunRecord) for record in found)
    return [record for record in found if isinstance(record, RunRecord)]


@pytest.mark.parametrize(
    "arguments",
    [
        ["--method", "ale", "--seed", "3"],
        ["--method", "avca", "--variant", "loss=-l_r", "--protocol", "as-published", "-p", "dropout_encoder=0.5"],
        ["--method", "ale", "--precision", "bfloat16", "--feature-dtype", "float16"],
    ],
    ids=["preset", "variant", "numerics"],
)
def test_a_repeated_run_is_the_same_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], arguments: list[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("AVBENCH_HOME", str(tmp_path / "home"))
    main([*DEMO, *arguments])
    (first,) = records(tmp_path / "results")
    capsys.readouterr()
    main([*words(first), "--dry-run", "--json"])
    (row,) = json.loads(capsys.readouterr().out)
    assert (row["identity"], row["state"]) == (first.identity, "repeated")
    main([*words(first), "--results", "again"])
    (second,) = records(tmp_path / "again")
    assert (second.identity, second.variant, second.outcome) == (first.identity, first.variant, first.outcome)


def test_of_what_is_not_installed_every_option_and_the_variant_are_given() -> None:
    options: dict[str, Any] = {**OPTIONS, "text": "a,b", "sizes": [1, 2]}
    record, _ = simulated_run("stranger", Track("ucf", "main"), options=options, variant="small, fast")
    given = words(record)
    assert given[given.index("--variant") + 1] == "small, fast"
    assert 'text="a,b"' in given
    assert "sizes=[1,2]" in given
    assert "stranger" not in plugins().methods


@pytest.mark.parametrize(
    ("device", "compiled", "given"),
    [
        ("cpu (one)", False, ["--device", "cpu"]),
        ("cpu (one)", True, ["--compile", "on", "--device", "cpu"]),
        ("cuda (one)", False, ["--compile", "off", "--device", "cuda"]),
        ("cuda (one)", True, ["--compile", "on", "--device", "cuda"]),
    ],
)
def test_a_run_is_compiled_where_it_was(device: str, compiled: bool, given: list[str]) -> None:
    """Left to itself a run on a GPU might be compiled where it was not."""
    record, _ = simulated_run("avca", Track("ucf", "main"))
    where = record.environment.model_copy(update={"device": device})
    how = record.measured.model_copy(update={"compiled": compiled})
    found = words(record.model_copy(update={"environment": where, "measured": how}))
    assert found[found.index("--device") + 2 - len(given) :] == [*given, "--fresh"]


def test_a_variant_that_is_no_more_is_given_by_its_options() -> None:
    options = plugins().method("avca").method.Options.effective(Track("ucf", "main"), "aligned").model_dump(mode="json")
    record, _ = simulated_run("avca", Track("ucf", "main"), options={**options, "epochs": 2}, variant="gone")
    assert "--variant" not in words(record)
    assert "epochs=2" in words(record)
