"""The built site: complete without scripts, every link leads somewhere, same input same bytes, nothing inline."""

from __future__ import annotations

import csv
import io
import json
import re
import shlex
import xml.etree.ElementTree as ET
from html import unescape
from itertools import pairwise
from pathlib import Path
from types import ModuleType
from urllib.parse import unquote, urlsplit

import pytest
from command_words import unknown_words
from simulated_results import reconfigured, simulated_run, store
from simulated_site import METHODS, UCF, Document, results

from avbench.harness.cli import main
from avbench.harness.errors import UsageError
from avbench.harness.plugins.registry import Loaded, Plugins, plugins
from avbench.harness.plugins.site_page import SitePage
from avbench.harness.records.record import About
from avbench.harness.records.results import ResultsFolder
from avbench.harness.records.verification import check
from avbench.harness.tracks import Track
from avbench.leaderboard.claims import claims, papers
from avbench.leaderboard.site import build_site, links
from avbench.leaderboard.site.files import MANIFEST, hashes
from avbench.leaderboard.site.model import Site
from avbench.leaderboard.statistics import TEST_IN_WORDS

ROOT = Path(__file__).parents[2]
POLICY = (
    "default-src 'none'; style-src 'self'; script-src 'self'; img-src 'self' data:; base-uri 'none'; form-action 'none'"
)


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Site]:
    root = tmp_path_factory.mktemp("site")
    site = build_site(results(root / "results"), root / "out")
    return root / "out", site


@pytest.fixture(scope="module")
def documents(built: tuple[Path, Site]) -> dict[str, Document]:
    out, _ = built
    return {p.relative_to(out).as_posix(): Document(p.read_text("utf-8")) for p in sorted(out.rglob("*.html"))}


def table_rows(document: Document) -> list[str]:
    return [" | ".join(" ".join(cell.split()) for cell in row) for row in document.rows]


def test_every_internal_link_and_anchor_resolves(built: tuple[Path, Site], documents: dict[str, Document]) -> None:
    out, _ = built
    checked = 0
    for path, document in documents.items():
        assert len(set(document.ids)) == len(document.ids), path
        for link in document.links:
            parts = urlsplit(link)
            if parts.scheme in ("https", "http", "data"):
                continue
            target = (out / path).parent / unquote(parts.path) if parts.path else out / path
            target = target.resolve()
            assert target.is_file(), f"{path} links to {link}"
            assert target.is_relative_to(out.resolve()), f"{path} links out of the site: {link}"
            if parts.fragment:
                name = target.relative_to(out.resolve()).as_posix()
                assert parts.fragment in documents[name].ids, f"{path} links to {link}"
            checked += 1
    assert checked > 1000


def test_every_page_can_be_reached(documents: dict[str, Document]) -> None:
    reached, waiting = set(), ["index.html"]
    while waiting:
        path = waiting.pop()
        if path in reached:
            continue
        reached.add(path)
        base = Path("/") / path
        for link in documents[path].links:
            target = urlsplit(link).path
            if target.endswith(".html") and not urlsplit(link).scheme:
                waiting.append(str((base.parent / target).resolve().relative_to("/")))
    assert reached == set(documents)


def test_pages_carry_the_policy_and_nothing_inline(documents: dict[str, Document]) -> None:
    for path, document in documents.items():
        policies = [a["content"] for tag, a in document.tags if a.get("http-equiv") == "Content-Security-Policy"]
        assert policies == [POLICY], path
        for tag, attributes in document.tags:
            assert tag not in ("style", "iframe", "object", "embed", "base", "form"), path
            assert tag != "script" or attributes.get("src"), path
            assert "style" not in attributes, path
            assert not [name for name in attributes if name.startswith("on")], path
            assert not str(attributes.get("href", "")).lower().startswith("javascript"), path


def test_pages_have_headings_in_order_and_named_tables(documents: dict[str, Document]) -> None:
    for path, document in documents.items():
        levels = [int(tag[1]) for tag, _ in document.tags if tag in ("h1", "h2", "h3")]
        assert levels.count(1) == 1, path
        assert levels[0] == 1, path
        assert all(after <= before + 1 for before, after in pairwise(levels)), path
        images = [a for tag, a in document.tags if tag == "svg"]
        assert all(a.get("role") == "img" and a.get("aria-label") for a in images), path


