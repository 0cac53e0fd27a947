"""A click group that imports a command only when it is called, and suggests the nearest name for a misspelt one."""

from __future__ import annotations

import difflib
import importlib
from collections.abc import Mapping, Sequence
from typing import Any

import click

from avbench.harness.errors import PluginError
from avbench.harness.plugins.commands import Command, plugin_commands


class LazyGroup(click.Group):
    """A command of ``avbench`` that has commands of its own. Those of plugins come after the built-in ones.

    ``place``: name of the group, empty for ``avbench`` itself. ``built_in``: its own commands.
    """

    def __init__(self, *args: Any, place: str, built_in: Sequence[Command] = (), **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.place = place
        self.built_in = {command.name: command for command in built_in}

    def lazy_commands(self) -> Mapping[str, Command]:
        """Built-in ones and those of plugins."""
        found = self.built_in | plugin_commands().of_group(self.place, [*self.built_in, *self.commands])
        if not self.place:
            plugin_commands().require_groups(["", *found])
        return found

    def list_commands(self, ctx: click.Context) -> list[str]:
        return [*self.commands, *self.lazy_commands()]

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name in self.commands:
            return self.commands[cmd_name]
        found = self.built_in.get(cmd_name) or self.lazy_commands().get(cmd_name)
        return None if found is None else _loaded(found)

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        name = args[0]
        if self.get_command(ctx, name) is None and not name.startswith("-"):
            close = difflib.get_close_matches(name, self.list_commands(ctx), n=1)
            hint = f" Did you mean {close[0]!r}?" if close else ""
            ctx.fail(f"No such command {name!r}.{hint}")
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        rows = [(name, c.get_short_help_str()) for name, c in self.commands.items() if not c.hidden]
        rows += [(name, command.help) for name, command in self.lazy_commands().items()]
        with formatter.section("Commands"):
            formatter.write_dl(rows)


def _loaded(command: Command) -> click.Command:
    module, _, attribute = command.target.partition(":")
    try:
        found = getattr(importlib.import_module(module), attribute)
    except (ImportError, AttributeError) as error:
        if command.plugin[0] == "avbench":
            raise
        raise PluginError(f"command {command.name!r} of {command.plugin[0]} cannot be loaded: {error}") from error
    if not isinstance(found, click.Command):
        raise PluginError(f"command {command.name!r} of {command.plugin[0]}: {command.target} is no click command")
    return found
