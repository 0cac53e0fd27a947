"""The papers' tables run again: every printed row is accounted for, and what is shown follows from the runs."""

from __future__ import annotations

import json
import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from statistics import fmean
from typing import Any

import click
import pytest
from command_words import command_of, unknown_words
from simulated_archive import made_up
from simulated_results import altered, record_of, simulated_run, store

from avbench.harness.cli import main
from avbench.harness.cli.places import Here, Slurm
from avbench.harness.contract.options import EpochOptions, Options
from avbench.harness.errors import DataError, UsageError
from avbench.harness.features.archive import find_sets, read_set
from avbench.harness.features.store import Store
from avbench.harness.isolation.choice import Isolation
from avbench.harness.plugins.registry import Plugins, plugins
from avbench.harness.records.planned import PlannedRun
from avbench.harness.records.record import RunRecord
from avbench.harness.records.results import ResultsFolder
from avbench.harness.tracks import Track
from avbench.leaderboard.claims import COMPARABLE, Claim, claims, papers
from avbench.leaderboard.frame import INCOMPLETE, NOT_VERIFIED, OFF_PRESET, results_frame
from avbench.leaderboard.ranking import recalls_of_run
from avbench.leaderboard.recalls import Recalls
from avbench.leaderboard.reproduction.budget import require_budget, scaled
from avbench.leaderboard.reproduction.conditions import Conditions
from avbench.leaderboard.reproduction.outcome import ReproducedTable, reproduced
from avbench.leaderboard.reproduction.plan import Prospect, Trial, prospects, require_reachable, runs_of, trials
from avbench.leaderboard.reproduction.printed import (
    PrintedTable,
    find_tables,
    printed_tables,
    quoted_from,
    require_accuracies,
    select_rows,
)
from avbench.leaderboard.reproduction.recipes import Recipe, readings, recipe
from avbench.leaderboard.reproduction.text import table_json, table_text
from avbench.leaderboard.statistics import intervals
from avbench.methods.cjme import CJMEOptions

ROOT = Path(__file__).parent.parent.parent
PAGE = ROOT / "docs" / "how-to" / "reproduce.md"
NO_METHOD = {"mstr", "hsp-moe", "sten", "frozen-languagebind"}
"""Published methods that nobody has brought."""

Call = Callable[..., tuple[int, str, str]]


@pytest.fixture(autouse=True)
def own_place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AVBENCH_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("COLUMNS", "200")
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def call(capsys: pytest.CaptureFixture[str]) -> Call:
    """``avbench reproduce``: exit code, standard output and standard error."""

    def run(*arguments: str) -> tuple[int, str, str]:
        code = 0
        try:
            main(["reproduce", *arguments])
        except SystemExit as stop:
            code = int(stop.code or 0)
        captured = capsys.readouterr()
        return code, captured.out, captured.err

    return run


def find(paper: str, table: str) -> PrintedTable:
    (found,) = find_tables(paper, table)
    return found


def install(tmp_path: Path, dataset: str) -> None:
    (found,) = find_sets(made_up(tmp_path / "archive", dataset, "main"))
    Store().save(read_set(found, allow_missing=True))


# The data


def test_the_listing_accounts_for_every_printed_row(call: Call) -> None:
    code, out, _ = call("--list", "--json")
    assert code == 0
    rows = [row for row in json.loads(out) if "instead" not in row]
    told = Counter((r["paper"], r["table"], r["row"], r["track"]) for r in rows)
    assert told == Counter((c.paper, c.table, c.row, str(c.track)) for c in claims())
    for row in rows:
        assert row["state"] in ("reachable", "needs features", "out of reach")
        assert bool(row["reason"]) == (row["state"] != "reachable"), row
        assert (row["method"] is None) == (row["state"] == "out of reach")


def test_the_listing_starts_without_torch_and_pandas() -> None:
    code = "import sys; from avbench.harness.cli import cli; cli.main(['reproduce', '--list'], standalone_mode=False); "
    code += "assert not {'torch', 'pandas', 'scipy'} & set(sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True, capture_output=True)