def test_two_builds_are_the_same_bytes(built: tuple[Path, Site], tmp_path: Path) -> None:
    out, _ = built
    build_site(results(tmp_path / "elsewhere"), tmp_path / "again", processes=1)
    assert hashes(tmp_path / "again") == hashes(out)
    assert (tmp_path / "again" / MANIFEST).read_bytes() == (out / MANIFEST).read_bytes()
    for path in (p for p in out.rglob("*") if p.is_file()):
        assert str(tmp_path).encode() not in path.read_bytes()


def test_a_second_build_replaces_the_first(tmp_path: Path) -> None:
    folder = results(tmp_path / "results")
    build_site(folder, tmp_path / "out")
    first = hashes(tmp_path / "out")
    removed = next((tmp_path / "results").rglob("*/stranger/*/*.json"))
    removed.unlink()
    build_site(folder, tmp_path / "out")
    assert f"runs/{removed.stem}.html" in first
    assert f"runs/{removed.stem}.html" not in hashes(tmp_path / "out")
    assert sorted(p.name for p in tmp_path.iterdir()) == ["out", "results"]


def test_a_folder_with_something_else_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("mine")
    with pytest.raises(UsageError, match="name another folder"):
        build_site(ResultsFolder(tmp_path / "results"), tmp_path)
    assert (tmp_path / "notes.txt").read_text() == "mine"


def test_without_any_result_the_claims_are_shown(tmp_path: Path) -> None:
    site = build_site(ResultsFolder(tmp_path / "nothing"), tmp_path / "out")
    assert not site.gate.sound
    text = (tmp_path / "out" / "boards/ucf/main/as-published-v1.html").read_text("utf-8")
    assert "Nothing was re-run here yet" in text
    assert "27.15" in text
    assert "nothing re-run yet" in (tmp_path / "out" / "index.html").read_text("utf-8")


def test_boards_show_re_run_and_claimed_rows_apart(documents: dict[str, Document]) -> None:
    rows = table_rows(documents["boards/ucf/main/as-published-v1.html"])
    rerun = next(i for i, row in enumerate(rows) if row.startswith("Re-run under as-published"))
    claimed = next(i for i, row in enumerate(rows) if row.startswith("Claimed"))
    assert claimed < rerun, "features that are not verified never rank among printed numbers"
    assert "not verified as the genuine ones" in rows[rerun]
    assert [row.split()[0] for row in rows[rerun + 1 :]] == ["sje", "ale", "avca"][: len(METHODS)]
    printed = next(row for row in rows[claimed:rerun] if row.startswith("AVCA | "))
    assert "51.53 | 18.43 | 27.15 | 20.01" in printed
    assert not [row for row in table_rows(documents["boards/ucf/main/aligned-v1.html"]) if row.startswith("Claimed")]


def test_deviation_from_the_claim_is_shown(built: tuple[Path, Site], documents: dict[str, Document]) -> None:
    _, site = built
    board = next(b for b in site.real if str(b.board.track) == "ucf/main" and b.board.protocol == "as-published")
    row = next(r.row for r in board.groups[0].rows if r.row.method == "avca")
    delta = f"{row.metrics['HM'].mean - 27.15:+.2f}".replace("-", "−")
    line = next(
        r
        for r in table_rows(documents["boards/ucf/main/as-published-v1.html"])
        if r.startswith("avca features not verified | seed 0")
    )
    assert f"| {delta} |" in line
    assert f"{row.metrics['HM'].mean:.2f} ± {row.metrics['HM'].deviation:.2f}" in line


def test_marked_cells_give_the_reason(built: tuple[Path, Site], documents: dict[str, Document]) -> None:
    out, _ = built
    text = (out / "boards/ucf/main/as-published-v1.html").read_text("utf-8")
    rows = table_rows(documents["boards/ucf/main/as-published-v1.html"])
    assert any("1.48H1" in row for row in rows)
    assert "S 26.04 and U 8.21 give 12.484" in text
    assert 'id="fault-H1"' in text
    assert TEST_IN_WORDS in text


