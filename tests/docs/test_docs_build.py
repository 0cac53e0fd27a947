"""The guide is built as in continuous integration; what is generated is complete, and no link leads nowhere."""

from __future__ import annotations

import ast
import html
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

import click
import pytest

from avbench.harness.plugins import hookspecs
from avbench.harness.cli import COMMANDS, cli
from avbench.harness.testing import CHECKS, Check

ROOT = Path(__file__).parent.parent.parent
HOOKS = sorted(name for name in vars(hookspecs) if name.startswith("avbench_"))
LOADING = {"src", "srcset", "poster", "data"}
"""Attributes whose address is fetched when a page is opened; so are those of <link>."""


class Page(HTMLParser):
    """Text, anchors, links and fetched addresses of a page."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.anchors: set[str] = set()
        self.links: list[str] = []
        self.fetched: list[str] = []
        self.classes: set[str] = set()
        self._text: list[str] = []
        self.feed(path.read_text("utf-8"))
        self.text = plain("".join(self._text))

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        for key, value in attrs:
            if key in ("id", "name") and value:
                self.anchors.add(value)
            elif key == "class":
                self.classes |= set((value or "").split())
            elif key == "href" and value and tag != "link":
                self.links.append(value)
            elif value and (key in LOADING or (key == "href" and tag == "link")):
                self.fetched.append(value)

    def handle_data(self, data: str) -> None:
        self._text.append(data)


def plain(text: str) -> str:
    """Words alone: no markup of code, one space between words."""
    return " ".join(html.unescape(text).replace("`", "").split())


@pytest.fixture(scope="session")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("guide")
    done = subprocess.run(
        [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", str(folder)],
        cwd=ROOT,
        env={**os.environ, "PYTHONDONTWRITEBYTECODE": "1", "AVBENCH_LOAD_PLUGINS": ""},
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return folder


@pytest.fixture(scope="session")
def pages(site: Path) -> dict[Path, Page]:
    return {path: Page(path) for path in sorted(site.rglob("*.html"))}


def test_every_page_of_the_guide_is_built(pages: dict[Path, Page], site: Path) -> None:
    written = {path.relative_to(ROOT / "docs").with_suffix(".html") for path in (ROOT / "docs").rglob("*.md")}
    generated = {Path(f"{name}.html") for name in ("hooks", "checks", "cli")}
    assert {path.relative_to(site) for path in pages} == written | generated | {Path("404.html")}


@pytest.mark.parametrize("hook", HOOKS)
def test_every_hook_is_explained(hook: str, pages: dict[Path, Page], site: Path) -> None:
    sentence = plain(vars(hookspecs)[hook].__doc__)
    assert sentence
    page = pages[site / "hooks.html"]
    assert hook in page.anchors
    assert sentence in page.text


@pytest.mark.parametrize("hook", HOOKS)
def test_every_hook_has_a_test(hook: str) -> None:
    """Some test file gives an implementation: of that name, or under that name as a string."""
    assert any(hook in implemented(path) for path in (ROOT / "tests").rglob("test_*.py") if path != Path(__file__))


def implemented(path: Path) -> Iterator[str]:
    source = path.read_text("utf-8")
    if "avbench_" not in source:
        return
    for node in ast.walk(ast.parse(source)):
        match node:
            case ast.FunctionDef(name=str(name)) | ast.keyword(arg=str(name)) | ast.Constant(value=str(name)):
                yield name
            case ast.Assign(targets=[ast.Attribute(attr=name)]):
                yield name


@pytest.mark.parametrize("check", CHECKS, ids=str)
def test_every_check_is_explained_where_it_points_to(check: Check, pages: dict[Path, Page], site: Path) -> None:
    name, _, anchor = check.guide.partition("#")
    page = pages[(site / name).with_suffix(".html")]
    assert anchor in page.anchors
    assert plain(check.reason) in page.text
    assert plain(check.remedy) in page.text


def commands() -> Iterator[tuple[str, click.Command]]:
    """Every built-in command, with all its words."""
    context = click.Context(cli)
    for name in COMMANDS:
        command = cli.get_command(context, name)
        assert command is not None
        yield from descend(f"avbench {name}", command)


def descend(words: str, command: click.Command) -> Iterator[tuple[str, click.Command]]:
    yield words, command
    if isinstance(command, click.Group):
        context = click.Context(command)
        for name in command.list_commands(context):
            found = command.get_command(context, name)
            assert found is not None
            yield from descend(f"{words} {name}", found)


def test_every_command_is_explained_with_its_options(pages: dict[Path, Page], site: Path) -> None:
    page = pages[site / "cli.html"]
    for words, command in commands():
        assert words.replace(" ", "-") in page.anchors
        assert command.help
        assert plain(command.help) in page.text
        for parameter in command.params:
            if isinstance(parameter, click.Option) and not parameter.hidden:
                assert parameter.opts[-1] in page.text, (words, parameter.opts)
                assert plain(parameter.help or "") in page.text, (words, parameter.help)


def test_the_reference_has_the_public_names(pages: dict[Path, Page], site: Path) -> None:
    anchors = {anchor for path, page in pages.items() if path.parent.name == "reference" for anchor in page.anchors}
    missing = {
        "avbench.harness.contract.method.Method.predict",
        "avbench.harness.contract.data.TrainingSet",
        "avbench.harness.features.source.FeatureSource",
        "avbench.harness.plugins.observers.RunObserver",
        "avbench.harness.plugins.site_page.SitePage",
        "avbench.harness.contract.variants.Variant",
        "avbench.methods.learning.training.BatchMethod",
        "avbench.harness.testing.examination.check_method",
        "avbench.harness.records.record.RunRecord",
        "avbench.splits.load.load_split",
    } - anchors
    assert not missing


def test_names_in_docstrings_are_shown_without_their_role(pages: dict[Path, Page]) -> None:
    assert not [path for path, page in pages.items() if re.search(r":(class|meth|func|attr|data|mod):", page.text)]


def test_every_link_inside_leads_somewhere(pages: dict[Path, Page], site: Path) -> None:
    for path, page in pages.items():
        for link in [*page.links, *page.fetched]:
            address = urlsplit(link)
            if address.scheme:
                continue
            place = unquote(address.path)
            # the page for unknown addresses names places from the top
            target = site / place.lstrip("/") if place.startswith("/") else (path.parent / place).resolve()
            target = path if not place else target / "index.html" if target.is_dir() else target
            assert target.exists(), (path.name, link)
            if address.fragment and target.suffix == ".html":
                assert unquote(address.fragment) in pages[target].anchors, (path.name, link)


def test_nothing_is_fetched_from_outside(pages: dict[Path, Page], site: Path) -> None:
    for path, page in pages.items():
        assert not [address for address in page.fetched if urlsplit(address).netloc], path.name
        assert "mermaid" not in page.classes, "the theme fetches the script for diagrams from elsewhere"
    for path in site.rglob("*.css"):
        assert not re.search(r"(url\(\s*['\"]?|@import\s+['\"])(https?:)?//", path.read_text("utf-8")), path.name
