"""`avbench tune`, what `avbench run` makes of the file it writes, and `avbench run --stage 1`."""

from __future__ import annotations

import json
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from avbench.harness.cli import main
from avbench.harness.records.record import RunRecord, parse_record
from avbench.harness.records.results import ResultsFolder
from avbench.harness.records.verification import check
from avbench.leaderboard.frame import results_frame
from avbench.leaderboard.tables import summary_table

DEMO = ["--track", "ucf/demo", "-p", "epochs=2", "-p", "batches_per_epoch=2", "--device", "cpu"]


@pytest.fixture(autouse=True)
def own_place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AVBENCH_HOME", str(tmp_path / "home"))
    monkeypatch.chdir(tmp_path)


def said(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str, str]:
    """Exit code, standard output and standard error of a command."""
    code = 0
    try:
        main(arguments)
    except SystemExit as stop:
        code = int(stop.code or 0)
    captured = capsys.readouterr()
    return code, captured.out, captured.err


def test_from_a_search_to_a_run_that_says_where_its_options_come_from(capsys: pytest.CaptureFixture[str]) -> None:
    space = ["--space", "learning_rate=log:1e-3..1e-1", "--space", "output=visual,null"]
    command = ["tune", "avca", *DEMO, *space, "--trials", "4", "--seeds", "2", "--plots"]
    code, out, err = said(capsys, *command)
    assert code == 0, err
    assert "4 trials (4 done)" in out
    assert "0 (preset)" in out
    assert "simulated features: says nothing about real data" in out
    assert err.count("trial ") == 4
    assert not list(Path("results").rglob("*.json")), "nothing is on the board"
    assert "importance of the options: told from 20 finished trials on" in out
    plots = [path.name for path in sorted(Path("results", "tune").glob("*.svg"))]
    assert [name.rpartition("-")[2] for name in plots] == ["history.svg", "slice.svg"]

    code, out, err = said(capsys, *command, "--json")
    found = json.loads(out)
    assert "4 of 4 trials are done already" in err
    assert found["counts"] == {"done": 4, "pruned": 0, "failed": 0}
    config = found["config"]
    assert tomllib.loads(Path(config).read_text())["tuned"]["study"] == found["study"]

    code, out, _ = said(capsys, "run", "--config", config, "--json", "--device", "cpu")
    assert code == 0
    (record,) = [parse_record(data, "printed") for data in json.loads(out)]
    best = found["trials"][found["best"]]
    for name, value in found["options"].items():
        assert record.configuration.options[name] == value
    assert record.outcome is not None
    assert best["scores"][0]["HM"] == record.outcome.validation[record.outcome.epochs - 1].HM
    assert record.tuned is not None
    assert (record.tuned.study, record.tuned.trials, record.tuned.value) == (found["study"], 4, best["value"])
    assert check(record, ResultsFolder(Path("results"))) == []
    assert "tuned, 4 trials" in results_frame([record])["marks"][0]
    assert "[tuned, 4 trials]" in summary_table([record], [], lambda _: {})

    code, out, _ = said(capsys, "run", "--config", config, "-p", "learning_rate=0.5", "-p", "epochs=1", "--json")
    assert code == 0
    assert json.loads(out)[0]["tuned"] is None, "no trial had this rate"

    code, out, _ = said(capsys, "run", "--config", config, "--method", "ale", "--dry-run")
    assert code == 2, "options of another method"