def test_every_row_has_a_method_and_a_variant_or_a_reason() -> None:
    refused = set()
    for claim in claims():
        found = recipe(claim)
        if isinstance(found, str):
            refused.add((claim.method, found))
        else:
            plugins().method(found.method)
            if found.variant:
                plugins().variant(found.method, found.variant)
    withdrawn = {r.note for r in readings() if not r.runs}
    assert {method for method, _ in refused} == NO_METHOD
    assert len(withdrawn) == 1
    assert {why for _, why in refused} - withdrawn == {
        f"no method {title} is installed" for title in ("MSTR", "HSP-MoE", "STEN", "Frozen LanguageBind")
    }


def test_a_row_of_a_method_or_variant_that_is_not_here_says_so() -> None:
    claim = find("avca-2022", "table-4").claims[0]
    assert recipe(claim, Plugins()) == "no method AVCA is installed"
    avca = plugins().method("avca")
    assert recipe(claim, Plugins(methods={"avca": avca})) == "the method avca has no variant attention=none"
    stranger = type(avca)(avca.method, "stranger", "1")
    found = recipe(claim, Plugins(methods={"avca": stranger}))
    assert found == "the method avca of stranger only has the name of the published one"


def test_the_tables_are_those_of_the_printed_rows_and_those_without_accuracies() -> None:
    names = [(t.paper, t.entry.table) for t in printed_tables()]
    assert len(set(names)) == len(names)
    assert {(c.paper, c.table) for c in claims()} <= set(names)
    assert {paper for paper, _ in names} <= set(papers())
    for table in printed_tables():
        assert bool(table.entry.instead) == (not table.claims), table.name
        if table.entry.instead:
            words = table.entry.instead.split()
            assert words[0] == "avbench"
            assert not unknown_words(words[1:])
            assert not isinstance(command_of(words[1:]), click.Group), table.name
    numbered = {paper: sum(p == paper and t.startswith("table-") for p, t in names) for paper, _ in names}
    assert numbered["avca-2022"] == 6
    assert numbered["hyper-2023"] == 7
    assert numbered["ez-avgzl-2024"] == 10
    assert numbered["mdii-2023"] == 3
    assert numbered["avca-2022-supp"] == 4


def test_every_reading_speaks_of_a_row() -> None:
    for reading in readings():
        assert any(reading.speaks_of(claim) for claim in claims()), reading
        assert reading.note


def test_the_guide_lists_the_tables() -> None:
    lines = []
    for paper in dict.fromkeys(t.paper for t in printed_tables()):
        lines += [
            "",
            f"**{papers()[paper].name}** (`{paper}`)",
            "",
            "| table | | rows | methods |",
            "|---|---|---|---|",
        ]
        for table in find_tables(paper):
            methods = ", ".join(dict.fromkeys(claim.method for claim in table.claims))
            shown = methods or f"no accuracies: `{table.entry.instead}`"
            lines.append(f"| `{table.entry.table}` | {table.entry.title} | {len(table.rows) or ''} | {shown} |")
    text = PAGE.read_text("utf-8").partition("<!-- tables -->")[2].partition("<!-- end of tables -->")[0]
    assert text.strip() == "\n".join(lines).strip()


# Printed tables


def test_rows_and_columns_stand_in_the_printed_order() -> None:
    table = find("avca-2022", "4")
    assert table.rows == ("W/o x-att", "Visual with x-att", "Audio with x-att", "AVCA")
    assert table.columns == ("vggsound", "ucf", "activitynet")
    assert table.metrics == ("HM", "ZSL")
    assert find("hyper-2023", "table-5").columns == ("vggsound/main", "vggsound/cls")
    assert find("ez-avgzl-2024", "table-2").columns == ("ucf",)


def test_unknown_names_have_suggestions() -> None:
    for wrong, hint in (
        (lambda: find_tables("avca-2023"), "avca-2022"),
        (lambda: find_tables("avca-2022", "tabel-4"), "table-4"),
        (lambda: select_rows(find_tables("avca-2022", "4"), ["W/o x-at"]), "W/o x-att"),
        (lambda: prospects(claims(), "dmeo"), "demo"),
    ):
        with pytest.raises(UsageError, match=f"Did you mean '{hint}'"):
            wrong()
    with pytest.raises(UsageError, match=r"is a figure: see 'avbench analyse tsne RUN --figure avca-2022/figure-3'"):
        find_tables("avca-2022", "figure-3")
    with pytest.raises(UsageError, match="unknown table of avca-2022 'figure-33'"):
        find_tables("avca-2022", "figure-33")
    with pytest.raises(UsageError, match="no printed rows of kda-2023 are known"):
        find_tables("kda-2023")
    with pytest.raises(UsageError, match=r"prints no accuracies.*'avbench analyse hyperbolicity'"):
        require_accuracies(find("hyper-2023", "7"))


