"""What answers at a glance: plots of home, boards and papers, comparisons, search, badges, previews of links."""

from __future__ import annotations

import io
import json
import re
import xml.etree.ElementTree as ET
from collections.abc import Iterator
from dataclasses import replace
from html import escape
from itertools import combinations
from pathlib import Path
from statistics import median
from urllib.parse import urlsplit

import numpy as np
import pytest
from command_words import command_of, unknown_words
from matplotlib.image import imread
from simulated_results import simulated_run, store
from simulated_site import Document

from avbench.analysis.paper_figures import FIGURES
from avbench.harness.plugins.registry import plugins
from avbench.harness.records.record import RunRecord
from avbench.harness.records.results import ResultsFolder
from avbench.harness.tracks import Track
from avbench.leaderboard.claims import PRINTED, claims, papers
from avbench.leaderboard.figures import paper_figures
from avbench.leaderboard.pairs import all_pairs
from avbench.leaderboard.ranking import recalls_of
from avbench.leaderboard.recalls import Recalls
from avbench.leaderboard.site import build_site, links
from avbench.leaderboard.site.comparisons import Comparable, comparables
from avbench.leaderboard.site.model import RankedBoard, Site
from avbench.leaderboard.site.obtained import cells_of
from avbench.leaderboard.site.over_years import of_years
from avbench.leaderboard.site.pages import badges
from avbench.leaderboard.site.plots.canvas import Canvas, Point
from avbench.leaderboard.site.plots.preview import HEIGHT, WIDTH, preview
from avbench.leaderboard.site.text import duration
from avbench.leaderboard.statistics import compare

UCF = Track("ucf", "main")
MARKUP = "</script><script>alert(1)</script>\u2028"


def runs() -> Iterator[tuple[RunRecord, bytes]]:
    """Two built-in methods with their presets under both protocols, one row with few seeds and markup, a demo track."""
    for number, method in enumerate(("avca", "ale")):
        for track, protocol in ((UCF, "as-published"), (UCF, "aligned"), (Track("ucf", "demo"), "aligned")):
            presets = plugins().methods[method].method.Options.effective(track, protocol).model_dump(mode="json")
            for seed in range(3):
                yield simulated_run(method, track, protocol, seed, 0.2 + 0.3 * number, options=presets)
    yield simulated_run("stranger", UCF, "aligned", 0, 0.1, options={"word": MARKUP}, variant=MARKUP)


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Site]:
    root = tmp_path_factory.mktemp("glance")
    folder = store(root / "results", list(runs()))
    return root / "out", build_site(folder, root / "out", processes=1, url="https://host.invalid/board")


def page(out: Path, path: str) -> str:
    return (out / path).read_text("utf-8")


def rows_of(out: Path, path: str) -> list[list[str]]:
    return [[" ".join(cell.split()) for cell in row] for row in Document(page(out, path)).rows]


def data_of(path: Path) -> tuple[str, object]:
    """The name of the call and what it hands over."""
    found = re.fullmatch(r"avbench\.(\w+)\((\"[^\"]*\"), (.*)\);\n", path.read_text("ascii"), re.DOTALL)
    assert found, path
    return found[1], json.loads(found[3])


def board_of(site: Site, protocol: str) -> RankedBoard:
    (board,) = (b for b in site.real if b.board.track == UCF and b.board.protocol == protocol)
    return board


def random_recalls(seeds: int, shift: float, number: int) -> Recalls:
    random = np.random.default_rng(number)
    sides = (np.clip(random.normal(50 + shift, 15, (seeds, n)), 0, 100) for n in (12, 7, 7))
    return Recalls(*sides)


def test_all_pairs_say_what_each_pair_says() -> None:
    rows = [random_recalls(3 + n % 3, 2.0 * n, n) for n in range(4)]
    rows.insert(2, random_recalls(2, 0, 9))  # too few seeds
    found = all_pairs(rows)
    for first, second in combinations(range(len(rows)), 2):
        for metric, expected in compare(rows[first], rows[second]).items():
            half, p = found[metric].half_widths[first, second], found[metric].p[first, second]
            if expected.interval is None:
                assert 2 in (first, second)
                assert np.isnan([half, p]).all()
            else:
                assert 2 * half == pytest.approx(expected.interval.high - expected.interval.low, rel=1e-9)
                assert p == pytest.approx(expected.p, rel=1e-9)


