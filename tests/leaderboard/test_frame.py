"""The one frame of results, its files, and when pandas loads."""

from __future__ import annotations

import csv
import io
import json
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest
from simulated_results import OPTIONS, TRACKS, altered, configuration_of, reconfigured, record_of, simulated_run, store

from avbench.harness.errors import UsageError
from avbench.harness.records.record import RunRecord
from avbench.harness.records.results import ResultsFolder
from avbench.harness.records.summary import summary
from avbench.harness.tracks import Track
from avbench.leaderboard.frame import (
    COLUMNS,
    FEW_SEEDS,
    csv_text,
    folder_frame,
    json_text,
    results_frame,
    rows_frame,
)
from avbench.leaderboard.labels import LABEL_LIMIT, cut

UCF = TRACKS[0]


def run(*arguments: object, **keywords: object) -> RunRecord:
    return simulated_run(*arguments, clips=2, **keywords)[0]  # type: ignore[arg-type]


def no_changes(record: RunRecord) -> dict[str, object]:
    return {}


def test_a_row_per_run_with_everything_a_record_says() -> None:
    record = run("avca", UCF, options={"other": 1}, warnings=["3 clips are missing"])
    failed = record_of(configuration_of("avca", UCF, "aligned", 1, options={"other": 1}))
    frame = results_frame([record, failed])
    assert list(frame.columns) == COLUMNS
    assert set(summary(record)) < set(COLUMNS)
    assert list(frame["status"]) == ["finished", "failed"]
    first = frame.iloc[0]
    assert record.outcome is not None
    assert first["HM"] == record.outcome.metrics.HM
    assert first["val_HM"] == max(epoch.HM for epoch in record.outcome.validation)
    assert json.loads(first["options"]) == record.configuration.options
    assert (first["seconds"], first["device"], first["torch"]) == (90.0, "cpu", "2.13.0")
    assert list(frame["marks"]) == [
        "incomplete features; features not verified; presets not known",
        "features not verified; presets not known",
    ]
    assert frame["group"].nunique() == 1
    assert pd.isna(frame["HM"].iloc[1])
    exported = list(csv.DictReader(io.StringIO(csv_text(frame))))
    assert [(row["epochs"], row["parameters"], row["HM"] != "") for row in exported] == [
        ("3", "1693220", True),
        ("", "", False),
    ]
    assert [row["epochs"] for row in json.loads(json_text(frame))] == [3, None]
    assert frame["failure"].iloc[1] == "ValueError: scores are NaN"


def test_a_history_shorter_than_the_chosen_epoch_costs_nothing() -> None:
    record = run("avca", UCF)
    assert record.outcome is not None
    short = record.model_copy(update={"outcome": record.outcome.model_copy(update={"epochs": 99})})
    assert pd.isna(results_frame([short])["val_HM"].iloc[0])


def test_no_runs_make_an_empty_frame_with_all_columns() -> None:
    frame = results_frame([])
    assert list(frame.columns) == COLUMNS
    assert frame.empty
    assert rows_frame(frame).empty
    assert csv_text(frame) == ""
    assert json_text(frame) == "[]"


def test_means_and_deviations_over_seeds_as_by_hand() -> None:
    records = [run("avca", UCF, "aligned", seed) for seed in (2, 0, 1)]
    (row,) = rows_frame(results_frame(records)).to_dict("records")
    for metric in ("S", "U", "HM", "ZSL", "AUSUC"):
        values = [getattr(r.outcome.metrics, metric) for r in records if r.outcome]
        mean = sum(values) / 3
        assert row[metric] == pytest.approx(mean, abs=1e-12)
        assert row[f"{metric}_deviation"] == pytest.approx((sum((v - mean) ** 2 for v in values) / 2) ** 0.5)
    assert (row["seeds"], row["seed"], row["seconds"]) == (3, 0, 91.0)