def test_rows_are_chosen_by_name_or_pattern_in_any_table() -> None:
    (four,) = select_rows(find_tables("avca-2022", "4"), ["avca", "*with x-att"])
    assert four.rows == ("Visual with x-att", "Audio with x-att", "AVCA")
    assert [t.entry.table for t in select_rows(find_tables("avca-2022"), ["W/o*", "ALE"])] == ["table-2", "table-4"]


def test_a_quoted_row_was_printed_before_with_the_same_numbers() -> None:
    quoted = {claim.key: source for claim in claims() if (source := quoted_from(claim))}
    assert len(quoted) > 50
    for claim in claims():
        if source := quoted.get(claim.key):
            assert not claim.own
            assert source.method == claim.method
            assert source.track == claim.track
            assert {m: v for m, v in source.values.items() if m in claim.values}.items() <= claim.values.items()
            assert (papers()[source.paper].year or 0) <= (papers()[claim.paper].year or 9999)
    of_hyper = {c.row: quoted[c.key] for c in find("hyper-2023", "table-1").claims if c.key in quoted}
    assert {c.key[:2] for c in of_hyper.values()} == {("avca-2022", "table-2")}
    assert set(of_hyper) == {"CJME", "AVGZSLNet", "AVCA"}


# Budgets and plans


def test_a_budget_is_a_share_of_the_batches() -> None:
    assert scaled(CJMEOptions(epochs=10, batches_per_epoch=40), 0.2) == {"batches_per_epoch": 8}
    assert scaled(CJMEOptions(epochs=50, batches_per_epoch=1), 0.2) == {"batches_per_epoch": 1, "epochs": 10}
    assert scaled(CJMEOptions(epochs=2, batches_per_epoch=1), 0.01) == {"batches_per_epoch": 1, "epochs": 1}
    assert scaled(CJMEOptions(), 1) == {}
    assert scaled(Options(), 0.2) == {}
    for wrong in (0, -1, 1.1, float("nan")):
        with pytest.raises(UsageError, match="above 0 and at most 1"):
            require_budget(wrong)


def test_every_row_with_a_method_can_be_planned_on_the_demo() -> None:
    """Its variant is valid there, the method reads what it is given, and a budget gives that share of the steps."""
    for prospect in prospects(claims(), "demo"):
        if prospect.state == "out of reach":
            continue
        assert prospect.recipe
        assert prospect.track
        r, track, method = prospect.recipe, prospect.track, plugins().method(prospect.recipe.method)
        assert method.info.reads("temporal" if track.features == "demo-temporal" else "averaged"), prospect
        given = plugins().variant(r.method, r.variant).options_on(track, COMPARABLE) if r.variant else {}
        whole = method.method.Options.effective(track, COMPARABLE, given)
        less = method.method.Options.effective(track, COMPARABLE, {**given, **scaled(whole, 0.2)})
        assert isinstance(whole, EpochOptions)
        assert isinstance(less, EpochOptions)
        steps = less.epochs * less.batches_per_epoch / (whole.epochs * whole.batches_per_epoch)
        assert steps == pytest.approx(0.2, rel=0.05), prospect


def test_rows_over_time_take_features_over_time() -> None:
    found = {p.claim.row: p.track for p in prospects(find("ez-avgzl-2024", "table-2").claims, "demo")}
    assert found["TCaF"] == Track("ucf", "demo-temporal")
    assert found["AVCA"] == found["EZ-AVGZL (ours)"] == Track("ucf", "demo")


def test_equal_configurations_are_run_once() -> None:
    """Rows of the same method that two tables print."""
    ucf = [c for t in ("table-3", "table-6") for c in find("avca-2022", t).claims if c.dataset == "ucf"]
    made = trials(prospects([c for c in ucf if c.row in ("AVCA", "l")], "demo"), (0, 1))
    assert [len(trial.runs) for trial in made] == [2, 2]
    assert len(runs_of(made)) == 2