def test_a_row_with_fewer_than_three_seeds_says_so(built: tuple[Path, Site], documents: dict[str, Document]) -> None:
    rows = table_rows(documents["boards/ucf/main/aligned-v1.html"])
    few = next(row for row in rows if row.startswith("stranger (wide,"))
    assert "fewer than 3 seeds | seed 0 | 1–4 | " in few
    assert sum("fewer than 3 seeds" in row for row in rows) == 2
    home = table_rows(documents["index.html"])
    lead = next(row for row in home if row.startswith("ucf/main | aligned"))
    assert "cannot be told apart from it, 1 of them with fewer than 3 seeds" in lead


def test_marks_travel_with_the_number_everywhere(tmp_path: Path) -> None:
    """Cases B6, B7: marks were on boards only, and a namesake took over the page of a published method."""
    record, evidence = simulated_run("mstr", UCF, "as-published", features_source="my own encoder", warnings=["gone"])
    plugin = record.configuration.plugin.model_copy(update={"distribution": "evil"})
    record = reconfigured(record, plugin=plugin)
    out = tmp_path / "site"
    build_site(store(tmp_path / "results", [(record, evidence)]), out, processes=1)
    board = "boards/ucf/main/as-published-v1"
    places = [f"{board}.html", f"{board}.csv", f"{board}.tex", f"{board}.json", "index.html", "averages.html"]
    for place in (*places, "methods/mstr~evil.html", links.run(record), "feed.xml"):
        text = (out / place).read_text("utf-8")
        for mark in ("incomplete features", "features not verified", "presets not known"):
            assert mark in text, (place, mark)
        if not place.startswith("runs"):
            assert "fewer than 3 seeds" in text, place
    for place in (f"{board}.html", f"{board}.csv", links.run(record)):
        assert "my own encoder" in (out / place).read_text("utf-8"), place
    assert links.run(record) not in (out / "methods/mstr.html").read_text("utf-8")


def test_other_contents_of_features_are_other_groups(documents: dict[str, Document]) -> None:
    rows = table_rows(documents["boards/ucf/main/aligned-v1.html"])
    groups = [row for row in rows if row.startswith("Re-run")]
    assert len(groups) == 2
    assert "abababababab" in groups[1]


def test_a_board_tells_what_the_encoders_had_met(tmp_path: Path) -> None:
    """By the gravest declaration of its records: that of one does not speak for a record that says nothing."""
    silent = "encoders’ training not declared"
    expected = {
        "the data set": "encoders have seen this data set",
        "unseen classes": "encoders have seen the unseen classes",
        "not declared": silent,
        "neither": silent,
    }
    runs = [
        simulated_run("ale", Track("ucf", f"own-{n}"), seed=seed, encoders_met=met)
        for n, met in enumerate(expected)
        for seed, met in enumerate((met, "not declared"))
    ]
    runs += [simulated_run("ale", Track("ucf", "own-4"), encoders_met="neither")]
    build_site(store(tmp_path / "results", runs), tmp_path / "out")
    for number, text in enumerate((*expected.values(), None)):
        page = Document((tmp_path / "out" / f"boards/ucf/own-{number}/aligned-v1.html").read_text("utf-8"))
        (header,) = (row for row in table_rows(page) if row.startswith("Re-run under aligned"))
        assert header.endswith(text) if text else "encoders" not in header


def test_demo_stands_beside_nothing_real(built: tuple[Path, Site], documents: dict[str, Document]) -> None:
    out, site = built
    simulated = [r for r in site.gate.sound if r.simulated]
    assert simulated
    names = {f"runs/{record.identity[:20]}.html" for record in simulated}
    for path, document in documents.items():
        targets = {str((Path("/") / path).parent / urlsplit(link).path) for link in document.links}
        linked = {str(Path(t).resolve().relative_to("/")) for t in targets}
        if path != "demo.html":
            assert not linked & names, path
        else:
            assert {name for name in linked if name.startswith("runs/")} == names
    assert "ucf/demo" not in (out / "index.html").read_text("utf-8")
    assert "demo" not in {row["features"] for row in csv.DictReader((out / "data/results.csv").open())}
    assert {row["features"] for row in csv.DictReader((out / "data/demo.csv").open())} == {"demo"}
    for name in names:
        assert "says nothing about real data" in (out / name).read_text("utf-8")