def test_rows_nobody_could_tell_apart_have_labels_of_their_own() -> None:
    long = {f"option_{n}": n for n in range(12)}
    rates = [run("ale", UCF, options={**OPTIONS, "weight_decay": rate}) for rate in (0.1, 0.2, 0.3)]
    code = reconfigured(rates[0], plugin=rates[0].configuration.plugin.model_copy(update={"source_hash": "f" * 64}))
    rows = rows_frame(
        results_frame([*rates, code], lambda r: {**long, "rate": r.configuration.options["weight_decay"]})
    )
    assert rows["label"].is_unique
    assert all(len(label) <= LABEL_LIMIT for label in rows["label"])
    assert sum("code ffffffff" in label for label in rows["label"]) == 1


def by(record: RunRecord, **plugin: str) -> RunRecord:
    return reconfigured(record, plugin=record.configuration.plugin.model_copy(update=plugin))


def test_labels_say_only_what_tells_rows_apart() -> None:
    """Case B5: versions, sources and learning rates, under names that were cut to sameness."""
    given = {**OPTIONS, "batches_per_epoch": 5, "epochs": 2, "learning_rate": 0.1}
    rates = [run("ale", UCF, options={**given, "learning_rate": rate}) for rate in (0.1, 0.2, 0.3)]
    other = run("ale", UCF, options={**given, "batch_size": 32})
    mine = [
        by(run("mine", UCF), distribution="mine", version=version, source_hash=code * 64)
        for version, code in (("1.0", "a"), ("1.1", "b"), ("1.1", "c"))
    ]

    def changes(record: RunRecord) -> dict[str, object]:
        return {} if record.configuration.method == "mine" else {"long": "x" * 50, **record.configuration.options}

    rows = rows_frame(results_frame([*rates, other, *mine], changes))
    assert rows["label"][3].startswith("ale (batch_size=32, ")
    assert [*rows["label"][:3], *rows["label"][4:]] == [
        "ale (learning_rate=0.1)",
        "ale (learning_rate=0.2)",
        "ale (learning_rate=0.3)",
        "mine 1.0",
        "mine 1.1 [code bbbbbbbb]",
        "mine 1.1 [code cccccccc]",
    ]


def test_names_too_long_to_read_are_cut_to_something_of_their_own() -> None:
    records = [run("ale", UCF, options={**OPTIONS, "weight_decay": rate}) for rate in (0.1, 0.2)]
    changes = {0.1: {"long": "v" * 400 + "a"}, 0.2: {"long": "v" * 400 + "b"}}
    frame = results_frame(records, lambda record: changes[record.configuration.options["weight_decay"]])
    names = list(rows_frame(frame)["label"])
    assert len(set(names)) == 2
    assert all(len(name) <= LABEL_LIMIT for name in names)
    assert cut("x" * 70 + "a", 64) != cut("x" * 70 + "b", 64)
    assert len(cut("x" * 71, 64)) == 64


def test_marks_of_a_row() -> None:
    """Case B5: seeds made with other versions or devices stood in one row, unmarked."""
    runs = [run("avca", UCF, "aligned", seed) for seed in range(3)]
    genuine = frozenset({(UCF, runs[0].configuration.feature_hash)})

    def marks(*records: RunRecord, **gate: tuple[str, ...]) -> str:
        (row,) = rows_frame(results_frame(records, no_changes, gate, genuine)).to_dict("records")
        return str(row["marks"])

    def elsewhere(**environment: str) -> RunRecord:
        return runs[2].model_copy(update={"environment": runs[2].environment.model_copy(update=environment)})

    assert marks(*runs) == ""
    assert marks(*runs[:2]) == FEW_SEEDS
    assert marks(*runs[:2], elsewhere(torch="2.4")) == "mixed versions"
    assert marks(*runs[:2], elsewhere(avbench="9")) == "mixed versions"
    assert marks(*runs[:2], elsewhere(device="cuda")) == "mixed devices"
    assert marks(*[r.model_copy(update={"simulated": True}) for r in runs]) == "simulated"
    assert marks(*runs, run("avca", UCF, "aligned", 4)) == "seeds not from 0 on"
    for met, told in {
        "the data set": "encoder saw the data set",
        "unseen classes": "encoder saw unseen classes",
        "neither": "",
        "not declared": "",
    }.items():
        assert marks(*[r.model_copy(update={"encoders_met": met}) for r in runs]) == told
    frame = results_frame(runs, lambda _: {"epochs": 2}, {runs[1].identity: ("identical to ale",)}, genuine)
    assert list(rows_frame(frame)["marks"]) == ["off preset; identical to ale"]
    assert list(rows_frame(results_frame(runs, no_changes))["marks"]) == ["features not verified"]


