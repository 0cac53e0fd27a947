"""``avbench results`` from the outside, with sound, failed, dishonest and hostile records."""

from __future__ import annotations

import csv
import json
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
from simulated_results import OPTIONS, TRACKS, altered, configuration_of, record_of, simulated_run, store

from avbench.harness.cli import main
from avbench.harness.cli.results_list import _what_differs
from avbench.harness.plugins.presets import changed_options, options_beyond_variant
from avbench.harness.plugins.registry import plugins
from avbench.harness.records.record import RunRecord
from avbench.harness.records.results import ResultsFolder
from avbench.harness.tracks import Track

UCF = TRACKS[0]
EVIL = '<script>alert("x")</script>\x1b[31m\u202e\x00| **bold** |'

Call = Callable[..., tuple[int, str, str]]


def exit_code(*arguments: str) -> int:
    try:
        main(["results", *arguments])
    except SystemExit as stop:
        return int(stop.code or 0)
    return 0


@pytest.fixture
def call(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> Call:
    def run(command: str, *arguments: str) -> tuple[int, str, str]:
        code = exit_code(command, *arguments, "--results", str(tmp_path))
        captured = capsys.readouterr()
        return code, captured.out, captured.err

    return run


@pytest.fixture
def runs(tmp_path: Path) -> list[RunRecord]:
    made = [simulated_run("one", UCF, "aligned", s, 0.7) for s in range(3)]
    made += [simulated_run("two", UCF, "aligned", s, 0.2, options={**OPTIONS, "epochs": 5}) for s in range(2)]
    made.append(simulated_run("one", Track("ucf", "demo"), clips=3))
    store(tmp_path, made)
    return [record for record, _ in made]


def test_nothing_there_says_what_to_do(call: Call) -> None:
    for command in ("list", "table", "verify"):
        code, out, err = call(command)
        assert (code, out) == (2, "")
        assert "'avbench run' makes some" in err


def test_list_filters_and_shows_failures(call: Call, runs: list[RunRecord], tmp_path: Path) -> None:
    failed = record_of(configuration_of("two", UCF, "aligned", 9))
    ResultsFolder(tmp_path).save(failed, None)
    _, out, _ = call("list")
    assert len(out.splitlines()) == 2 + 7
    assert f"{runs[0].outcome.metrics.HM:.2f}" in out  # type: ignore[union-attr]
    assert "failed: ValueError: scores are NaN" in out
    _, out, _ = call("list", "--status", "failed", "--json")
    (row,) = json.loads(out)["runs"]
    assert (row["identity"], row["seed"], row["HM"]) == (failed.identity, 9, None)
    _, out, _ = call("list", "--method", "one", "--features", "main", "--json")
    assert {r["identity"] for r in json.loads(out)["runs"]} == {r.identity for r in runs[:3]}


def test_list_shows_what_was_changed_and_the_validation(call: Call, tmp_path: Path) -> None:
    preset = plugins().method("avca").method.Options.effective(UCF, "aligned").model_dump(mode="json")
    made = [simulated_run("avca", UCF, options={**preset, "epochs": 2}, variant="mine")]
    made.append(simulated_run("avca", UCF, seed=1, options=preset))
    store(tmp_path, made)
    _, out, _ = call("list")
    lines = {line.split()[0]: line for line in out.splitlines()}
    assert "avca      mine, epochs=2" in lines[made[0][0].identity[:8]]
    for record, _ in made:
        assert record.outcome is not None
        best = record.outcome.validation[record.outcome.epochs - 1].HM
        assert f" {best:.2f} " in lines[record.identity[:8]]
    assert "val HM" in out.splitlines()[0]
    _, out, _ = call("list", "--json")
    assert {row["changes"] for row in json.loads(out)["runs"]} == {"epochs=2", ""}


def test_the_validation_stands_in_a_table_that_asks_for_it(call: Call, runs: list[RunRecord], tmp_path: Path) -> None:
    hms = [r.outcome.validation[r.outcome.epochs - 1].HM for r in runs[:3] if r.outcome]
    for form in ("text", "markdown", "latex"):
        _, without, _ = call("table", "--format", form)
        _, out, _ = call("table", "--format", form, "--validation")
        assert ("val HM" in without, "val HM" in out) == (False, True)
        assert f"{sum(hms) / 3:.2f}" in out
    call("export", str(tmp_path / "out.csv"))
    rows = list(csv.DictReader((tmp_path / "out.csv").read_text("utf-8").splitlines()))
    assert {row["val_HM"] for row in rows} >= {str(hm) for hm in hms}


def test_misspelt_filters_get_a_suggestion(call: Call, runs: list[RunRecord]) -> None:
    code, _, err = call("list", "--method", "on")
    assert code == 2
    assert "Did you mean 'one'?" in err


def test_show_tells_everything(call: Call, runs: list[RunRecord]) -> None:
    _, out, _ = call("show", runs[3].identity[:12])
    for text in (runs[3].identity, "epochs             5", "chosen", "every number follows from it", "PlayingFlute"):
        assert text in out
    _, out, _ = call("show", runs[3].identity, "--json")
    shown = json.loads(out)
    assert shown["problems"] == []
    recall = shown["per_class_recall"]
    unseen = [row["recall"] for row in recall if not row["seen"]]
    assert len(recall) == 51
    assert sum(unseen) / len(unseen) == pytest.approx(shown["outcome"]["metrics"]["U"])


def test_show_of_a_failed_run_has_the_traceback(call: Call, tmp_path: Path) -> None:
    failed = record_of(configuration_of("two", UCF, "aligned", 9))
    ResultsFolder(tmp_path).save(failed, None)
    code, out, _ = call("show", failed.identity[:6])
    assert code == 0
    assert "Failed: ValueError: scores are NaN" in out
    assert "Traceback ..." in out


def test_prefixes_must_name_one_run(call: Call, runs: list[RunRecord]) -> None:
    code, _, err = call("show", "")
    assert code == 2
    assert "ambiguous: 6 runs" in err
    code, _, err = call("show", "zzz")
    assert code == 2
    assert "no run has an identity" in err


def test_table_leaves_out_what_does_not_verify(call: Call, runs: list[RunRecord], tmp_path: Path) -> None:
    record, evidence = simulated_run("cheat", UCF)
    assert record.outcome is not None
    better = record.outcome.metrics.model_copy(update={"HM": 88.0})
    store(tmp_path, [(altered(record, metrics=better), evidence)])
    code, out, err = call("table")
    assert code == 0
    assert "cheat" not in out
    assert "left out: cheat ucf/main aligned seed 0: HM is stated as 88.0000" in err
    assert "simulated: says nothing about real data" in out
    _, out, _ = call("table", "--format", "json", "--features", "main")
    rows = json.loads(out)
    assert [(row["method"], row["seeds"]) for row in rows] == [("one", 3), ("two", 2)]


def test_printed_numbers_stand_beside_as_published_presets(call: Call, tmp_path: Path) -> None:
    preset = plugins().method("avca").method.Options.effective(UCF, "as-published").model_dump(mode="json")
    records = [simulated_run("avca", UCF, "as-published", options=preset)]
    records.append(simulated_run("avca", UCF, "as-published", options={**preset, "epochs": 7}))
    store(tmp_path, records)
    assert changed_options(records[0][0]) == {}
    assert changed_options(records[1][0]) == {"epochs": 7}
    _, out, _ = call("table")
    assert "claimed, avca-2022" in out
    assert "avca (epochs=7)" in out
    _, out, _ = call("table", "--format", "csv")
    rows = list(csv.DictReader(out.splitlines()))
    assert [row["source"] for row in rows].count("claimed, avca-2022") == 1


def test_presets_of_unknown_methods_and_other_options_are_unknown() -> None:
    assert changed_options(simulated_run("no-such-method", UCF, clips=1)[0]) is None
    assert changed_options(simulated_run("avca", UCF, clips=1, options={"other": 1})[0]) is None


def test_a_named_variant_accounts_for_its_own_options_only() -> None:
    options = plugins().method("avca").method.Options
    preset = options.effective(UCF, "as-published").model_dump(mode="json")
    variant = plugins().variant("avca", "loss=-l_r")

    def beyond(changed: Mapping[str, Any], name: str) -> Mapping[str, Any] | None:
        record, _ = simulated_run("avca", UCF, "as-published", clips=1, options={**preset, **changed}, variant=name)
        return options_beyond_variant(record)

    assert beyond(variant.options, "loss=-l_r") == {}
    assert beyond({**variant.options, "epochs": 2}, "loss=-l_r") == {"epochs": 2}
    assert beyond({}, "loss=-l_r") == {"loss_r": True}
    assert beyond({"epochs": 2}, "unheard-of") == {"epochs": 2}


def test_compare_methods_and_runs(call: Call, runs: list[RunRecord], tmp_path: Path) -> None:
    _, out, _ = call("compare", "one", "two", "--json")
    rows = json.loads(out)
    assert [row["metric"] for row in rows] == ["S", "U", "HM", "ZSL"]
    assert (rows[2]["first_runs"], rows[2]["second_runs"]) == (3, 2)
    assert (rows[2]["low"], rows[2]["high"], rows[2]["p"]) == (None, None, None)
    store(tmp_path, [simulated_run("two", UCF, "aligned", 2, 0.2, options={**OPTIONS, "epochs": 5})])
    _, out, _ = call("compare", "one", "two", "--json")
    hm = json.loads(out)[2]
    assert hm["difference"] == pytest.approx(hm["second_mean"] - hm["first_mean"])
    assert hm["low"] < hm["difference"] < hm["high"] < 0
    assert hm["p"] < 0.01
    assert hm["low"] < hm["difference"] < hm["high"] < 0
    code, out, _ = call("compare", runs[0].identity[:10], runs[1].identity[:10])
    assert code == 0
    table, marks = out.split("\n\n")
    assert len(table.splitlines()) == 2 + 4
    assert "seed 1: features not verified; presets not known; fewer than 3 seeds" in marks
    assert out.count("too few seeds") == 4
    code, _, err = call("compare", "one", "three")
    assert code == 2
    assert "unknown row or method 'three'" in err
    code, _, err = call("compare", runs[0].identity[:10], runs[5].identity[:10])
    assert code == 2
    assert "no finished runs on one track" in err


def test_export(call: Call, runs: list[RunRecord], tmp_path: Path) -> None:
    for name in ("out.csv", "out.json"):
        assert call("export", str(tmp_path / "x" / name))[0] == 0
    rows = list(csv.DictReader((tmp_path / "x" / "out.csv").read_text("utf-8").splitlines()))
    assert {row["identity"] for row in rows} == {r.identity for r in runs}
    assert len(json.loads((tmp_path / "x" / "out.json").read_text("utf-8"))) == 6
    code, _, err = call("export", str(tmp_path / "out.xlsx"))
    assert code == 2
    assert ".csv or a .json" in err


def test_verify_has_exit_codes(call: Call, runs: list[RunRecord], tmp_path: Path) -> None:
    code, out, _ = call("verify")
    assert (code, out) == (0, "6 of 6 records are sound\n")
    ResultsFolder(tmp_path).evidence_path(runs[0]).unlink()
    code, out, _ = call("verify")
    assert code == 1
    assert "5 of 6 records are sound" in out
    code, out, _ = call("verify", "--json")
    assert code == 1
    (problem,) = json.loads(out)["problems"]
    assert problem["reasons"][0].endswith("is missing")


def test_pack_and_accept(call: Call, runs: list[RunRecord], tmp_path: Path) -> None:
    file = tmp_path / "out" / "submission.zip"
    code, out, _ = call("pack", str(file), runs[0].identity[:10], runs[1].identity[:10])
    assert code == 0
    assert "2 runs" in out
    assert exit_code("accept", str(file), "--results", str(tmp_path / "other")) == 0
    assert sum(isinstance(r, RunRecord) for r in ResultsFolder(tmp_path / "other").records()) == 2
    assert call("accept", str(tmp_path / "none.zip"))[0] == 4


def _json_of(record: RunRecord, *path: str, value: Any) -> str:
    data = record.model_dump(mode="json")
    place = data
    for key in path[:-1]:
        place = place[key]
    place[path[-1]] = value
    return json.dumps(data)


def _hostile_files(record: RunRecord) -> dict[str, str | bytes]:
    metrics = ("outcome", "metrics", "HM")
    return {
        "nan": _json_of(record, *metrics, value=float("nan")),
        "infinite": _json_of(record, *metrics, value=1.5).replace("1.5", "1e999"),
        "negative": _json_of(record, *metrics, value=-0.5),
        "above 100": _json_of(record, *metrics, value=100.5),
        "text for a number": _json_of(record, *metrics, value="<b>50</b>"),
        "long name": _json_of(record, "configuration", "method", value="m" * 10_000),
        "path in a name": _json_of(record, "configuration", "dataset", value="../../etc"),
        "markup in a name": _json_of(record, "configuration", "method", value="<script>"),
        "long text": _json_of(record, "environment", "platform", value="x" * 10_000),
        "unknown field": _json_of(record, EVIL, value=EVIL),
        "newer schema": _json_of(record, "schema_version", value=99),
        "other identity": _json_of(record, "identity", value="0" * 64),
        "surrogate": _json_of(record, "variant", value="a").replace('"a"', '"\\ud800"'),
        "deep": "[" * 100_000,
        "long number": '{"schema_version": ' + "9" * 10_000 + "}",
        "not text": b"\xff\xfe\x00",
        "empty": "",
        "list": "[]",
        "null": "null",
        "misplaced copy of a run": record.to_json(),
    }


def test_hostile_files_are_each_reported_and_stop_nothing(call: Call, runs: list[RunRecord], tmp_path: Path) -> None:
    hostile = _hostile_files(simulated_run("victim", UCF)[0])
    folder = tmp_path / "ucf" / "main" / "hostile"
    folder.mkdir(parents=True)
    for name, content in hostile.items():
        (folder / f"{name}.json").write_bytes(content if isinstance(content, bytes) else content.encode())
    (folder / "folder.json").mkdir()
    (folder / "device.json").symlink_to("/dev/zero")
    (folder / "loop.json").symlink_to("loop.json")
    os.mkfifo(folder / "pipe.json")
    with (folder / "huge.json").open("wb") as file:
        file.truncate(200 * 2**20)
    names = [*hostile, "folder", "device", "loop", "pipe", "huge"]

    code, out, err = call("list")
    assert code == 0
    assert len(out.splitlines()) == 2 + 6
    assert err.count("warning: left out: ") == len(names)
    for name in names:
        assert f"{name}.json" in err
    assert all(c.isprintable() or c == "\n" for c in out + err)
    assert max(map(len, err.splitlines())) < 600

    code, out, _ = call("verify", "--json")
    assert code == 1
    assert len(json.loads(out)["problems"]) == len(names)
    code, out, _ = call("table")
    assert code == 0
    assert "victim" not in out
    assert "hostile" not in out


def test_markup_and_control_characters_in_text_are_only_text(call: Call, tmp_path: Path) -> None:
    record, evidence = simulated_run("stranger", UCF, options={EVIL: EVIL}, variant=EVIL, warnings=[EVIL])
    environment = record.environment.model_copy(update={"platform": EVIL, "device": EVIL})
    record = record.model_copy(update={"environment": environment})
    failed = record_of(configuration_of("avca", UCF, "aligned", 1))
    assert failed.failure is not None
    failure = failed.failure.model_copy(update={"type": EVIL, "message": EVIL, "traceback": EVIL})
    store(tmp_path, [(record, evidence)])
    ResultsFolder(tmp_path).save(failed.model_copy(update={"failure": failure}), None)
    printed = ""
    for arguments in (
        ("list",),
        ("show", record.identity),
        ("show", failed.identity),
        ("table",),
        ("table", "--format", "markdown"),
        ("table", "--format", "latex"),
        ("table", "--format", "csv"),
        ("verify",),
    ):
        code, out, err = call(*arguments)
        assert code == 0, err
        printed += out + err
    assert all(c.isprintable() or c == "\n" for c in printed)
    assert "alert" in printed


def test_the_list_shows_what_tells_runs_of_a_grid_apart() -> None:
    shared = "batch_size=32, batches_per_epoch=5, epochs=2"
    rows = [
        {"method": "ale", "variant": None, "numerics": "", "changes": f"{shared}, learning_rate={rate}"}
        for rate in ("0.01", "0.1")
    ]
    rows.append({"method": "sje", "variant": None, "numerics": "", "changes": f"{shared}, learning_rate=0.01"})
    assert _what_differs(rows) == ["learning_rate=0.01", "learning_rate=0.1", f"{shared}, learning_rate=0.01"]
    assert _what_differs(rows[:1]) == [f"{shared}, learning_rate=0.01"]