def test_a_record_of_before_says_nothing_of_a_study_and_one_of_another_method_is_not_believed(
    capsys: pytest.CaptureFixture[str],
) -> None:
    tuned = {
        "method": "sje",
        "study": "s",
        "study_hash": "0" * 64,
        "tracks": ["ucf/demo"],
        "options": {},
        "trials": 3,
        "objective": "validation HM",
        "value": 12.5,
    }
    lines = [f"{name} = {json.dumps(value)}" for name, value in tuned.items()]
    Path("tuned.toml").write_text(
        "\n".join(['method = "ale"', 'dataset = "ucf"', 'features = "demo"', "[tuned]", *lines])
    )
    code, out, _ = said(
        capsys, "run", "--config", "tuned.toml", "-p", "epochs=1", "-p", "batches_per_epoch=1", "--json"
    )
    assert code == 0
    (data,) = json.loads(out)
    assert data.pop("tuned") is None
    assert RunRecord.model_validate(data).tuned is None

    Path("bad.toml").write_text("[tuned]\nstudy = 3\n")
    code, _, err = said(capsys, "run", "--config", "bad.toml")
    assert code == 2
    assert "bad.toml: tuned." in err
    assert "'avbench tune' writes this table" in err


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        (["avac"], "Did you mean 'avca'?"),
        (["ale", "--space", "learning_rat=1..2"], "Did you mean 'learning_rate'?"),
        (["ale", "--space", "learning_rate=1..20"], "less than or equal to 10"),
        (["ale", "-p", "margin=0.1,0.2"], "search them with --space margin=A,B"),
        (["ale", "-p", "magin=0.1"], "Did you mean 'margin'?"),
        (["ale", "--variant", "none"], "variant"),
        (["ale", "--protocol", "aligend"], "Did you mean 'aligned'?"),
        (["ale", "--track", "ucf"], "write DATASET/FEATURES"),
        (["ale", "--track", "ufc/demo"], "Did you mean 'ucf'?"),
        (["ale", "--track", "ucf/mian"], "unknown feature set 'mian'"),
        (["ale", "--sampler", "grid", "--space", "margin=0.1..0.2"], "no end of values"),
        (["ale", "--study", "../x"], "a name is at most"),
        (["ale", "--track", "ucf/demo-temporal"], "reads averaged features"),
    ],
)
def test_bad_input_is_refused_before_anything_runs(
    arguments: list[str], reason: str, capsys: pytest.CaptureFixture[str]
) -> None:
    code, out, err = said(capsys, "tune", *arguments, *DEMO)
    assert (code, out) == (2, "")
    assert reason in err
    assert not list(Path().rglob("*.db"))


def test_a_search_needs_a_track(capsys: pytest.CaptureFixture[str]) -> None:
    code, _, err = said(capsys, "tune", "ale")
    assert code == 2
    assert "--track ucf/demo" in err


def test_without_optuna_it_says_what_to_install(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "optuna", None)
    code, _, err = said(capsys, "tune", "ale", *DEMO)
    assert code == 2
    assert "pip install 'avbench[tune]'" in err


def test_one_try_of_stage_1_is_printed_and_stored_nowhere(capsys: pytest.CaptureFixture[str]) -> None:
    run = [
        "run",
        "--method",
        "ale",
        "--dataset",
        "ucf",
        "--features",
        "demo",
        "-p",
        "epochs=2",
        "-p",
        "batches_per_epoch=2",
    ]
    code, out, _ = said(capsys, *run, "--stage", "1", "--json")
    assert code == 0
    (row,) = json.loads(out)
    assert not Path("results").exists()
    code, text, _ = said(capsys, *run, "--stage", "1")
    assert f"{row['val_HM']:.2f}" in text
    assert "not stored" in text
    _, out, _ = said(capsys, *run, "--json")
    (record,) = json.loads(out)
    chosen = record["outcome"]["validation"][record["outcome"]["epochs"] - 1]
    assert (row["val_HM"], row["offset"]) == (chosen["HM"], record["outcome"]["offset"])
    code, _, err = said(capsys, *run, "--stage", "1", "--jobs", "2")
    assert code == 2
    assert "leave out --jobs" in err


@pytest.mark.slow
def test_jobs_share_the_trials(capsys: pytest.CaptureFixture[str]) -> None:
    code, out, err = said(
        capsys, "tune", "ale", *DEMO, "--space", "margin=0.1,0.2,0.3", "--sampler", "grid", "--jobs", "2"
    )
    assert code == 0, err
    assert "3 trials (3 done)" in out
    assert err.count("validation HM") >= 3


def test_help_loads_neither_torch_nor_optuna_nor_pandas() -> None:
    code = (
        "import sys; from avbench.harness.cli import cli\n"
        "for name in ('tune', 'run'): cli.main([name, '--help'], standalone_mode=False)\n"
        "sys.exit(', '.join({'torch', 'optuna', 'pandas', 'sqlalchemy', 'scipy'} & set(sys.modules)) or 0)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