def test_a_published_name_belongs_to_the_published_method() -> None:
    """Case B6: a plugin with the name of a published method is called by its package."""
    rows = rows_frame(results_frame([by(run("tcaf", UCF), distribution="evil"), run("avca", UCF)], no_changes))
    assert list(rows["label"]) == ["tcaf of evil", "avca"]


def test_the_same_series_has_the_same_label_on_every_track() -> None:
    tracks = [UCF, TRACKS[1], Track("ucf", "cls")]
    rows = rows_frame(results_frame([run("avca", track) for track in tracks], no_changes))
    assert list(rows["label"]) == ["avca"] * 3


def test_a_folder_is_read_and_what_is_no_record_is_named(tmp_path: Path) -> None:
    store(tmp_path, [simulated_run("avca", UCF, clips=2)])
    (tmp_path / "broken.json").write_text("{}")
    with pytest.warns(UserWarning, match="left out: .*broken.json"):
        frame = folder_frame(ResultsFolder(tmp_path))
    assert list(frame["method"]) == ["avca"]
    with pytest.raises(UsageError, match="no results in"):
        folder_frame(ResultsFolder(tmp_path / "nothing"))


def test_a_folder_may_be_read_with_what_the_gate_says(tmp_path: Path) -> None:
    runs = [simulated_run("avca", UCF, clips=2, simulated=True, seed=seed) for seed in range(2)]
    record, evidence = runs[1]
    assert record.outcome is not None
    better = record.outcome.metrics.model_copy(update={"HM": 88.0})
    store(tmp_path, [runs[0], (altered(record, metrics=better), evidence)])
    assert "problems" not in folder_frame(ResultsFolder(tmp_path))
    problems = folder_frame(ResultsFolder(tmp_path), verify=True).set_index("seed")["problems"]
    assert problems[0] == ""
    assert "HM is stated as 88.0000" in problems[1]


@pytest.mark.parametrize("evil", ["=cmd()", "+1+1", "-2+3", "@SUM(A1)", " =1", "\u202e=1\x00", "\t=1", "＝1"])
def test_no_cell_of_a_csv_runs_or_hides_anything(evil: str) -> None:
    text = csv_text(pd.DataFrame([{"text": evil, "number": -1.5, "truth": True, "missing": None}]))
    ((cell, *rest),) = list(csv.reader(io.StringIO(text)))[1:]
    assert cell.isprintable()
    assert not cell.lstrip().startswith(("=", "+", "-", "@", "＝"))
    assert rest == ["-1.5", "True", ""]


LISTINGS = ("--help", "methods list", "splits list", "data status", "plugins list", "results list")
HELP = ("run --help", "results --help", "results table --help", "leaderboard build --help")


@pytest.mark.parametrize("command", [*LISTINGS, *HELP])
def test_help_and_listings_load_no_pandas(command: str, tmp_path: Path) -> None:
    store(tmp_path / "results", [simulated_run("avca", UCF, clips=2)])  # 'results list' has something to list
    code = (
        "import sys; from click.testing import CliRunner; from avbench.harness.cli import cli; "
        f"result = CliRunner().invoke(cli, {command.split()!r}); assert result.exit_code == 0, result.output; "
        "print(*{'pandas', 'torch', 'scipy'} & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == ""


def test_a_run_loads_pandas_for_its_table_and_not_before(tmp_path: Path) -> None:
    """A finder that is asked first says how many records there were when pandas was asked for."""
    code = """
import sys
from pathlib import Path
from avbench.harness.cli import main

class Watch:
    def find_spec(self, name, *_):
        if name == "pandas":
            print("records before pandas:", len(list(Path("results").rglob("*.json"))))

sys.meta_path.insert(0, Watch())
main("run --method ale --dataset ucf --features demo -p epochs=1 -p batches_per_epoch=1 --device cpu".split())
"""
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("records before pandas: 1") == 1
    assert "demo features (simulated" in done.stdout.split("records before pandas: 1")[1]
