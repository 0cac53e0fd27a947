"""The rooms: their order is held by import-linter, their names and sizes here, and CONTRIBUTING says what they are."""

from __future__ import annotations

import ast
import shutil
import subprocess
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
ROOMS = ("analysis", "facade", "harness", "leaderboard", "methods", "splits")


def modules(room: str) -> list[Path]:
    return sorted((ROOT / room).rglob("*.py"))


def table() -> str:
    """The rooms from top to bottom, as the contracts order them, with the first sentence of each."""
    contracts = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["tool"]["importlinter"]["contracts"]
    inside = next(c["layers"] for c in contracts if c.get("containers") == ["avbench.harness"])
    folders = ["facade", "analysis", "analysis/cli", "analysis/measures"]
    folders += [
        "leaderboard",
        "leaderboard/site",
        "leaderboard/site/plots",
        "leaderboard/cli",
        "leaderboard/reproduction",
    ]
    folders += ["methods", "methods/families", "methods/learning", "harness"]
    folders += [f"harness/{room}" for layer in inside for room in layer.split(" | ")]
    folders += ["splits"]
    lines = ["| room | |", "|---|---|"]
    for folder in folders:
        if (ROOT / folder).is_dir():
            text = ast.get_docstring(ast.parse((ROOT / folder / "__init__.py").read_text("utf-8")))
            assert text, f"{folder}/__init__.py says nothing"
            sentence = text.split("\n\n")[0].replace("\n", " ").replace("``", "`")
            lines.append(f"| `{folder}/` | {sentence} |")
    return "\n".join(lines)


def test_contributing_shows_the_rooms() -> None:
    text = (ROOT / "CONTRIBUTING.md").read_text("utf-8")
    shown = text.partition("<!-- rooms -->\n")[2].partition("\n<!-- end of rooms -->")[0]
    assert shown == table()


def test_every_room_has_a_line() -> None:
    for room in ROOMS:
        for path in (ROOT / room).rglob("__init__.py"):
            if path.parent.name not in {"pages"}:
                assert f"`{path.parent.relative_to(ROOT).as_posix()}/`" in table()


@pytest.mark.parametrize(
    ("file", "line"),
    [
        ("harness/evaluation/metrics.py", "from avbench.harness.records.record import RunRecord"),
        ("harness/records/record.py", "def late():\n    from avbench.leaderboard.claims import claims"),
        ("harness/errors.py", "import avbench.harness.tracks"),
        ("splits/names.py", "if False:\n    from avbench.methods.avca import AVCA"),
        ("methods/learning/adam.py", "from avbench.methods.learning.training import BatchMethod"),
    ],
)
def test_an_arrow_upwards_or_a_circle_fails(tmp_path: Path, file: str, line: str) -> None:
    """A copy of the checkout with one more import does not pass what CI runs; the untouched copy does."""
    for name in (*ROOMS, ".ci"):
        shutil.copytree(ROOT / name, tmp_path / name, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("pyproject.toml", "README.md", "LICENSE", "NOTICE"):
        shutil.copy(ROOT / name, tmp_path / name)
    if file == "harness/errors.py":
        assert _linted(tmp_path).returncode == 0
    path = tmp_path / file
    path.write_text(f"{path.read_text('utf-8')}\n\n{line}\n", "utf-8")
    done = _linted(tmp_path)
    assert done.returncode == 1
    assert "BROKEN" in done.stdout


def test_no_import_is_ignored() -> None:
    contracts = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["tool"]["importlinter"]
    assert "ignore_imports" not in str(contracts)
    assert "exclude_type_checking_imports" not in contracts


def _linted(checkout: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(["bash", ".ci/imports"], cwd=checkout, capture_output=True, text=True, check=False)


@pytest.mark.parametrize("room", ["splits", "leaderboard"])
def test_rooms_without_torch(room: str) -> None:
    for path in modules(room):
        tree = ast.parse(path.read_text("utf-8"))
        named = {a.name for n in ast.walk(tree) if isinstance(n, ast.Import) for a in n.names}
        named |= {n.module or "" for n in ast.walk(tree) if isinstance(n, ast.ImportFrom)}
        assert not [n for n in named if n.partition(".")[0] == "torch"], path


def test_no_room_is_named_after_nothing() -> None:
    for room in ROOMS:
        for path in modules(room):
            assert path.stem not in {"utils", "util", "helpers", "misc", "common"}


def test_modules_stay_small() -> None:
    long = {
        str(p.relative_to(ROOT)): n for r in ROOMS for p in modules(r) if (n := p.read_text("utf-8").count("\n")) > 420
    }
    assert not long
