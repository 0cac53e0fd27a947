"""The site in real Chromium, from the disk, with every other address cut off."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from chromium import chromium, needs_chromium
from simulated_site import results

from avbench.leaderboard.site import build_site

AXE = Path(__file__).parent / "vendor" / "axe.min.js"

pytestmark = needs_chromium


@pytest.fixture(scope="module")
def out(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("browser")
    build_site(results(root / "results"), root / "site", processes=1)
    return root / "site"


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with chromium() as started:
        yield started


class Reader:
    """A browser window that keeps what went wrong and what was asked of other places."""

    def __init__(self, browser: Any, out: Path, **settings: Any) -> None:
        self.out = out
        still = {"viewport": {"width": 1280, "height": 900}, "reduced_motion": "reduce"}  # what scrolls smoothly moves
        self.context = browser.new_context(**still | settings)
        self.page = self.context.new_page()
        self.trouble: list[str] = []
        self.page.on("console", lambda m: self.trouble.append(m.text) if m.type in ("error", "warning") else None)
        self.page.on("pageerror", lambda error: self.trouble.append(str(error)))
        self.context.route("**/*", self._request)

    def _request(self, route: Any) -> None:
        url = route.request.url
        if url.startswith((self.out.as_uri() + "/", "data:")):
            route.continue_()
        else:
            self.trouble.append(f"asked for {url}")
            route.abort()

    def open(self, path: str) -> Any:
        self.page.goto("about:blank")
        self.page.goto(f"{self.out.as_uri()}/{path}")
        return self.page

    def column(self, table: str, key: str, group: str = "tbody") -> list[str]:
        """The shown texts of one column."""
        script = """([table, key, group]) => {
            const heads = [...document.querySelectorAll(`#${CSS.escape(table)} thead th`)];
            const index = heads.findIndex((head) => head.dataset.key === key);
            return [...document.querySelectorAll(`#${CSS.escape(table)} ${group} tr:not(.group)`)]
                .filter((row) => !row.hidden).map((row) => row.cells[index].innerText.trim());
        }"""
        found: list[str] = self.page.evaluate(script, [table, key, group])
        return found


@pytest.fixture
def reader(browser: Any, out: Path) -> Iterator[Reader]:
    made = Reader(browser, out)
    yield made
    assert made.trouble == []
    made.context.close()


def page_types(out: Path) -> list[str]:
    """One page of every kind."""
    run = sorted(p.name for p in (out / "runs").glob("*.html"))[0]
    return [
        "index.html",
        "boards/ucf/main/aligned-v1.html",
        "boards/ucf/main/as-published-v1.html",
        "boards/vggsound/main/as-published-v1.html",
        "averages.html",
        "compare.html",
        "compare/ucf/main.html",
        "demo/compare/ucf/demo.html",
        "search.html",
        "faq.html",
        "submit.html",
        "badges.html",
        "demo.html",
        f"runs/{run}",
        "methods.html",
        "methods/avca.html",
        "methods/stranger.html",
        "datasets.html",
        "datasets/vggsound.html",
        "papers.html",
        "papers/ez-avgzl-2024.html",
        "defects.html",
        "rejected.html",
        "downloads.html",
    ]


AS_PUBLISHED = "boards/ucf/main/as-published-v1.html"
BOARD = "board-ucf-main-as-published-1"


def test_every_kind_of_page_loads_in_silence(reader: Reader) -> None:
    for path in page_types(reader.out):
        page = reader.open(path)
        assert page.evaluate("document.documentElement.classList.contains('ready')"), path
        assert page.title().endswith("avbench")
        assert page.evaluate("getComputedStyle(document.body).margin") == "0px", path


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_axe_finds_nothing_serious(browser: Any, out: Path, scheme: str) -> None:
    # axe is injected into the page, which the site's own policy would refuse.
    reader = Reader(browser, out, color_scheme=scheme, bypass_csp=True)
    for path in page_types(out):
        page = reader.open(path)
        for details in page.query_selector_all("details"):
            details.evaluate("each => { each.open = true; }")
        page.add_script_tag(content=AXE.read_text("utf-8"))
        found = page.evaluate("axe.run(document, {resultTypes: ['violations']})")
        serious = [
            f"{v['id']}: {v['nodes'][0]['html'][:200]}"
            for v in found["violations"]
            if v["impact"] in ("serious", "critical")
        ]
        assert serious == [], path
    reader.context.close()


def test_sorting_keeps_groups_apart_and_lives_in_the_url(reader: Reader) -> None:
    page = reader.open(AS_PUBLISHED)
    before = [reader.column(BOARD, "method", group) for group in ("tbody.rerun", "tbody.claimed")]
    page.get_by_role("button", name="ZSL", exact=True).click()
    for group in ("tbody.rerun", "tbody.claimed"):
        values = [float(v.split()[0].split("\n")[0][:5]) for v in reader.column(BOARD, "ZSL", group) if v != "–"]
        assert values == sorted(values, reverse=True)
        assert len(values) > 2
    assert page.locator(f"#{BOARD} th[data-key=ZSL]").get_attribute("aria-sort") == "descending"
    assert f"#{BOARD}.sort=ZSL&{BOARD}.dir=desc" in page.url
    page.get_by_role("button", name="ZSL", exact=True).click()
    values = [float(v[:5]) for v in reader.column(BOARD, "ZSL", "tbody.rerun")]
    assert values == sorted(values)
    page.get_by_role("button", name="ZSL", exact=True).click()
    assert [reader.column(BOARD, "method", group) for group in ("tbody.rerun", "tbody.claimed")] == before
    assert "#" not in page.url


def test_a_link_restores_sort_filter_and_columns(reader: Reader) -> None:
    state = f"#{BOARD}.sort=S&{BOARD}.filter=hyper&{BOARD}.hide=time%2Cseeds"
    reader.open(AS_PUBLISHED)
    everything = len(reader.column(BOARD, "method"))
    page = reader.open(AS_PUBLISHED + state)
    shown = reader.column(BOARD, "method")
    assert {"Hyper-single", "Hyper-multiple", "Hyper-alignment"} <= set(shown)
    assert 3 == len(shown) < everything
    values = [float(v[:5]) for v in reader.column(BOARD, "S", "tbody.claimed")]
    assert values == sorted(values)
    assert not page.locator(f"#{BOARD} th[data-key=time]").is_visible()
    assert page.locator(f"#{BOARD} th[data-key=HM]").is_visible()
    assert page.locator("output").first.inner_text() == f"{len(shown)} of {everything} rows"


def test_filter_and_column_choice(reader: Reader) -> None:
    page = reader.open(AS_PUBLISHED)
    page.get_by_label("Filter").fill("MDII 28.22")
    assert reader.column(BOARD, "method") == ["MDII"]
    assert f"{BOARD}.filter=MDII+28.22" in page.url
    page.get_by_text("Columns", exact=True).first.click()
    page.get_by_label("AUSUC").uncheck()
    assert not page.locator(f"#{BOARD} th[data-key=AUSUC]").is_visible()
    assert not page.locator(f"#{BOARD} tbody.claimed tr:not(.group) td:nth-child(8)").first.is_visible()
    assert f"{BOARD}.hide=AUSUC" in page.url
    page.get_by_label("Filter").fill("")
    page.get_by_label("AUSUC").check()
    assert "#" not in page.url


def test_keyboard_alone(reader: Reader) -> None:
    page = reader.open(AS_PUBLISHED)
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.className") == "skip"
    page.keyboard.press("f")
    assert page.evaluate("document.activeElement.type") == "search"
    page.keyboard.type("avca/f")
    assert page.get_by_label("Filter").input_value() == "avca/f"
    page.get_by_role("button", name="HM", exact=True).focus()
    page.keyboard.press("Enter")
    assert page.locator(f"#{BOARD} th[data-key=HM]").get_attribute("aria-sort") == "descending"
    page.keyboard.press("Space")
    assert page.locator(f"#{BOARD} th[data-key=HM]").get_attribute("aria-sort") == "ascending"


def test_dark_mode_follows_the_system_and_the_button(browser: Any, out: Path) -> None:
    background = "getComputedStyle(document.body).backgroundColor"
    for scheme, other in (("light", "dark"), ("dark", "light")):
        reader = Reader(browser, out, color_scheme=scheme)
        page = reader.open("index.html")
        first = page.evaluate(background)
        page.get_by_role("button", name=f"Switch to {other} colours").click()
        assert page.evaluate(background) != first
        page = reader.open("methods.html")
        assert page.evaluate("document.documentElement.dataset.theme") == other
        assert reader.trouble == []
        reader.context.close()


def test_without_scripts_the_tables_are_complete(browser: Any, out: Path) -> None:
    scripted, plain = Reader(browser, out), Reader(browser, out, java_script_enabled=False)
    for path in page_types(out):
        counts = []
        for reader in (scripted, plain):
            page = reader.open(path)
            counts.append((page.locator("tbody tr").count(), page.locator("tbody td").count()))
            assert page.locator("tbody tr:not(:visible)").count() == page.locator("details tbody tr").count(), path
        assert counts[0] == counts[1], path
        assert plain.page.locator("input, .sort").count() == 0
    assert scripted.trouble == plain.trouble == []
    scripted.context.close()
    plain.context.close()


def test_a_phone_needs_no_sideways_scrolling(browser: Any, out: Path) -> None:
    reader = Reader(browser, out, viewport={"width": 360, "height": 740})
    for path in page_types(out):
        page = reader.open(path)
        assert page.evaluate("document.documentElement.scrollWidth") <= 360, path
    reader.context.close()


AT_A_GLANCE = """([rowOf, parts]) => {
    const row = document.querySelector(rowOf);
    return parts.map((part) => {
        const found = row.querySelector(part), box = found.getBoundingClientRect();
        const region = row.closest(".scroll").getBoundingClientRect();
        const right = Math.min(region.right, document.documentElement.clientWidth);
        return box.width > 0 && box.left >= region.left - 1 && box.right <= right + 1;
    });
}"""


@pytest.mark.parametrize("width", [360, 1366, 1920])
@pytest.mark.parametrize("scripts", [True, False])
def test_what_counts_is_seen_without_scrolling_sideways(browser: Any, out: Path, width: int, scripts: bool) -> None:
    """Leader, HM, source and the link to a run, of the first row of every board; leader and HM on the home page."""
    reader = Reader(browser, out, viewport={"width": width, "height": 800}, java_script_enabled=scripts)
    boards = sorted(str(path.relative_to(out)) for path in out.glob("boards/**/*.html"))
    for path in [*boards, "demo.html"]:
        page = reader.open(path)
        parts = ["th[scope=row] a", "td.main", "td.source a"]
        assert page.evaluate(AT_A_GLANCE, [".board tbody tr:not(.group)", parts]) == [True] * 3, path
        assert page.evaluate("document.documentElement.scrollWidth") <= width, path
    page = reader.open("index.html")
    assert page.evaluate(AT_A_GLANCE, ["#leads tbody tr", ["th[scope=row] a", "td.source a", "td.main"]]) == [True] * 3
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    reader.context.close()


def test_heads_and_names_stay_and_more_is_hinted(browser: Any, out: Path) -> None:
    reader = Reader(browser, out, viewport={"width": 900, "height": 500})
    page = reader.open(AS_PUBLISHED)
    region = page.locator(".scroll.wide")
    region.evaluate("each => { each.scrollTop = 300; each.scrollLeft = 300; }")
    assert region.evaluate("each => each.scrollTop") > 100
    place = region.bounding_box()
    head = page.locator(f"#{BOARD} thead th[data-key=HM]").bounding_box()
    assert abs(head["y"] - place["y"]) < 2
    name = page.locator(f"#{BOARD} tbody.claimed th[scope=row]").first.bounding_box()
    assert abs(name["x"] - place["x"]) < 2
    assert "local" in region.evaluate("each => getComputedStyle(each).backgroundAttachment")
    reader.context.close()


def test_boards_of_claims_have_no_columns_of_dashes(reader: Reader) -> None:
    page = reader.open("boards/vggsound/main/as-published-v1.html")
    columns = page.evaluate("""() => {
        const heads = [...document.querySelectorAll(".board thead th")];
        const rows = [...document.querySelectorAll(".board tbody tr:not(.group)")];
        return heads.map((head, index) => [head.dataset.key, rows.map((row) => row.cells[index].innerText.trim())]);
    }""")
    assert len(columns) > 4
    for key, texts in columns:
        assert any(text not in ("", "–", "not stated") for text in texts), key


def test_the_filter_looks_at_methods_and_hides_empty_groups(reader: Reader) -> None:
    page = reader.open(AS_PUBLISHED)
    page.get_by_label("Filter").fill("avca")
    assert {"AVCA", "avca"} >= {name.split()[0].split("\n")[0] for name in reader.column(BOARD, "method")}
    page.get_by_label("Filter").fill("no such method")
    assert page.locator(f"#{BOARD} tr.group:visible").count() == 0
    page.get_by_label("Filter").fill("")
    assert page.locator(f"#{BOARD} tr.group:visible").count() == 2


def test_what_was_not_reproduced_is_told_from_what_was(reader: Reader) -> None:
    page = reader.open(AS_PUBLISHED)
    texts = ["not reproduced", "reproduced blind", "not repeated"]
    page.evaluate(
        """([table, texts]) => texts.forEach((text, number) => {
            const row = document.querySelectorAll(`#${table} tbody tr:not(.group)`)[number];
            row.querySelector("td:not(.source)").textContent = text;
        })""",
        [BOARD, texts],
    )
    for word, shown in (("reproduced", [1]), ("blind reproduced", [1]), ("not reproduced", [0]), ("not rep", [0, 2])):
        page.get_by_label("Filter").fill(word)
        rows = page.locator(f"#{BOARD} tbody tr:not(.group):visible").all_inner_texts()
        assert [number for number, text in enumerate(texts) if any(text in row for row in rows)] == shown, word


def test_tabs_keep_sort_and_filter(reader: Reader) -> None:
    page = reader.open(AS_PUBLISHED + f"#{BOARD}.sort=S&{BOARD}.filter=avca")
    page.locator(".tabs a", has_text="aligned").click()
    page.wait_for_url("**/aligned-v1.html#*")
    assert page.get_by_label("Filter").input_value() == "avca"
    assert page.locator("thead th[data-key=S]").get_attribute("aria-sort") == "ascending"


def test_on_a_phone_letters_in_plots_can_be_read(browser: Any, out: Path) -> None:
    reader = Reader(browser, out, viewport={"width": 360, "height": 740})
    page = reader.open(AS_PUBLISHED)
    heights = page.evaluate(
        "[...document.querySelectorAll('figure svg text')].map(t => t.getBoundingClientRect().height)"
    )
    assert min(heights) > 8
    reader.context.close()


def test_print_leaves_the_tools_out(reader: Reader) -> None:
    page = reader.open(AS_PUBLISHED)
    page.emulate_media(media="print")
    assert not page.locator("header nav").is_visible()
    assert not page.locator(".tools").first.is_visible()
    assert page.locator(f"#{BOARD} tbody tr").first.is_visible()


def test_a_printed_comparison_keeps_its_tables_and_what_was_chosen(reader: Reader) -> None:
    page = reader.open("compare/ucf/main.html")
    page.emulate_media(media="print")
    assert page.get_by_label("First").is_visible()
    assert not page.get_by_role("button", name="Swap").is_visible()
    assert page.locator("#classes tbody tr").last.is_visible()


def test_a_link_to_a_row_finds_it(reader: Reader) -> None:
    page = reader.open("index.html")
    page.locator("#leads tbody a[href*='#row-']").first.click()
    page.wait_for_url("**/boards/**")
    row = page.locator("tr:target")
    row.wait_for()
    assert row.bounding_box()["y"] < 900


def test_search_by_keyboard_alone(reader: Reader) -> None:
    page = reader.open("methods/avca.html")
    page.keyboard.press("/")
    dialog = page.get_by_role("dialog", name="Search")
    dialog.wait_for()
    page.keyboard.type("ucf/main as-pub ale seed 2")
    option = dialog.get_by_role("option")
    option.first.wait_for()
    assert option.all_inner_texts()[0].startswith("ale on ucf/main, as-published, seed 2")
    page.keyboard.press("Enter")
    page.wait_for_url("**/runs/*.html")
    assert page.locator("h1").inner_text().startswith("ale on ucf/main")
    page.get_by_role("link", name="Search", exact=True).click()
    page.keyboard.type("hyper")
    page.locator(".found [aria-selected=true]").wait_for()
    page.keyboard.press("ArrowDown")
    places = [each.get_attribute("aria-selected") for each in page.locator(".found a").all()]
    assert places.index("true") == 1
    page.keyboard.type(" no such thing")
    assert page.locator(".found a").count() == 0
    assert dialog.locator("output").inner_text() == "0 found"
    page.keyboard.press("Escape")
    assert not dialog.is_visible()


def test_the_page_of_search_has_a_field_and_takes_words_from_its_address(reader: Reader) -> None:
    run = sorted(p.stem for p in (reader.out / "runs").glob("*.html"))[0]
    page = reader.open(f"search.html?q={run[:8]}")
    found = page.get_by_role("option")
    found.first.wait_for()
    assert [Path(a.get_attribute("href")).stem for a in found.all()] == [run]
    field = page.get_by_role("combobox", name="Search")
    assert field.input_value() == run[:8]
    page.keyboard.press("/")
    page.keyboard.type("hyperbolic hyper-single")
    assert found.first.inner_text().startswith("Hyper-single")
    assert page.locator("dialog").count() == 0
    page.keyboard.press("Enter")
    page.wait_for_url("**/methods/hyper-single.html")


def test_any_two_rows_are_compared_and_the_pair_lives_in_the_url(reader: Reader) -> None:
    page = reader.open("compare/ucf/main.html")
    rows = page.locator("#rows tbody tr")
    keys = [row.get_attribute("data-row") for row in rows.all()]
    shown = "[...document.querySelectorAll('#differences tbody tr')].map((row) => row.innerText)"
    built = page.evaluate(shown)
    page.get_by_role("button", name="Swap").click()
    page.wait_for_url("**#first=*")
    swapped = page.evaluate(shown)
    assert [line.split("\t")[1] for line in built] == [line.split("\t")[2] for line in swapped]
    page.get_by_role("button", name="Swap").click()
    page.wait_for_url(f"**first={keys[0]}*")
    assert page.evaluate(shown) == built  # the script writes what the build wrote
    classes = page.locator("#classes tbody").inner_text()
    page.get_by_label("Second").select_option(keys[3])
    page.wait_for_url(f"**second={keys[3]}")
    assert page.locator("#classes tbody").inner_text() != classes
    assert page.locator("#classes tbody tr").count() == 51
    link = page.url.rpartition("/site/")[2]
    numbers = page.evaluate(shown)
    page = reader.open(link)
    page.wait_for_function(f"{shown}.join() === {numbers!r}.join()")
    assert page.get_by_label("Second").input_value() == keys[3]
    page.get_by_role("button", name="Difference", exact=True).last.click()
    values = [float(v.replace("−", "-")) for v in reader.column("classes", "difference")]
    assert values == sorted(values, reverse=True)


def test_rows_on_other_features_give_way(reader: Reader) -> None:
    page = reader.open("compare/ucf/main.html")
    rows = page.locator("#rows tbody tr").all()
    other = next(r for r in rows if r.get_attribute("data-group") != rows[0].get_attribute("data-group"))
    page.get_by_label("First").select_option(other.get_attribute("data-row"))
    page.wait_for_url("**#first=*")
    assert page.get_by_label("Second").input_value() == other.get_attribute("data-row")
    assert page.locator("#options tbody").inner_text() == "Nothing but the seeds."


def test_points_of_plots_tell_what_they_are(reader: Reader) -> None:
    page = reader.open(AS_PUBLISHED)
    area = page.locator("figure.plot .plot-area").first
    area.focus()
    page.keyboard.press("ArrowRight")
    first = area.locator("output").inner_text()
    assert ": S " in first
    page.keyboard.press("ArrowRight")
    assert area.locator("output").inner_text() != first
    assert area.locator(".picked").count() == 1
    page.keyboard.press("Enter")
    assert page.locator("tr:target").count() == 1
    point = area.locator(".point").nth(3)
    point.hover(force=True)
    assert area.locator(".picked").count() == 1
    page.mouse.move(2, 2)
    assert area.locator("output").inner_text() == ""


def test_dialogs_and_chosen_rows_have_no_serious_fault(browser: Any, out: Path) -> None:
    reader = Reader(browser, out, bypass_csp=True)
    page = reader.open("compare/ucf/main.html")
    page.get_by_role("button", name="Swap").click()
    page.keyboard.press("/")
    page.keyboard.type("avca")
    page.locator(".found a").first.wait_for()
    page.add_script_tag(content=AXE.read_text("utf-8"))
    found = page.evaluate("axe.run(document, {resultTypes: ['violations']})")["violations"]
    assert [v["id"] for v in found if v["impact"] in ("serious", "critical")] == []
    reader.context.close()