def real_group(site: Site) -> Comparable:
    (group,) = comparables(site, [b for b in site.real if b.board.track == UCF])
    return group


def test_rows_of_both_protocols_are_compared_as_the_statistics_compare_them(built: tuple[Path, Site]) -> None:
    out, site = built
    group = real_group(site)
    assert {c.board.board.protocol for c in group.candidates} == {"as-published", "aligned"}
    assert len(group.candidates) == 5
    data = {c.key: data_of(out / "compare/ucf/main" / f"{c.key}.js") for c in group.candidates}
    assert {name for name, _ in data.values()} == {"row"}
    for first, second in combinations(range(5), 2):
        one, other = group.candidates[first], group.candidates[second]
        told = data[one.key][1]["tests"].get(other.key)  # type: ignore[index]
        assert one.key not in data[other.key][1]["tests"]  # type: ignore[index]
        expected = compare(*(recalls_of(c.ranked.row, lambda r: site.gate.recalls[r.identity]) for c in (one, other)))
        for at, metric in enumerate(PRINTED):
            points = [data[c.key][1]["numbers"][at][0] for c in (one, other)]  # type: ignore[index]
            assert points[1] - points[0] == pytest.approx(expected[metric].points, abs=1e-9)
            shown = group.difference(first, second, metric)
            assert (shown.interval is None) == (expected[metric].interval is None) == (told is None)
            if told and shown.interval and expected[metric].interval:
                assert told[at][0] == pytest.approx((shown.interval.high - shown.interval.low) / 2, abs=1e-4)
                assert shown.interval.low == pytest.approx(expected[metric].interval.low, abs=1e-9)
                assert told[at][1] == pytest.approx(expected[metric].p, rel=0.01)


def test_the_comparison_page_is_whole_without_scripts(built: tuple[Path, Site]) -> None:
    out, site = built
    group = real_group(site)
    first, second = (c.ranked.row for c in group.candidates[:2])
    rows = rows_of(out, "compare/ucf/main.html")
    hm = next(row for row in rows if row[0] == "HM" and len(row) == 6)
    assert hm[1].startswith(f"{first.metrics['HM'].mean:.2f} ±")
    assert hm[3].replace("−", "-") == f"{second.metrics['HM'].mean - first.metrics['HM'].mean:+.2f}"
    assert hm[5].startswith("p ")
    classes = [row for row in rows if len(row) == 8 and row[1] in ("seen", "unseen")]
    assert len(classes) == len(group.seen) + len(group.unseen) == 51
    for side, metric in (("seen", "S"), ("unseen", "U")):
        mean = np.mean([float(row[2]) for row in classes if row[1] == side])
        assert mean == pytest.approx(first.metrics[metric].mean, abs=0.06)
    assert np.mean([float(row[5]) for row in classes if row[1] == "unseen"]) == pytest.approx(
        first.metrics["ZSL"].mean, abs=0.06
    )
    assert len([row for row in rows if len(row) == 5]) == 1 + 5  # all rows, under their heads
    _, names = data_of(out / "compare/ucf/main" / f"{group.key}.js")
    assert names == [list(group.seen), list(group.unseen)]


def test_options_that_differ_are_named_and_no_others(built: tuple[Path, Site]) -> None:
    group = real_group(built[1])
    places = {(c.ranked.row.method, c.board.board.protocol): n for n, c in enumerate(group.candidates)}
    same_method = group.differing_options(places["ale", "as-published"], places["ale", "aligned"])
    assert "protocol" in {name for name, _, _ in same_method}
    assert "method" not in {name for name, _, _ in same_method}
    assert group.differing_options(0, 0) == []


def test_simulated_rows_are_compared_apart(built: tuple[Path, Site]) -> None:
    out, _ = built
    assert "say nothing about real data" in page(out, "demo/compare/ucf/demo.html")
    assert "Simulated features:" not in page(out, "compare/ucf/main.html")
    assert not (out / "compare/ucf/demo.html").exists()


def test_scripts_with_data_hold_nothing_but_data(built: tuple[Path, Site]) -> None:
    out, _ = built
    found = [path for path in out.rglob("*.js") if path.parent.name != "assets"]
    assert len(found) == 5 + 1 + 2 + 1 + 1
    for path in found:
        data_of(path)  # pure ASCII, one call
        assert "<" not in path.read_text("ascii"), path