def test_rejected_and_failed_records_are_listed_with_reasons(built: tuple[Path, Site]) -> None:
    out, site = built
    text = (out / "rejected.html").read_text("utf-8")
    (rejected,) = site.gate.rejected
    assert rejected.method == "liar"
    assert "HM is stated as 99.0000" in text
    assert "scores are NaN" in text
    assert "liar" not in "".join(p.read_text("utf-8") for p in out.rglob("boards/**/*.html"))
    assert {r.configuration.seed for r in site.gate.failed} == {9}


def test_run_pages_tell_everything(built: tuple[Path, Site], documents: dict[str, Document]) -> None:
    out, site = built
    record = next(r for r in site.gate.sound if r.configuration.method == "avca" and not r.simulated)
    assert record.outcome is not None
    path = f"runs/{record.identity[:20]}.html"
    text = (out / path).read_text("utf-8")
    c = record.configuration
    command = (
        f"OMP_NUM_THREADS={record.environment.threads} avbench run --method avca "
        f"--dataset {c.dataset} --features {c.features} --protocol {c.protocol.name} "
        f"--seed {c.seed} --device cpu --fresh"
    )
    assert command in text
    for shown in (record.identity, record.outcome.evidence, c.feature_hash, f"{record.outcome.metrics.AUSUC:.2f}"):
        assert shown in text
    recalls = [row for row in documents[path].rows if len(row) == 4 and row[1] in ("seen", "unseen")]
    assert len(recalls) == (48 if c.features == "cls" else 51)
    mean = {side: [float(r[2]) for r in recalls if r[1] == side] for side in ("seen", "unseen")}
    assert sum(mean["seen"]) / len(mean["seen"]) == pytest.approx(record.outcome.metrics.S, abs=0.05)
    assert sum(mean["unseen"]) / len(mean["unseen"]) == pytest.approx(record.outcome.metrics.U, abs=0.05)
    assert json.loads((out / path).with_suffix(".json").read_text())["identity"] == record.identity


def test_what_is_needed_to_check_a_run_is_there(built: tuple[Path, Site], tmp_path: Path) -> None:
    """Record and evidence, put where the page says, verify; every page leads to how that is done."""
    out, site = built
    record = next(r for r in site.gate.sound if r.configuration.method == "avca" and not r.simulated)
    c, name = record.configuration, record.identity[:20]
    text = (out / "runs" / f"{name}.html").read_text("utf-8")
    assert f"{c.dataset}/{c.features}/{c.method}/{c.protocol.name}/{name}" in text
    assert f'href="../runs/{name}.safetensors" download' in text
    place = tmp_path / c.dataset / c.features / c.method / c.protocol.name
    place.mkdir(parents=True)
    for suffix in (".json", ".safetensors"):
        (place / f"{name}{suffix}").write_bytes((out / "runs" / f"{name}{suffix}").read_bytes())
    folder = ResultsFolder(tmp_path)
    assert list(folder.records()) == [record]
    assert not check(record, folder)
    for page in out.rglob("*.html"):
        assert "submit.html" in page.read_text("utf-8"), page


def test_small_things(built: tuple[Path, Site], documents: dict[str, Document]) -> None:
    out, _ = built
    text = (out / "boards/ucf/main/aligned-v1.html").read_text("utf-8")
    assert re.search(r"About the data</a>\.\s+Numbers printed", text)
    assert "1 record was left out" in (out / "index.html").read_text("utf-8")
    rows = table_rows(documents["methods.html"])
    assert any(row.startswith("TCaF | 2022") for row in rows)
    claims = [row for row in table_rows(documents["methods/avca.html"]) if "ucf/" in row and "AVCA" in row]
    assert "full method" in claims[0]
    averages = table_rows(documents["averages.html"])
    assert not averages or averages[0].startswith("Method | Seeds")


