from __future__ import annotations

import csv
import io
import json
from itertools import combinations
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from simulated_results import OPTIONS, TRACKS, reconfigured, simulated_run, store

from avbench.harness.cli import cli
from avbench.harness.records.record import RunRecord
from avbench.harness.tracks import Track
from avbench.leaderboard.boards import Board, build_boards
from avbench.leaderboard.claims import PRINTED, claims
from avbench.leaderboard.tables import FORMATS, HEADS, Format, compared, render, sheets, summary_table

MAIN = TRACKS[:3]


def no_changes(record: RunRecord) -> dict[str, object]:
    return {}


def changes(record: RunRecord) -> dict[str, object]:
    return {k: v for k, v in record.configuration.options.items() if OPTIONS.get(k, v) != v}


def run(*arguments: object, **keywords: object) -> RunRecord:
    return simulated_run(*arguments, clips=2, **keywords)[0]  # type: ignore[arg-type]


@pytest.fixture
def boards() -> tuple[Board, ...]:
    records = [run("avca", t, p, s) for t in MAIN for p in ("aligned", "as-published") for s in range(2)]
    records += [run("avca", Track("ucf", "demo")), run("cjme", MAIN[0], options={**OPTIONS, "epochs": 2})]
    return build_boards(records, claims(), changes)


def test_lines_per_method_protocol_and_printed_numbers(boards: tuple[Board, ...]) -> None:
    main, demo = sheets(compared(boards))
    assert [tuple(line) for line in main.table[""][HEADS].to_numpy()] == [
        ("avca", "aligned", "run", "2"),
        ("cjme (epochs=2)", "aligned", "run", "1"),
        ("avca", "as-published", "claimed, avca-2022", ""),
        ("avca", "as-published", "run", "2"),
    ]
    assert main.datasets == ("ucf", "activitynet", "vggsound")
    assert main.table["ucf", "HM"].iloc[2] == "27.15"
    assert demo.simulated
    assert list(demo.table["", "source"]) == ["run"]


def test_a_label_that_hides_changes_does_not_hide_that_there_are_some() -> None:
    """What all rows changed is left out of long labels; what is left read as if the row had its presets."""
    many = {"alignment_weight": 0.25, "batches_per_epoch": 5, "batch_size": 32, "epochs": 2, "weight_decay": 0.1}
    runs = [run("mine", MAIN[0], seed=s, options={**many, **more}) for more in ({}, {"z": 1}) for s in range(3)]
    text = render(compared(build_boards(runs, (), lambda record: dict(record.configuration.options))), "text")
    assert "mine (z=preset) [off preset]" in text


def test_runs_on_features_not_verified_never_rank_among_printed_numbers() -> None:
    """The worst of three methods is on the genuine features; the best on others."""
    good = run("avca", MAIN[0], "as-published", skill=0.1, feature_hash="a" * 64)
    records = [good, *(run(m, MAIN[0], "as-published", skill=0.9, feature_hash="b" * 64) for m in ("cjme", "avca"))]
    trusted = frozenset({(MAIN[0], "a" * 64)})
    (sheet,) = sheets(compared(build_boards(records, claims(), no_changes, trusted)))
    found = [(label.split()[0], source[:3]) for label, source in sheet.table[""][["method", "source"]].to_numpy()]
    assert found[:2] == [("avca", "run"), ("avca", "cla")]
    assert {source for _, source in found[2:-2]} == {"cla"}
    assert {source for _, source in found[-2:]} == {"run"}
    assert ["not verified" in label for label in sheet.table["", "method"]][-3:] == [False, True, True]
    for form in FORMATS[:3]:
        assert render(compared(build_boards(records, claims(), no_changes, trusted)), form).count("not verified") == 2


def test_long_labels_are_whole() -> None:
    options = {**OPTIONS, "epochs": 7, "batches_per_epoch": 11, "batch_size": 32, "learning_rate": 0.25}
    lines = compared(build_boards([run("ale", MAIN[0], options=options), run("sje", MAIN[0])], (), changes))
    whole = "ale (batch_size=32, batches_per_epoch=11, epochs=7, learning_rate=0.25)"
    assert set(lines["label"]) == {whole, "sje"}
    assert all(whole.replace("_", r"\_") in render(lines, form) for form in ("latex", "markdown"))
    text = render(lines, "text")
    assert "..." not in text
    assert "learning_rate=0.25)" in text
    assert max(map(len, text.splitlines())) < 150