def points_of(svg: str) -> list[ET.Element]:
    tree = ET.fromstring(svg)
    return [g for g in tree.iter("{http://www.w3.org/2000/svg}g") if g.get("class") == "point"]


def test_the_home_page_sets_every_re_run_cell_against_the_printed_one(built: tuple[Path, Site]) -> None:
    out, site = built
    cells = list(cells_of(site, claims()))
    assert {cell.claim.method for cell in cells} == {"avca", "ale"}
    assert len(points_of(page(out, "plots/printed-obtained.svg"))) == len(cells) > 20
    assert page(out, "plots/printed-obtained.svg").strip() in page(out, "index.html")
    board = board_of(site, "as-published")
    for cell in cells:
        row = next(r.row for g in board.groups for r in g.rows if r.row.method == cell.claim.method)
        assert cell.difference == row.metrics[cell.metric].mean - cell.claim.values[cell.metric]
    rows = {row[0]: row for row in rows_of(out, "index.html") if len(row) == 5}
    for slug in dict.fromkeys(cell.claim.paper for cell in cells):
        own = [cell for cell in cells if cell.claim.paper == slug]
        row = rows[papers()[slug].name]
        assert row[2] == str(len(own))
        assert row[3] == f"{median(abs(cell.difference) for cell in own):.2f}"
        assert row[4] == f"{sum(bool(cell.within) for cell in own)} of {len(own)}"


def test_a_paper_has_re_run_difference_and_interval_beside_each_printed_row(built: tuple[Path, Site]) -> None:
    out, site = built
    ranked = next(r for g in board_of(site, "as-published").groups for r in g.rows if r.row.method == "avca")
    row = next(r for r in rows_of(out, "papers/avca-2022.html") if r[:2] == ["AVCA", "ucf/main"] and "51.53" in r)
    for at, (metric, printed) in enumerate(zip(PRINTED, (51.53, 18.43, 27.15, 20.01), strict=True)):
        assert row[2 + at].startswith(f"{printed:.2f}")
        spread = ranked.row.metrics[metric]
        difference = f"{spread.mean - printed:+.2f}".replace("-", "−")
        assert row[6 + at] == f"{spread.mean:.2f} ± {spread.deviation:.2f} {difference}"
    interval = ranked.intervals["HM"]
    assert row[10] == f"{interval.low:.2f} – {interval.high:.2f}"
    assert row[11].startswith("verified only")
    text = page(out, "papers/avca-2022.html")
    assert "<code>avbench reproduce avca-2022 table-2</code>" in text
    assert "<code>avbench splits show</code> shows what it holds" in text
    svg = page(out, "papers/avca-2022-obtained.svg")
    hrefs = {point.get("data-href") for point in points_of(svg)}
    assert hrefs <= {f"#{anchor}" for anchor in Document(page(out, "papers/avca-2022.html")).ids}


def test_a_paper_names_the_command_of_each_of_its_figures(built: tuple[Path, Site]) -> None:
    guide = (Path(__file__).parents[2] / "docs/how-to/analyse.md").read_text("utf-8")
    shown = set()
    for figure in paper_figures():
        assert f"`{figure.command}" in guide, figure
        words = figure.command.split()
        assert not unknown_words(words[1:]), figure
        assert command_of(words[1:]).name == words[2], figure
        shown |= {words[words.index("--figure") + 1]} if "--figure" in words else set()
        text = page(built[0], links.paper(figure.paper))
        assert f"<dt>{figure.figure}: {escape(figure.title)}</dt><dd><code>{figure.command}</code>" in text
    assert shown == set(FIGURES)
    assert 'id="figures"' not in page(built[0], links.paper("clipclap-2024"))


def test_years_show_the_presets_and_the_best_printed(built: tuple[Path, Site]) -> None:
    out, site = built
    rows = [row for row in rows_of(out, "index.html") if row[:2] == ["ucf/main", "AVCA"]]
    plain = {b.board.protocol: next(r.row.metrics["HM"].mean for g in b.groups for r in g.rows
             if r.row.method == "avca" and not r.row.changed) for b in site.real if b.board.track == UCF}  # fmt: skip
    assert {row[3]: row[4] for row in rows} == {"printed": "27.15", **{p: f"{hm:.2f}" for p, hm in plain.items()}}
    assert {row[2] for row in rows} == {"2022"}
    titles = {point[-1].text or "" for point in points_of(page(out, "plots/years-ucf-main.svg"))}
    assert "AVCA, 2022, printed: HM 27.15" in titles