def test_a_results_folder_that_is_not_there_costs_no_site(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Case: ``leaderboard build --results nope`` put an empty site in the place of a good one."""
    (tmp_path / "site").mkdir()
    with pytest.raises(SystemExit) as end:
        main(["leaderboard", "build", "--results", str(tmp_path / "nope"), "--site", str(tmp_path / "site")])
    assert end.value.code == 2
    assert f"no folder {tmp_path / 'nope'}" in capsys.readouterr().err
    assert list(tmp_path.rglob("*")) == [tmp_path / "site"]


def test_who_submits_installs_the_method_first(tmp_path: Path) -> None:
    build_site(ResultsFolder(tmp_path / "none"), tmp_path / "site")
    text = (tmp_path / "site" / "submit.html").read_text("utf-8")
    assert text.index("methods new mine") < text.index("pip install -e avbench-mine") < text.index("methods check mine")


def test_the_project_is_linked_where_its_address_is_known(tmp_path: Path) -> None:
    build_site(ResultsFolder(tmp_path / "none"), tmp_path / "site", project="https://host.invalid/lab/board/")
    text = (tmp_path / "site" / "submit.html").read_text("utf-8")
    for place in ("", "/blob/HEAD/docs/index.md", "/blob/HEAD/docs/how-to/submit.md"):
        assert f'href="https://host.invalid/lab/board{place}"' in text


def test_options_that_differ_are_in_the_command(built: tuple[Path, Site]) -> None:
    out, site = built
    record = next(r for r in site.gate.sound if r.configuration.method == "stranger")
    text = (out / f"runs/{record.identity[:20]}.html").read_text("utf-8")
    assert "-p batch_size=256" in text
    assert "presets of this method are not known here" in text


def test_every_method_and_paper_has_its_page(documents: dict[str, Document]) -> None:
    for claim in claims():
        assert f"methods/{claim.method}.html" in documents
        rows = table_rows(documents[f"papers/{claim.paper}.html"])
        start = f"{claim.row} | {claim.track} |"
        assert any(row.startswith(claim.row) for row in rows), start
    assert {f"papers/{slug}.html" for slug in papers()} < set(documents)


def test_papers_show_what_was_obtained_beside_what_is_printed(documents: dict[str, Document]) -> None:
    rows = [r for r in table_rows(documents["papers/avca-2022.html"]) if r.startswith("AVCA | ucf/main | 51.53")]
    assert rows
    assert rows[0].count("±") == 4


def test_data_set_pages_name_wrong_vectors_and_shared_sources(documents: dict[str, Document]) -> None:
    rows = table_rows(documents["datasets/ucf.html"])
    assert len([row for row in rows if row.split(" | ")[0].isdigit()]) == 101
    assert any("PlayingFlute" in row and row.endswith("| Playing Guitar") for row in rows)
    assert any(row.startswith("test_seen | 555 | 555 | 100.0 %") for row in rows)


def test_defects_have_evidence(documents: dict[str, Document]) -> None:
    rows = table_rows(documents["defects.html"])
    assert any(row.startswith("UCF-GZSL | 79 of 101 | 23 of 30 | 8 of 12 | 31 of 42 | 5 of 9") for row in rows)
    assert sum(row.endswith("yes: permuted") for row in rows) == 4
    assert any(row.startswith("ucf/main | 11.11 | 11.11") for row in rows)


def test_commands_of_the_defects_exist_and_those_on_the_demo_can_be_planned(
    built: tuple[Path, Site], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    page = (built[0] / "defects.html").read_text("utf-8")
    lines = [
        shlex.split(unescape(line))
        for block in re.findall(r"<pre><code>(.*?)</code></pre>", page, re.DOTALL)
        for line in block.splitlines()
    ]
    commands = [words[1:] for words in lines if words[0] == "avbench"]
    assert len(commands) > 10
    for words in commands:
        assert not unknown_words(words), words
        if "demo" in words and words[0] == "run":
            main([*words, "--dry-run"])
    planned = capsys.readouterr().out.splitlines()
    assert sum(" hyper-alignment " in line for line in planned) == 5
    assert sum(line.endswith(": new") for line in planned) == len(planned) == 11
    tests = [word for words in lines if words[0] == "pytest" for word in words if word.startswith("tests/")]
    assert len(tests) == 2
    assert all((ROOT / test).is_file() for test in tests)


def test_downloads_hold_the_numbers(built: tuple[Path, Site]) -> None:
    out, site = built
    rows = list(csv.DictReader(io.StringIO((out / "data/results.csv").read_text("utf-8"))))
    runs = [row for row in rows if row["source"] == "run"]
    assert len(runs) == sum(len(b.board.rows) for b in site.real)
    assert all(float(r["HM_low"]) < float(r["HM_high"]) for r in runs if int(r["seeds"]) >= 3)
    assert {r["method"] for r in runs if r["HM_low"] == ""} == {"stranger"}
    assert all(int(r["best_rank"]) <= int(r["worst_rank"]) for r in runs)
    assert sum(len(row["runs"].split()) for row in runs) == sum(len(r.records) for b in site.real for r in b.board.rows)
    assert r"\toprule" in (out / "data/results.tex").read_text("utf-8")
    assert (out / "data/papers.bib").read_text("utf-8").count("@") >= len(papers())


def test_every_board_can_be_had_as_it_is_shown(built: tuple[Path, Site]) -> None:
    out, site = built
    assert any(not ranked.groups for ranked in site.real)
    for ranked in site.boards:
        stem = out / links.board_stem(ranked.board)
        rows = list(csv.DictReader(io.StringIO(stem.with_suffix(".csv").read_text("utf-8"))))
        reruns = [r for group in ranked.groups for r in group.rows]
        assert len(rows) == len(reruns) + len(ranked.board.claimed)
        printed, run = (rows[: len(rows) - len(reruns)], rows[len(rows) - len(reruns) :])
        for row, shown in zip(run, reruns, strict=True):
            assert row["marks"] == "; ".join(shown.row.marks)
            assert row["label"] == shown.row.label
            assert (int(row["best_rank"]), int(row["worst_rank"])) == (shown.standing.best, shown.standing.worst)
            interval = shown.intervals.get("HM")
            assert row["HM_low"] == (str(interval.low) if interval else "")
            assert float(row["seconds"]) > 0
            assert row["device"] == "cpu"
            assert bool(row["HM_minus_claim"]) == ("HM" in shown.row.deviations)
        for row, claimed in zip(printed, ranked.board.claimed, strict=True):
            assert (row["label"], row["best_rank"], row["seconds"]) == (claimed.title, "", "")
            assert row["source"].startswith("claimed, " + ", ".join(claimed.papers))
            assert {m: float(row[m]) for m in claimed.values} == claimed.values
            assert all(a.id in row["marks"] for found in claimed.anomalies.values() for a in found)
        assert len(json.loads(stem.with_suffix(".json").read_text("utf-8"))) == len(rows)
        tex = stem.with_suffix(".tex").read_text("utf-8")
        body = tex.split(r"\midrule")[1].split(r"\bottomrule")[0].strip().splitlines()
        assert len(body) == len(rows)
        assert {line.replace(r"\&", "").count("&") for line in body} == {7}


def test_our_own_data_is_guarded_too(built: tuple[Path, Site]) -> None:
    rows = list(csv.DictReader(io.StringIO((built[0] / "data/claims.csv").read_text("utf-8"))))
    assert "'+L_KD" in {row["row"] for row in rows}
    assert [row["row"].removeprefix("'") for row in rows] == [claim.row for claim in claims()]


def test_the_feed_is_dated_by_records(built: tuple[Path, Site]) -> None:
    out, site = built
    atom = "{http://www.w3.org/2005/Atom}"
    feed = ET.fromstring((out / "feed.xml").read_text("utf-8"))
    entries = feed.findall(f"{atom}entry")
    assert len(entries) == sum(len(b.board.rows) for b in site.real)
    assert {e.findtext(f"{atom}updated") for e in entries} == {"2024-05-01T12:00:00Z"}
    assert feed.findtext(f"{atom}updated") == site.updated


def test_the_feed_is_absolute_where_the_address_is_known(tmp_path: Path) -> None:
    folder = store(tmp_path / "results", [simulated_run("good", UCF)])
    build_site(folder, tmp_path / "out", url="https://example.org/board/")
    feed = ET.fromstring((tmp_path / "out" / "feed.xml").read_text("utf-8"))
    links = [link.attrib["href"] for link in feed.iter("{http://www.w3.org/2005/Atom}link")]
    assert len(links) == 3
    assert all(link.startswith("https://example.org/board/") for link in links)
    assert "boards/ucf/main/aligned-v1.html#row-" in links[2]


def test_many_records_are_checked_in_processes_with_the_same_result(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = results(tmp_path / "results")
    build_site(folder, tmp_path / "one", processes=1)
    monkeypatch.setattr("avbench.leaderboard.site.gate.FEW", 4)
    build_site(folder, tmp_path / "two", processes=2)
    assert hashes(tmp_path / "one") == hashes(tmp_path / "two")


def test_pages_of_packages_stand_in_the_frame_and_on_the_front_page(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plugin = ModuleType("simulated_plugin")
    plugin.avbench_site_pages = lambda records: [  # type: ignore[attr-defined]
        SitePage("counts", "Counts", f"<p id='counts'>{len(records)} runs</p>")
    ]
    found = Plugins(loaded=[Loaded("counting", "1.0", "pages", plugin, ("avbench_site_pages",))])
    monkeypatch.setattr("avbench.leaderboard.site.model.plugins", lambda: found)
    build_site(store(tmp_path / "results", [simulated_run("ale", UCF, "aligned", 0, 0.5)]), tmp_path / "out")
    page = Document((tmp_path / "out" / "more" / "counts.html").read_text("utf-8"))
    assert "counts" in page.ids
    assert "../index.html" in page.links
    assert "<p id='counts'>1 runs</p>" in (tmp_path / "out" / "more" / "counts.html").read_text("utf-8")
    assert "more/counts.html" in Document((tmp_path / "out" / "index.html").read_text("utf-8")).links


def test_two_methods_with_one_result_both_stand_and_say_so(tmp_path: Path) -> None:
    """As AVCA and Hyper-alignment do under as-published."""
    options = [plugins().method(m).method.Options.effective(UCF, "as-published") for m in ("avca", "hyper-alignment")]
    one, evidence = simulated_run("avca", UCF, "as-published", options=options[0].model_dump(mode="json"))
    other, _ = simulated_run("hyper-alignment", UCF, "as-published", options=options[1].model_dump(mode="json"))
    twin = other.model_copy(update={"outcome": one.outcome})
    site = build_site(store(tmp_path / "results", [(one, evidence), (twin, evidence)]), tmp_path / "site", processes=1)
    assert len(site.gate.sound) == 2
    board = (tmp_path / "site" / "boards/ucf/main/as-published-v1.html").read_text("utf-8")
    page = (tmp_path / "site" / links.run(one)).read_text("utf-8")
    assert "identical to hyper-alignment" in board
    assert "identical to avca" in board
    assert "identical to hyper-alignment" in page


def test_what_a_record_says_of_its_method_stands_where_the_method_is_not_installed(tmp_path: Path) -> None:
    record, evidence = simulated_run("mystery", Track("ucf", "main"))
    about = About(title="Mystery <b>", summary="It guesses.", citation="Nobody, 2026.", texts=["clip", "<i>clap"])
    store(tmp_path / "results", [(record.model_copy(update={"about": about}), evidence)])
    site = build_site(ResultsFolder(tmp_path / "results"), tmp_path / "out")
    (page,) = [p for p in (tmp_path / "out" / "methods").glob("*.html") if "mystery" in p.name]
    text = page.read_text("utf-8")
    assert "It guesses." in text
    assert "Nobody, 2026." in text
    assert "Mystery &lt;b&gt;" in text
    board = (tmp_path / "out" / links.board(site.boards[0].board)).read_text("utf-8")
    assert "it reads these: clip, &lt;i&gt;clap" in board
    assert "Code: built in." in (tmp_path / "out" / "methods" / "clipclap.html").read_text("utf-8")
    assert "texts: clip, clap" in (tmp_path / "out" / "methods" / "clipclap.html").read_text("utf-8")