def test_a_method_that_cannot_read_the_features_says_so() -> None:
    claims_of = find("ez-avgzl-2024", "table-2").claims
    made = trials(prospects([c for c in claims_of if c.row in ("CJME", "TCaF")], "demo-temporal"), (0,))
    reasons = {trial.claim.row: (len(trial.runs), trial.prospect.reason) for trial in made}
    assert reasons["TCaF"] == (1, "")
    assert reasons["CJME"][0] == 0
    assert "reads averaged features" in reasons["CJME"][1]
    with pytest.raises(UsageError, match="reads averaged features"):
        trials(prospects([c for c in claims_of if c.row == "CJME"], "demo-temporal"), (0,))


def test_nothing_is_trained_without_features(call: Call, tmp_path: Path) -> None:
    code, out, err = call("avca-2022", "table-4")
    assert (code, out) == (3, "")
    assert "no row can be run: no features vggsound/main are installed; no features ucf/main are installed; " in err
    assert "--features demo" in err
    assert not (tmp_path / "results").exists()
    tables = find_tables("sten-2026")
    with pytest.raises(UsageError, match="no method STEN is installed"):
        require_reachable(tables, prospects(tables[0].claims))
    with pytest.raises(DataError, match="ucf/cls-temporal"):
        require_reachable(find_tables("tcaf-2022", "issue 2"), prospects(find("tcaf-2022", "issue 2").claims))


def test_what_is_installed_is_run(tmp_path: Path, call: Call) -> None:
    install(tmp_path, "ucf")
    found = prospects(find("avca-2022", "table-4").claims)
    assert {str(p.claim.track): p.state for p in found} == {
        "vggsound/main": "needs features",
        "ucf/main": "reachable",
        "activitynet/main": "needs features",
    }
    code, out, err = call("avca-2022", "4", "--dry-run", "--json", "--seeds", "2")
    assert (code, err) == (0, "")
    runs = json.loads(out)
    assert Counter(run["row"] for run in runs) == dict.fromkeys(find("avca-2022", "4").rows, 2)
    assert all(" ucf/main as-published " in run["run"] for run in runs)
    assert {run["options"]["batches_per_epoch"] for run in runs} == {500}


# What comes of it


def no_recalls(_: RunRecord) -> Recalls:
    raise AssertionError("nothing was run")


def planned(record: RunRecord) -> PlannedRun:
    return PlannedRun(record.configuration, record.variant)


def trial_of(claim: Claim, records: list[RunRecord]) -> Trial:
    found = Prospect(claim, Recipe(claim.method, claim.variant, ()), claim.track)
    return Trial(found, tuple(map(planned, records)), 0.5 if claim.method == "cjme" else 1.0)


@pytest.fixture
def mdii(tmp_path: Path) -> tuple[ReproducedTable, list[RunRecord], ResultsFolder]:
    """Table 2 of MDII on UCF: CJME ran three times, AVCA twice and failed once, the others have no runs."""
    table = PrintedTable(
        find("mdii-2023", "table-2").entry, tuple(c for c in find("mdii-2023", "2").claims if c.dataset == "ucf")
    )
    track = Track("ucf", "main")
    runs = [simulated_run(m, track, COMPARABLE, s, clips=3) for m, n in (("cjme", 3), ("avca", 2)) for s in range(n)]
    failed = record_of(simulated_run("avca", track, COMPARABLE, 2, clips=3)[0].configuration)
    folder = store(tmp_path / "r", runs)
    records = [record for record, _ in runs]
    made = [trial_of(c, [r for r in [*records, failed] if r.configuration.method == c.method]) for c in table.claims]
    gate = {records[0].identity: ["identical to another"]}
    (found,) = reproduced([(table, made)], records, lambda record: recalls_of_run(record, folder), gate)
    return found, records, folder


