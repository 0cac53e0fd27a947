"""Commands of packages: found without importlib.metadata, loaded late, and one that is broken costs nothing else."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from importlib.metadata import entry_points
from pathlib import Path

import click
import pytest
from click.testing import CliRunner, Result

from avbench.harness.cli import cli
from avbench.harness.errors import PluginError
from avbench.harness.plugins import commands, door
from avbench.harness.plugins.commands import Command, load_commands, plugin_commands


@click.command()
def greet() -> None:
    """Say hello."""
    click.echo("hello")


GREET = Command("greet", f"{__name__}:greet", "Say hello.")


@pytest.fixture
def packages(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder on the path of imports; what is installed there is known to the command line."""
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setitem(sys.modules, __name__, sys.modules[__name__])
    plugin_commands.cache_clear()
    yield tmp_path
    plugin_commands.cache_clear()
    for name in [name for name in sys.modules if name.endswith("_commands") and "." not in name]:
        del sys.modules[name]


def install(folder: Path, name: str, source: str) -> None:
    """A distribution with one module of commands."""
    info = folder / f"{name}-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(f"[other]\nx = y\n\n[avbench.commands]\nmine = {name}_commands:COMMANDS\n")
    (folder / f"{name}_commands.py").write_text(f"from avbench import Command\nCOMMANDS = [{source}]\n")


def invoke(*arguments: str) -> Result:
    return CliRunner().invoke(cli, list(arguments))


def test_a_command_stands_beside_run_or_joins_a_group(packages: Path) -> None:
    install(packages, "polite", f'Command("greet", "{__name__}:greet", "Say hello.")')
    install(packages, "kind", f'Command("greet", "{__name__}:greet", "Say hello twice.", group="splits")')
    assert invoke("greet").output == "hello\n"
    assert invoke("splits", "greet").output == "hello\n"
    assert "greet        Say hello." in invoke("--help").output
    assert "Say hello twice." in invoke("splits", "--help").output
    assert "Did you mean 'greet'?" in invoke("gret").output
    assert "commands: splits greet" in invoke("plugins", "list", "--json").output


@pytest.mark.parametrize(
    ("source", "reason"),
    [
        ("1 / 0", "ZeroDivisionError"),
        ("print", "not a sequence"),
        ('Command("", "a:b", "x")', "no name of a command"),
        ('Command("-x", "a:b", "x")', "no name of a command"),
        ('Command("x", "a.b", "x")', "not module:attribute"),
        ('Command("run", "a:b", "x")', "command 'run' exists already"),
        ('Command("list", "a:b", "x", group="splits")', "command 'splits list' exists already"),
        ('Command("x", "a:b", "x", group="split")', "no group 'split'"),
    ],
)
def test_a_broken_command_is_named_once_and_costs_nothing_else(
    packages: Path, caplog: pytest.LogCaptureFixture, source: str, reason: str
) -> None:
    install(packages, "bad", source)
    assert "list" in invoke("splits", "--help").output
    assert "doctor" in invoke("--help").output
    assert "doctor" in invoke("--help").output
    (warning,) = [record.getMessage() for record in caplog.records]
    assert warning.startswith("warning: plugin 'mine' of bad is left out")
    assert reason in warning
    strict = invoke("--strict-plugins", "splits", "list")
    assert isinstance(strict.exception, PluginError)


def test_a_command_that_cannot_be_loaded_says_whose_it_is(packages: Path) -> None:
    install(packages, "bad", 'Command("lost", "no_such_module:x", "x"), Command("odd", "os:path", "x")')
    assert "command 'lost' of bad cannot be loaded" in str(invoke("lost").exception)
    assert "os:path is no click command" in str(invoke("odd").exception)


def test_the_first_of_two_distributions_counts_and_names_are_compared_as_indexes_do(
    packages: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    install(packages, "avbench_mine", f'Command("greet", "{__name__}:greet", "Say hello.")')
    (later := packages / "later").mkdir()
    install(later, "Avbench_Mine", "1 / 0")
    for wanted, found in (("avbench-mine", True), ("AVBENCH_MINE", True), ("other", False), ("", False)):
        monkeypatch.setenv(door.ONLY, wanted)
        assert any(c.plugin[0] == "avbench-mine" for c in load_commands([*sys.path, str(later)]).known) is found


def test_reading_by_hand_finds_what_importlib_metadata_finds() -> None:
    by_hand = {(name, value) for _, name, value in commands._entry_points(sys.path)}
    assert by_hand == {(e.name, e.value) for e in entry_points(group=commands.GROUP)}
    assert by_hand