def test_runs_are_a_range_where_data_sets_differ() -> None:
    records = [run("avca", MAIN[0], seed=s) for s in range(3)] + [run("avca", MAIN[1])]
    (sheet,) = sheets(compared(build_boards(records, claims(), no_changes)))
    assert list(sheet.table["", "runs"]) == ["1-3"]


@pytest.mark.parametrize("form", ["text", "markdown", "latex"])
def test_demo_is_labelled_in_every_format(boards: tuple[Board, ...], form: Format) -> None:
    text = render(compared(boards), form)
    assert text.count("simulated: says nothing about real data") == 1
    assert "demo features" in text


def test_deviation_only_where_there_are_several_runs(boards: tuple[Board, ...]) -> None:
    text = render(compared(boards), "markdown")
    rows = {line.split("|")[1].strip(): line for line in text.splitlines() if line.startswith("| ")}
    assert "±" in next(line for line in text.splitlines() if line.startswith("| avca") and "aligned" in line)
    assert "±" not in rows["cjme (epochs=2)"]


def test_text_is_wide_where_the_terminal_is_and_stacked_where_not(
    boards: tuple[Board, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "300")
    wide = render(compared(boards), "text")
    monkeypatch.setenv("COLUMNS", "100")
    narrow = render(compared(boards), "text")
    assert "\nvggsound/main\n" in narrow
    assert "vggsound/main" not in wide
    assert max(map(len, narrow.splitlines())) <= 120 < max(map(len, wide.splitlines()))


def test_a_mark_stands_with_the_data_sets_where_it_holds(monkeypatch: pytest.MonkeyPatch) -> None:
    """One that was earned on one data set stood on the rows of all."""
    records = [run("avca", track, seed=s) for track in MAIN for s in range(3)]
    marks = {r.identity: ("identical to cjme",) for r in records if r.configuration.dataset == "ucf"}
    marks |= {r.identity: (*marks.get(r.identity, ()), "everywhere") for r in records}
    lines = compared(build_boards(records, (), no_changes, marks=marks))
    (sheet,) = sheets(lines)
    assert list(sheet.table["", "method"]) == ["avca [everywhere] [on ucf: identical to cjme]"]
    monkeypatch.setenv("COLUMNS", "100")
    blocks = {block.partition("/")[0]: block for block in render(lines, "text").split("\n\n")[1:]}
    assert {name for name, block in blocks.items() if "identical to cjme" in block} == {"ucf"}
    assert blocks.keys() == {"ucf", "activitynet", "vggsound"}
    assert all("everywhere" in block and "[on" not in block for block in blocks.values())


def test_latex_is_balanced_and_escaped() -> None:
    record = run("a_b", MAIN[0], variant=r"50% & $x$ \input{x} ~^#_")
    latex = render(compared(build_boards([record], claims(), no_changes)), "latex")
    assert r"50\% \& \$x\$ \textbackslash input\{x\} \textasciitilde \textasciicircum \#\_" in latex
    assert latex.count(r"\begin{") == latex.count(r"\end{") == 1
    body = latex.split(r"\midrule")[1].split(r"\bottomrule")[0].strip().splitlines()
    assert [line.replace(r"\&", "").count("&") for line in body] == [7]


def test_csv_and_json_hold_the_same_full_numbers(boards: tuple[Board, ...]) -> None:
    from_json = json.loads(render(compared(boards), "json"))
    from_csv = list(csv.DictReader(io.StringIO(render(compared(boards), "csv"))))
    assert len(from_json) == len(from_csv) == 3 * 3 + 2
    for a, b in zip(from_json, from_csv, strict=True):
        assert {k: "" if v is None else str(v) for k, v in a.items()} == b
    assert {row["source"] for row in from_json} == {"run", "claimed, avca-2022"}
    assert {row["simulated"] for row in from_json if row["features"] == "demo"} == {True}


def test_two_versions_of_the_code_and_two_contents_of_features_are_told_apart() -> None:
    one = run("avca", MAIN[0])
    c = one.configuration
    two = c.model_copy(update={"plugin": c.plugin.model_copy(update={"source_hash": "f" * 64})})
    other_code = one.model_copy(update={"configuration": two, "identity": two.identity})
    other_data = run("avca", MAIN[0], feature_hash="e" * 64)
    (sheet,) = sheets(compared(build_boards([one, other_code, other_data], claims(), no_changes)))
    labels = list(sheet.table["", "method"])
    assert len(set(labels)) == 3
    assert any("code ffffffff" in label for label in labels)
    assert any("features eeeeeeee" in label for label in labels)


def test_incomplete_features_are_marked_and_never_compared() -> None:
    record = run("avca", MAIN[0], "as-published", warnings=["3 clips are missing"])
    (sheet,) = sheets(compared(build_boards([record], claims(), no_changes)))
    assert [tuple(line) for line in sheet.table[""][["method", "source"]].to_numpy()] == [
        ("avca [incomplete features]", "run")
    ]


@pytest.mark.parametrize("form", FORMATS)
def test_hostile_text_stays_text(form: Format) -> None:
    evil = '=cmd()|<script>alert("x")</script>\x1b[31m\n| a | b |'
    text = render(compared(build_boards([run("avca", MAIN[0], variant=evil)], claims(), no_changes)), form)
    assert "\x1b" not in text
    if form == "markdown":
        assert "<script" not in text.replace(r"\<", "")
        assert len([line for line in text.splitlines() if line.startswith("|")]) == 3
    if form == "csv":
        (row,) = csv.DictReader(io.StringIO(text))
        assert row["changes"].startswith("'=")


def test_nothing_finished_says_so() -> None:
    assert summary_table([], claims(), no_changes) == "No finished run."
    assert json.loads(render(compared([]), "json")) == []
    assert render(compared([]), "csv") == ""


def test_latex_bears_every_mark_and_text_those_that_nothing_else_tells() -> None:
    lines = compared(build_boards([simulated_run("avca", MAIN[0], clips=2)[0]], (), lambda _: {"epochs": 2}))
    latex, text = render(lines, "latex"), render(lines, "text")
    assert "avca (epochs=2) [features not verified] [off preset] [fewer than 3 seeds]" in latex
    assert text.startswith("main features (features not verified)\n")
    assert "[" not in text


def test_compare_names_both_sides_apart(tmp_path: Path) -> None:
    """Case B5: two versions of one method had one name; so had two seeds of one row."""
    first, evidence = simulated_run("mine", MAIN[0], clips=2, simulated=True)
    plugin = first.configuration.plugin.model_copy(update={"version": "1.1", "source_hash": "b" * 64})
    second = reconfigured(first, plugin=plugin)
    third = simulated_run("mine", MAIN[0], seed=1, clips=2, simulated=True)
    store(tmp_path, [(first, evidence), (second, evidence), third])

    def names(*sides: str) -> list[str]:
        done = CliRunner().invoke(cli, ["results", "compare", *sides, "--results", str(tmp_path), "--json"])
        assert done.exit_code == 0, done.output
        return [json.loads(done.stdout)[0][side] for side in ("first", "second")]

    assert [name.split(" (")[0] for name in names(first.identity, second.identity)] == ["mine 0.1.0", "mine 1.1"]
    assert [name[-8:] for name in names(first.identity, third[0].identity)] == [", seed 0", ", seed 1"]


def test_compare_takes_rows_by_the_names_that_tables_show(tmp_path: Path) -> None:
    """Rows of one method could be compared by single runs only."""
    runs = [
        simulated_run("mine", MAIN[0], "aligned", seed, skill, simulated=True, options=OPTIONS | more, variant=variant)
        for skill, more, variant in ((0.3, {}, None), (0.5, {"epochs": 2}, None), (0.7, {"epochs": 3}, "loss=-l_r"))
        for seed in range(3)
    ]
    store(tmp_path, runs)

    def call(*arguments: str) -> Any:
        done = CliRunner().invoke(cli, ["results", *arguments, "--results", str(tmp_path)])
        return json.loads(done.stdout) if done.exit_code == 0 else done.exception

    names = sorted({row["label"] for row in call("table", "--format", "json")})
    assert len(names) == 3
    for pair in combinations(names, 2):
        (*_, hm, _) = call("compare", *pair, "--json")
        assert (hm["first"], hm["second"], hm["first_runs"], hm["second_runs"]) == (*pair, 3, 3)
        assert hm["p"] is not None
    assert len(call("compare", names[0], "mine", "--json")) == 2 * len(PRINTED), "its other rows"
    assert f"Did you mean {names[0]!r}?" in str(call("compare", names[0][:-1], names[1]))