def test_a_cell_is_the_mean_with_the_one_interval_less_the_printed_number(
    mdii: tuple[ReproducedTable, list[RunRecord], ResultsFolder],
) -> None:
    found, records, folder = mdii
    rows = {row.claim.row: row for row in found.rows}
    cjme = rows["CJME"]
    one = intervals(Recalls.together([recalls_of_run(record, folder) for record in records[:3]]))
    for metric, printed in {"S": 26.04, "U": 8.21, "HM": 1.48, "ZSL": 8.29}.items():
        cell = cjme.cells[metric]  # type: ignore[index]
        mean = fmean(getattr(r.outcome.metrics, metric) for r in records[:3] if r.outcome)
        assert (cell.printed, cell.mean) == (printed, pytest.approx(mean))
        assert cell.difference == pytest.approx(mean - printed)
        assert cell.interval == one[metric]  # type: ignore[index]
        assert cell.difference_interval
        assert cell.difference_interval.low == pytest.approx(one[metric].low - printed)  # type: ignore[index]
        assert cell.difference_interval.low < cell.difference < cell.difference_interval.high
    assert [fault.id for fault in cjme.cells["HM"].faults] == ["H1", "X1"]
    avca = rows["AVCA"]
    assert avca.lacking == 1
    assert avca.cells["HM"].mean is not None
    assert avca.cells["HM"].interval is None
    assert rows["Ours"].cells["HM"].difference is None
    assert found.within == (sum(one[m].low <= c.printed <= one[m].high for m, c in cjme.cells.items()), 4)


def test_the_table_says_what_must_be_known_beside_the_numbers(
    mdii: tuple[ReproducedTable, list[RunRecord], ResultsFolder],
) -> None:
    text = table_text(mdii[0], Conditions(COMPARABLE, 3, None, False, 0.5))
    lines = text.splitlines()
    assert lines[0] == "mdii-2023 table-2: State of the art"
    assert "BUDGET 0.5: trained for 50 to 100 % of the steps of the presets" in lines
    for said in (
        "quoted from avca-2022 table-2",
        "1 of 3 runs failed or do not verify",
        "identical to another",
        NOT_VERIFIED,
        "known of the printed number (harmonic-mean): S 26.04 and U 8.21 give 12.484; avca-2022 and hyper-2023 "
        "print 12.48 (lost digit); should be 12.48",
    ):
        (at,) = [line.split(" ")[0] for line in lines if line.endswith(f"] {said}")]
        assert sum(at in line for line in lines) > 1, said  # it is referred to
    assert OFF_PRESET not in text
    assert INCOMPLETE not in text
    rows = [line.split()[0] for line in lines if " printed " in f"{line} "]
    assert rows[:4] == ["ALE", "SJE", "DeViSE", "APN"]
    assert "printed numbers lie in the interval of their re-run." in lines[-1]
    assert "not on those of the paper" not in table_text(mdii[0], Conditions(COMPARABLE, 3, "main", False, 1))
    simulated = Conditions(COMPARABLE, 3, "demo", True, 1)
    assert "lie in the interval" not in table_text(mdii[0], simulated)
    assert table_json(mdii[0], simulated)["within_interval"] is None


def test_a_narrow_terminal_gets_a_block_for_each_data_set(monkeypatch: pytest.MonkeyPatch) -> None:
    table = find("avca-2022", "table-2")
    (found,) = reproduced([(table, [trial_of(c, []) for c in table.claims])], [], no_recalls, {})
    conditions = Conditions(COMPARABLE, 1, None, False, 1)
    assert table_text(found, conditions).count("AVCA ") == 1
    monkeypatch.setenv("COLUMNS", "70")
    narrow = table_text(found, conditions)
    assert narrow.count("AVCA ") == 3
    grid, _, _ = narrow.partition("\n\n[1] ")
    assert max(map(len, grid.split("\n\n", 1)[1].splitlines())) <= 70
    assert "1 seed, too few for an interval (3 are needed)" in narrow
    assert table_json(found, conditions)["rows"][0]["cells"][0]["mean"] is None


