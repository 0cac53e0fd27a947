"""The plugin door: one broken plugin is named once and costs nothing else."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from importlib.metadata import EntryPoint
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from simulated_features import Ridge

from avbench.harness import hookspecs, plugins
from avbench.harness.errors import UsageError
from avbench.harness.hookspecs import hookimpl
from avbench.harness.method import Method
from avbench.harness.plugins import Plugins, load_plugins
from avbench.harness.variants import Variant


class Package:
    """A distribution as importlib.metadata gives it, with one entry point that loads a module made here."""

    def __init__(self, name: str, load: Callable[[], Any]) -> None:
        self.metadata = {"Name": name}
        self.version = "1.0"
        self.load = load
        self.name = "plugin"


def module(methods: Callable[[], Any], **others: Any) -> ModuleType:
    made = ModuleType("simulated_plugin")
    made.avbench_methods = hookimpl(methods)  # type: ignore[attr-defined]
    for name, value in others.items():
        setattr(made, name, value)
    return made


def load(*packages: Package) -> Plugins:
    return load_plugins([(p, p) for p in packages])  # type: ignore[misc]


def test_methods_come_through_the_door() -> None:
    found = load(Package("good", lambda: module(lambda: [Ridge])))
    assert found.method("ridge").distribution == "good"
    assert not found.broken


def _import_error() -> Any:
    raise ImportError("no such library")


def _exit() -> Any:
    raise SystemExit(3)


def _misspelt_hook() -> Any:
    return module(lambda: [Ridge], avbench_metods=hookimpl(lambda: None))


class NoInfo(Ridge):
    info = None  # type: ignore[assignment]


@pytest.mark.parametrize(
    ("bad", "reason"),
    [
        (_import_error, "ImportError: no such library"),
        (_exit, "SystemExit"),
        (lambda: module(lambda: 1 / 0), "ZeroDivisionError"),
        (lambda: module(lambda: [int]), "subclasses of Method"),
        (lambda: module(lambda: [NoInfo]), "not a MethodInfo"),
        (lambda: module(lambda: [Ridge]), "already registered by good"),
        (_misspelt_hook, "avbench_metods"),
    ],
)
def test_a_broken_plugin_is_named_and_costs_nothing_else(bad: Callable[[], Any], reason: str) -> None:
    found = load(Package("good", lambda: module(lambda: [Ridge])), Package("bad", bad))
    assert list(found.methods) == ["ridge"]
    assert [b.distribution for b in found.broken] == ["bad"]
    assert reason in found.broken[0].reason


HALF = Variant("ridge", "half", {"strength": 0.5}, "a-paper", "table-1")
DOUBLE = Variant("ridge", "half", {"strength": 2.0}, "a-paper", "table-2")


def test_a_package_may_bring_variants_only() -> None:
    def no_methods() -> list[type[Method]]:
        return []

    def package(name: str, *variants: object) -> Package:
        return Package(name, lambda: module(no_methods, avbench_variants=hookimpl(lambda: list(variants))))

    found = load(package("good", HALF), package("differing", DOUBLE), package("untyped", "half"), package("same", HALF))
    assert found.variants == (HALF, HALF)
    reasons = {b.distribution: b.reason for b in found.broken}
    assert reasons.keys() == {"differing", "untyped"}
    assert "'half' of method 'ridge' is given twice" in reasons["differing"]
    assert "list of Variant" in reasons["untyped"]


def test_an_unknown_method_gets_a_suggestion() -> None:
    with pytest.raises(UsageError, match=r"unknown method 'rigde'. Did you mean 'ridge'\?"):
        load(Package("good", lambda: module(lambda: [Ridge]))).method("rigde")


def test_the_list_of_packages_to_load_restricts_strangers_only(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    stranger = tmp_path / "stranger-1.0.dist-info"
    stranger.mkdir()
    (stranger / "METADATA").write_text("Metadata-Version: 2.1\nName: stranger\nVersion: 1.0\n")
    (stranger / "entry_points.txt").write_text("[avbench]\nstrange = stranger_plugin\n")
    monkeypatch.syspath_prepend(str(tmp_path))

    def names() -> set[str]:
        return {d.metadata["Name"] for d, _ in plugins._entry_points()}

    assert names() >= {"avbench", "stranger"}
    monkeypatch.setenv(plugins.ONLY, "")
    assert names() == {"avbench"}
    monkeypatch.setenv(plugins.ONLY, "other, stranger")
    assert names() == {"avbench", "stranger"}


def test_built_in_methods_are_registered_like_a_strangers() -> None:
    found = plugins.plugins()
    assert "avca" in found.methods
    assert found.methods["avca"].distribution == "avbench"
    assert not found.broken


def test_every_hook_has_one_sentence() -> None:
    for name, hook in vars(hookspecs).items():
        if name.startswith("avbench_"):
            assert hook.__doc__
            assert hook.__doc__.strip().count(".") == 1, name


@pytest.mark.parametrize("command", [["--help"], ["methods", "list"], ["methods", "show", "avca"], ["splits", "list"]])
def test_listings_do_not_import_torch(command: list[str]) -> None:
    code = f"""
import sys
from avbench.harness.cli import main
try:
    main({command!r})
except SystemExit as end:
    assert not end.code
assert "torch" not in sys.modules
"""
    subprocess.run([sys.executable, "-c", code], check=True, capture_output=True)


def test_entry_point_type_is_the_library_s() -> None:
    assert all(isinstance(e, EntryPoint) for _, e in plugins._entry_points())
