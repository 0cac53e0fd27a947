"""``avbench plugins``: which packages came through the plugin door, and what they bring."""

from __future__ import annotations

import json
from importlib.metadata import version
from typing import Any

import click
from tabulate import tabulate

from avbench.harness.cli.lazy import LazyGroup
from avbench.harness.plugins.commands import plugin_commands
from avbench.harness.plugins.registry import plugins as load


@click.group(cls=LazyGroup, place="plugins")
def plugins() -> None:
    """List plugins."""


@plugins.command("list")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def list_plugins(as_json: bool) -> None:
    """One row per plugin: distribution, entry point, hooks that it implements, and what is wrong with it."""
    found = load()
    rows = [
        {"distribution": p.distribution, "version": p.version, "plugin": p.entry_point, "hooks": p.hooks, "error": None}
        for p in found.loaded
    ] + [
        {"distribution": b.distribution, "version": None, "plugin": b.entry_point, "hooks": (), "error": b.reason}
        for b in found.broken
    ]
    rows += _command_rows()
    if as_json:
        click.echo(json.dumps(rows, indent=1))
        return
    table = [
        [r["distribution"], r["version"], r["plugin"], ", ".join(r["hooks"] or ()), r["error"] or "ok"] for r in rows
    ]
    headers = ["distribution", "version", "plugin", "hooks", "state"]
    click.echo(tabulate(table, headers=headers, maxcolwidths=[None, None, None, 50, 60]))


def _command_rows() -> list[dict[str, Any]]:
    """One row for each entry point that brings commands, or fails to."""
    names: dict[tuple[str, str], list[str]] = {}
    for command in plugin_commands().known:
        names.setdefault(command.plugin, []).append(f"{command.group} {command.name}".strip())
    rows: list[dict[str, Any]] = [
        {
            "distribution": d,
            "version": version(d),
            "plugin": e,
            "hooks": (f"commands: {', '.join(given)}",),
            "error": None,
        }
        for (d, e), given in names.items()
    ]
    return rows + [
        {"distribution": b.distribution, "version": None, "plugin": b.entry_point, "hooks": (), "error": b.reason}
        for b in plugin_commands().broken
    ]