def test_runs_are_done_where_run_does_them(call: Call, monkeypatch: pytest.MonkeyPatch) -> None:
    done: list[tuple[Here | Slurm, int, Isolation]] = []

    def carry_out(self: Here | Slurm, planned: Sequence[PlannedRun], *_: object, **how: Any) -> list[RunRecord]:
        done.append((self, len(planned), how["isolation"]))
        return []

    monkeypatch.setattr(Here, "carry_out", carry_out)
    monkeypatch.setattr(Slurm, "carry_out", carry_out)
    arguments = ("ez-avgzl-2024", "2", "--rows", "CJME", "--features", "demo")
    assert call(*arguments, "--executor", "slurm", "--slurm", "partition=long,cpus=8", "--jobs", "2")[0] == 0
    assert call(*arguments, "--device", "cpu", "--isolation", "process", "--isolation-timeout", "60")[0] == 0
    (there, many, _), (here, _, isolation) = done
    assert isinstance(there, Slurm)
    assert (there.settings.partition, there.jobs, many) == ("long", 2, 3)
    assert isinstance(here, Here)
    assert (isolation.kind, isolation.seconds) == ("process", 60)
    code, _, err = call(*arguments, "--slurm", "partition=long")
    assert code == 2
    assert "add --executor slurm" in err
    assert len(done) == 2


def test_a_table_runs_once_goes_on_and_is_marked(call: Call, tmp_path: Path) -> None:
    arguments = ("ez-avgzl-2024", "2", "--rows", "CJME", "--features", "demo", "--budget", "0.03", "--device", "cpu")
    code, out, _ = call(*arguments)
    assert code == 0
    assert "SIMULATED: run on demo features and small presets, says nothing about real data" in out
    marked = "BUDGET 0.03: trained for 2.5 % of the steps of the presets"  # one of the 40 batches of an epoch
    assert marked in out
    assert "33.89" in out
    folder = ResultsFolder(tmp_path / "results")
    records = [r for r in folder.records() if isinstance(r, RunRecord)]
    records.sort(key=lambda r: r.configuration.seed)
    assert [(str(r.configuration.track), r.configuration.seed) for r in records] == [("ucf/demo", s) for s in range(3)]
    assert {r.configuration.protocol.name for r in records} == {COMPARABLE}
    assert set(results_frame(records)["marks"]) == {f"simulated; {OFF_PRESET}"}
    assert set(results_frame(records)["changes"]) == {"batches_per_epoch=1"}
    mean = fmean(r.outcome.metrics.HM for r in records if r.outcome)
    assert f"{mean:.2f}" in out

    removed = folder.path(records[1].configuration)
    removed.unlink()
    times = {path: path.stat().st_mtime_ns for path in folder.root.rglob("*.json")}
    _, told, _ = call(*arguments, "--dry-run")
    assert "3 runs, 2 finished already" in told
    assert marked in told
    assert "SIMULATED" in told
    code, again, err = call(*arguments)
    assert (code, again) == (0, out)
    assert "seed 1: S" in err
    assert "seed 0: S" not in err
    assert removed.exists()
    assert {path: path.stat().st_mtime_ns for path in times} == times

    code, told, _ = call(*arguments, "--json")
    (table,) = json.loads(told)
    assert (table["simulated"], table["budget"], table["seeds"]) == (True, 0.03, 3)
    (row,) = table["rows"]
    assert row["share_of_steps"] == 0.025
    assert (row["printed_on"], row["run_on"], row["method"], len(row["runs"])) == ("ucf/cls", "ucf/demo", "cjme", 3)
    assert {c["metric"]: c["mean"] for c in row["cells"]}["HM"] == pytest.approx(mean)


def test_a_run_that_does_not_verify_does_not_count(
    tmp_path: Path, mdii: tuple[ReproducedTable, list[RunRecord], ResultsFolder]
) -> None:
    from avbench.leaderboard.cli.results import sound_of

    _, records, folder = mdii
    assert records[0].outcome
    forged = altered(records[0], metrics=records[0].outcome.metrics.model_copy(update={"HM": 99.0}))
    folder.path(forged.configuration).write_text(forged.to_json(), "utf-8")
    assert forged.identity not in {r.identity for r in sound_of([forged, *records[1:]], folder).records}


def test_wrong_words_are_refused_before_anything_is_planned(call: Call) -> None:
    assert call()[0] == 2
    assert "name a paper" in call()[2]
    assert "budget 2.0" in call("avca-2022", "4", "--budget", "2")[2]
    code, out, err = call("hyper-2023", "7", "--features", "demo")
    assert (code, out) == (2, "")
    assert "prints no accuracies" in err