def test_years_choose_nothing_by_the_test(built: tuple[Path, Site]) -> None:
    """Neither the best variant nor the best options."""
    board = board_of(built[1], "aligned")
    (group,) = (g for g in board.groups if any(r.row.method == "avca" for r in g.rows))
    (ranked,) = (r for r in group.rows if r.row.method == "avca")
    others = [{"variant": "wide"}, {"changes": "epochs=2"}, {"numerics": "precision=tf32"}]
    better = [replace(ranked, row=replace(ranked.row, line={**ranked.row.line, "HM": 99.0, **more})) for more in others]
    changed = replace(board, groups=(replace(group, rows=(*better, ranked)),))
    (one,) = (
        one for one in of_years(replace(built[1], boards=(changed,))) if one.key == "avca" and one.source == "aligned"
    )
    assert ranked.row.metrics["HM"].mean == one.HM


def test_boards_have_a_plane_and_costs_whose_points_lead_to_rows(built: tuple[Path, Site]) -> None:
    out, site = built
    for protocol, printed in (("as-published", True), ("aligned", False)):
        stem = f"boards/ucf/main/{protocol}-v1"
        board, ids = board_of(site, protocol), Document(page(out, f"{stem}.html")).ids
        rows = sum(len(group.rows) for group in board.groups)
        complete = sum({"S", "U"} <= row.values.keys() for row in board.board.claimed)
        assert (complete > 0) == printed
        for kind, many in (("plane", rows + complete), ("time", rows), ("parameters", rows)):
            points = points_of(page(out, f"{stem}-{kind}.svg"))
            assert len(points) == many, kind
            assert {str(point.get("data-href"))[1:] for point in points} <= set(ids)
    row = board_of(site, "aligned").groups[0].rows[0].row
    s, u, hm = (row.metrics[m].mean for m in ("S", "U", "HM"))
    titles = [point[-1].text or "" for point in points_of(page(out, "boards/ucf/main/aligned-v1-plane.svg"))]
    assert titles[0].startswith(f"{row.label}: S {s:.2f}, U {u:.2f}, HM {hm:.2f}")


def test_names_beside_points_never_overlap_and_stay_inside() -> None:
    random = np.random.default_rng(3)
    canvas = Canvas(480, 300, (1.0, 1000.0), (0.0, 50.0), log_x=True)
    points = [Point(10 ** float(x), float(y), "t", f"method {n}") for n, (x, y) in
              enumerate(random.uniform((0, 0), (3, 50), (60, 2)))]  # fmt: skip
    tree = ET.fromstring(f"<svg>{''.join(canvas.points(points))}</svg>")
    boxes = []
    for label in tree.findall("text"):
        x, y, width = float(label.get("x", 0)), float(label.get("y", 0)), 6.2 * len(label.text or "")
        left = x if label.get("text-anchor") == "start" else x - width
        assert canvas.left <= left <= left + width <= canvas.right + 0.1
        boxes.append((left, y - 9, left + width, y + 2))
    assert 10 < len(boxes) < 60
    for a, b in combinations(boxes, 2):
        assert a[2] <= b[0] + 0.1 or b[2] <= a[0] + 0.1 or a[3] <= b[1] + 0.1 or b[3] <= a[1] + 0.1
    assert canvas.x(10) - canvas.x(1) == pytest.approx(canvas.x(1000) - canvas.x(100))


