"""Who may import whom (DESIGN section 1), read from the source of every module."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
ROOMS = ("harness", "leaderboard", "methods", "splits")
ALLOWED: dict[str, tuple[str, ...]] = {
    "splits": ("avbench.splits",),
    "harness": ("avbench.splits", "avbench.harness"),
    "methods": ("avbench.methods", "avbench.harness"),
    "leaderboard": ("avbench.leaderboard", "avbench.splits", "avbench.harness"),
}


def modules(room: str) -> list[Path]:
    return sorted((ROOT / room).rglob("*.py"))


def imports(tree: ast.AST) -> Iterator[str]:
    """Imports that run when the module loads: not inside functions, not under TYPE_CHECKING."""
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            continue
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test):
            continue
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "absolute imports only"
            yield node.module or ""
        else:
            yield from imports(node)


@pytest.mark.parametrize("path", [p for room in ROOMS for p in modules(room)], ids=lambda p: str(p.relative_to(ROOT)))
def test_layers(path: Path) -> None:
    room = path.relative_to(ROOT).parts[0]
    for name in imports(ast.parse(path.read_text("utf-8"))):
        if name.startswith("avbench."):
            assert name.startswith(ALLOWED[room]), f"{path.name} imports {name}"


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
