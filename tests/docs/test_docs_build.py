"""The guide is built as in continuous integration; what is generated is complete, and what is broken fails."""

from __future__ import annotations

import ast
import html
import re
import shutil
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from html.parser import HTMLParser
from pathlib import Path

import click
import pytest
from guide_build import build_guide

from avbench.harness.cli import cli
from avbench.harness.plugins import hookspecs
from avbench.harness.testing import CHECKS, Check

ROOT = Path(__file__).parent.parent.parent
HOOKS = sorted(name for name in vars(hookspecs) if name.startswith("avbench_"))
ADDRESSES = Path(__file__).with_name("addresses.txt")


class Page(HTMLParser):
    """Text, anchors and classes of a page."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.anchors: set[str] = set()
        self.classes: set[str] = set()
        self._text: list[str] = []
        self.feed(path.read_text("utf-8"))
        self.text = plain("".join(self._text))

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        for key, value in attrs:
            if key == "id" and value:
                self.anchors.add(value)
            elif key == "class":
                self.classes |= set((value or "").split())

    def handle_data(self, data: str) -> None:
        self._text.append(data)


def plain(text: str) -> str:
    """Words alone: no markup of code, one space between words."""
    return " ".join(html.unescape(text).replace("`", "").split())


@pytest.fixture(scope="session")
def pages(site: Path) -> dict[Path, Page]:
    return {path: Page(path) for path in sorted(site.rglob("*.html"))}


def test_the_addresses_stay(pages: dict[Path, Page], site: Path) -> None:
    """Others link here: a page may join the recorded list; one that moves or goes breaks their links."""
    assert sorted(path.relative_to(site).as_posix() for path in pages) == ADDRESSES.read_text("utf-8").split()


@dataclass(frozen=True)
class Damage:
    """A text to add to one file of docs/, and the words with which the build tells it."""

    path: str
    text: str
    complaint: str


DAMAGES = {
    "what the generator finds": (
        Damage("index.md", "[x](nowhere.md)", "page does not exist"),
        Damage("how-to/tune.md", "[x](../tutorial.md#nowhere)", "anchor does not exist"),
        Damage("reference/methods.md", "::: avbench.nowhere", "avbench.nowhere"),
    ),
    "what the finished pages show": (
        Damage("index.md", '<a href="nowhere.html">x</a>', "index.html links to nowhere.html"),
        Damage("index.md", '<a href="cli.html#x">x</a>', "index.html links to cli.html#x"),
        Damage("index.md", "![x](nowhere.png)", "index.html links to nowhere.png"),
        Damage("index.md", "![x](https://example.org/x.png)", "fetches https://example.org"),
        Damage("how-to/new.md", "# New", "how-to/new.md is not in the navigation"),
    ),
}
"""By what finds them. A build takes seconds, and tells all that is broken."""


@pytest.mark.parametrize("damages", DAMAGES.values(), ids=DAMAGES)
def test_what_is_broken_fails_the_build(damages: Sequence[Damage], tmp_path: Path) -> None:
    checkout = tmp_path / "checkout"
    shutil.copytree(ROOT / "docs", checkout / "docs")
    for name in (".ci", "pyproject.toml", "facade", "harness", "methods", "splits", "leaderboard", "analysis"):
        (checkout / name).symlink_to(ROOT / name)
    for damage in damages:
        with (checkout / "docs" / damage.path).open("a", encoding="utf-8") as page:
            page.write(f"\n{damage.text}\n")
    done = build_guide(checkout, tmp_path / "site")
    assert done.returncode != 0
    said = done.stdout + done.stderr
    assert [damage.complaint for damage in damages if damage.complaint not in said] == [], said
    assert not (tmp_path / "site").exists()


def test_a_folder_that_holds_something_else_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "mine.txt").write_text("mine", "utf-8")
    done = build_guide(ROOT, tmp_path)
    assert done.returncode != 0
    assert "holds something else" in done.stderr
    assert (tmp_path / "mine.txt").read_text("utf-8") == "mine"


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
    for name in cli.list_commands(context):
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


def test_nothing_is_fetched_from_outside(pages: dict[Path, Page], site: Path) -> None:
    """What a tag of a page fetches, the build checks itself; these are the other ways."""
    for path, page in pages.items():
        assert "mermaid" not in page.classes, f"{path.name}: the theme fetches the script for diagrams from elsewhere"
    for path in site.rglob("*.css"):
        assert not re.search(r"(url\(\s*['\"]?|@import\s+['\"])(https?:)?//", path.read_text("utf-8")), path.name