def test_the_search_index_finds_everything_and_leads_somewhere(built: tuple[Path, Site]) -> None:
    out, site = built
    name, entries = data_of(out / "search-index.js")
    assert name == "index"
    assert isinstance(entries, list)
    by_kind = {kind: [e for e in entries if e[0] == kind] for kind in {e[0] for e in entries}}
    assert len(by_kind["method"]) == len(site.methods)
    assert len(by_kind["paper"]) == len(papers())
    assert len(by_kind["run"]) == len(site.gate.sound)
    assert len(by_kind["board"]) == len(site.real)
    assert len(by_kind["data set"]) == 3
    assert all((out / urlsplit(href).path).is_file() for _, _, href, _ in entries)
    assert ["run", "ale on ucf/demo, aligned, seed 0, simulated"] in [entry[:2] for entry in entries]
    hyperbolic = {href for kind, title, href, words in by_kind["method"] if "hyperbolic" in f"{title} {words}".lower()}
    assert {links.method(f"hyper-{which}") for which in ("alignment", "single", "multiple")} <= hyperbolic
    assert {href[5:13] for _, _, href, _ in by_kind["run"]} == {
        r.identity[:8] for r in site.gate.sound
    }  # of results list
    listed = Document(page(out, "search.html")).links
    assert {href for kind, _, href, _ in entries if kind != "run"} <= set(listed)


def test_badges_tell_the_best_and_what_was_repeated(built: tuple[Path, Site]) -> None:
    out, site = built
    leader = board_of(site, "aligned").leader
    assert leader
    text = page(out, "badges/boards/ucf/main/aligned-v1.svg")
    assert f"{leader.row.metrics['HM'].mean:.1f} {leader.row.label} *" in text  # features not verified: it bears marks
    assert "features not verified" in text
    assert "https://host.invalid/board/badges/boards/ucf/main/aligned-v1.svg" in page(out, "badges.html")
    assert not list((out / "badges").glob("rows/*"))
    told = {"reproduction": "reproduced blind", "reproduced_seeds": 2, "reproduction_difference": None}
    row = replace(leader.row, line={**leader.row.line, **told})
    board = board_of(site, "aligned")
    group = replace(board.groups[0], rows=(replace(leader, row=row), *board.groups[0].rows[1:]))
    marked = replace(site, boards=(replace(board, groups=(group, *board.groups[1:])),))
    made = [item for item in badges.pages(marked, None) if item.path.startswith("badges/rows/")]
    assert [item.path for item in made] == [f"badges/rows/{links.row_key(row)}.svg"]
    assert "reproduced blind (2 of 3 seeds)" in made[0].content  # type: ignore[union-attr, operator]


def test_every_page_tells_title_and_sentence_to_previews(built: tuple[Path, Site], tmp_path: Path) -> None:
    out, _ = built
    for path in sorted(out.rglob("*.html")):
        document = Document(path.read_text("utf-8"))
        told = {a["property"]: a["content"] for tag, a in document.tags if tag == "meta" and "property" in a}
        assert told["og:title"], path
        assert len(told["og:description"] or "") > 20, path
        assert told["og:url"] == f"https://host.invalid/board/{path.relative_to(out).as_posix()}"
        assert told["og:image"] == "https://host.invalid/board/assets/preview.png"
    assert (out / "assets/preview.png").stat().st_size < 30_000
    build_site(ResultsFolder(tmp_path / "none"), tmp_path / "out", processes=1)
    for name in ("og:url", "og:image", "preview.png"):
        assert name not in page(tmp_path / "out", "index.html")
    assert not (tmp_path / "out/assets/preview.png").exists()


def test_the_picture_of_previews_has_bands_of_equal_hm() -> None:
    pixels = imread(io.BytesIO(preview()), format="png")
    assert pixels.shape[:2] == (HEIGHT, WIDTH)
    colours = [
        tuple(pixels[HEIGHT - y * HEIGHT // 100, x * WIDTH // 100 - 1]) for x, y in ((30, 80), (80, 30), (80, 80))
    ]
    assert colours[0] == colours[1]  # HM 43.6
    assert sum(colours[2]) < sum(colours[0])  # HM 80
    assert preview() == preview()


def test_no_page_is_heavy(built: tuple[Path, Site]) -> None:
    """Bytes of a page with its style and scripts, before anything is opened."""
    out, _ = built
    shared = sum(path.stat().st_size for path in (out / "assets").iterdir())
    heaviest = max(out.rglob("*.html"), key=lambda path: path.stat().st_size)
    assert heaviest.stat().st_size + shared < 300_000, heaviest


@pytest.mark.parametrize(("seconds", "words"), [(0.175, "0.17 s"), (2.0, "2 s"), (45, "45 s"), (720, "12 min")])
def test_short_times_are_not_nothing(seconds: float, words: str) -> None:
    assert duration(seconds) == words
