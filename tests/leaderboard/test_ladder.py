"""What boards say of repetitions: on every page, in every download, and as something that a board may require."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path

import pytest
from simulated_reproductions import differing, failing, reproduction
from simulated_results import altered, simulated_run, store
from simulated_site import UCF, Document

from avbench.harness.plugins.about import about_of
from avbench.harness.plugins.presets import changes_in_words
from avbench.harness.plugins.registry import plugins
from avbench.harness.records.record import RunRecord
from avbench.harness.records.results import ResultsFolder
from avbench.leaderboard.boards import build_boards
from avbench.leaderboard.cli.results import sound
from avbench.leaderboard.frame import folder_frame, results_frame, rows_frame
from avbench.leaderboard.ladder import LADDER, Rung
from avbench.leaderboard.site import build_site, links
from avbench.leaderboard.site.files import hashes
from avbench.leaderboard.site.model import Site
from avbench.leaderboard.tables import compared, render

EXPECTED = {
    "blind": "reproduced blind 2 of 5 seeds, HM +0.25",
    "plain": "reproduced 1 of 1 seed",
    "claims": "verified only",
    "other": "not reproduced 1 of 2 seeds, HM \N{MINUS SIGN}9.00",
    "broken": "not reproduced 1 of 1 seed, the repetition failed",
}


def filled(root: Path) -> ResultsFolder:
    runs = [simulated_run("blind", UCF, seed=seed, skill=0.6) for seed in range(5)]
    runs += [simulated_run(name, UCF) for name in ("plain", "claims", "broken")]
    runs += [simulated_run("other", UCF, seed=seed) for seed in range(2)]
    folder = store(root, runs)
    by = {(r.configuration.method, r.configuration.seed): r for r, _ in runs}
    for record, told in (
        (by["blind", 0], reproduction(by["blind", 0])),
        (by["blind", 1], differing(by["blind", 1], 0.25)),
        (by["blind", 2], reproduction(by["blind", 2], "process")),
        (by["plain", 0], reproduction(by["plain", 0], "none", by="<b>me</b>")),
        (by["claims", 0], reproduction(by["claims", 0], claimed=True)),
        (by["claims", 0], reproduction(altered(by["claims", 0], parameters=1), by="stale")),
        (by["other", 0], reproduction(by["other", 0], "none")),
        (by["other", 1], differing(by["other", 1], -9)),
        (by["broken", 0], failing(by["broken", 0])),
    ):
        folder.save_reproduction(record, told)
    return folder


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> ResultsFolder:
    return filled(tmp_path_factory.mktemp("results"))


@pytest.fixture(scope="module")
def built(folder: ResultsFolder, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Site]:
    out = tmp_path_factory.mktemp("site") / "out"
    return out, build_site(folder, out)


def row_of(path: Path, method: str) -> str:
    rows = [[" ".join(cell.split()) for cell in row] for row in Document(path.read_text("utf-8")).rows]
    return next(" | ".join(row) for row in rows if row and row[0].startswith(method))


def record_of(folder: ResultsFolder, method: str) -> RunRecord:
    return next(r for r in folder.records() if isinstance(r, RunRecord) and r.configuration.method == method)


def board_page(site: Site) -> str:
    return next(links.board(b.board) for b in site.real if b.board.track == UCF and b.board.protocol == "aligned")


@pytest.mark.parametrize("method", EXPECTED)
def test_every_row_of_a_board_says_what_was_repeated(built: tuple[Path, Site], method: str) -> None:
    out, site = built
    assert f" | {EXPECTED[method]} | " in row_of(out / board_page(site), method)


def test_the_first_page_the_page_of_a_method_and_that_of_a_run_say_it(
    built: tuple[Path, Site], folder: ResultsFolder
) -> None:
    out, _ = built
    assert EXPECTED["blind"] in row_of(out / "index.html", "ucf/main")
    (page,) = (out / "methods").glob("blind*.html")
    assert EXPECTED["blind"] in row_of(page, "ucf/main")
    runs = {name: (out / links.run(record_of(folder, name))).read_text("utf-8") for name in EXPECTED}
    assert "same bits, repeated blind" in runs["blind"]
    assert "&lt;b&gt;me&lt;/b&gt;" in runs["plain"]
    assert "claimed by the submitter" in runs["claims"]
    assert "failed: OSError: no file" in runs["broken"]


def test_what_does_not_count_is_listed(built: tuple[Path, Site]) -> None:
    out, _ = built
    assert "reproduction by stale: speaks of another record" in (out / "rejected.html").read_text("utf-8")


def test_downloads_feed_and_tables_have_it(built: tuple[Path, Site], folder: ResultsFolder) -> None:
    out, _ = built
    lines = list(csv.DictReader(io.StringIO((out / "data" / "results.csv").read_text("utf-8"))))
    told = {line["method"]: line for line in lines if line["source"] == "run"}
    assert {name: told[name]["reproduction"] for name in EXPECTED} == {
        name: next(status for status in LADDER if EXPECTED[name].startswith(status)) for name in EXPECTED
    }
    assert (told["blind"]["reproduced_seeds"], float(told["blind"]["reproduction_difference"])) == ("2", 0.25)
    assert float(told["other"]["reproduction_difference"]) == -9
    as_json = {line["method"]: line for line in json.loads((out / "data" / "results.json").read_text("utf-8"))}
    assert as_json["claims"]["reproduction"] == "verified only"
    assert "reproduced blind (2 of 5 seeds, HM +0.25)" in (out / "feed.xml").read_text("utf-8")
    chosen = sound(folder)
    rows = rows_frame(results_frame(chosen.records, gate_marks=chosen.marks, reproductions=chosen.reproductions))
    assert dict(zip(rows["method"], rows["reproduction"], strict=True))["other"] == "not reproduced"
    text = render(compared(build_boards(chosen.records, (), lambda _: {}, reproductions=chosen.reproductions)), "text")
    assert "other [not reproduced]" in text
    assert "claims [" not in text
    runs = folder_frame(folder)
    assert runs["reproduction"].value_counts().to_dict() == {
        "verified only": 3,
        "reproduced": 3,
        "reproduced blind": 2,
        "not reproduced": 2,
    }


def test_records_without_their_folder_are_not_judged() -> None:
    rows = rows_frame(results_frame([simulated_run("one", UCF)[0]]))
    assert rows["reproduction"].tolist() == [None]


def test_two_builds_are_the_same_bytes(built: tuple[Path, Site], folder: ResultsFolder, tmp_path: Path) -> None:
    build_site(folder, tmp_path / "again")
    assert hashes(built[0]) == hashes(tmp_path / "again")


@pytest.mark.parametrize(("require", "stays"), [("reproduced", {"blind", "plain"}), ("blind", {"blind"})])
def test_a_board_may_require_it(folder: ResultsFolder, tmp_path: Path, require: str, stays: set[str]) -> None:
    site = build_site(folder, tmp_path / "out", require=require)  # type: ignore[arg-type]
    assert {r.configuration.method for r in site.gate.sound} == stays
    pages = {p.name for p in (tmp_path / "out" / "runs").glob("*.html")}
    assert len(pages) == len(site.gate.sound)
    text = (tmp_path / "out" / "rejected.html").read_text("utf-8")
    assert "its row is not reproduced; this board requires" in text
    assert "Only rows that are reproduced" in (tmp_path / "out" / "index.html").read_text("utf-8")
    assert len(site.gate.withheld) == 10 - len(site.gate.sound)


def test_the_words_of_a_rung() -> None:
    assert str(Rung("verified only", 0, 3, None)) == "verified only"
    assert str(Rung("reproduced blind", 2, 5, 0.25)) == "reproduced blind (2 of 5 seeds, HM +0.25)"
    assert str(Rung("not reproduced", 1, 1, None)) == "not reproduced (1 of 1 seed, the repetition failed)"
    places = [Rung(status, 1, 1, 0.0).place for status in ("reproduced blind", "reproduced", "verified only")]
    assert places == [0, 1, 2]


def test_labels_and_pages_are_whole_without_the_package(tmp_path: Path) -> None:
    registered = plugins().method("sje")
    options = registered.method.Options.effective(UCF, "aligned").model_dump(mode="json")
    about = about_of(registered).model_copy(update={"title": "Elsewhere", "where": "https://example.org/elsewhere"})
    changed = {**options, "epochs": 7}
    runs = [
        simulated_run("elsewhere", UCF, options=options, about=about),
        simulated_run("elsewhere", UCF, options=changed, about=about),
    ]
    assert [changes_in_words(record) for record, _ in runs] == ["", "epochs=7"]
    set_by = about.model_copy(update={"variant": {"epochs": 7}})
    assert changes_in_words(runs[1][0].model_copy(update={"about": set_by})) == ""
    assert changes_in_words(runs[1][0].model_copy(update={"about": None})).startswith("options ")
    build_site(store(tmp_path / "results", runs), tmp_path / "out")
    (page,) = (tmp_path / "out" / "methods").glob("elsewhere*.html")
    text = page.read_text("utf-8")
    for told in ("Elsewhere", "https://example.org/elsewhere", "batches_per_epoch", "Presets", "epochs=7"):
        assert told in text
