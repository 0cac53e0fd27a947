"""A click group that imports a command only when it is called, and suggests the nearest name for a misspelt one."""

from __future__ import annotations

import difflib
import importlib
from collections.abc import Mapping
from typing import Any

import click


class LazyGroup(click.Group):
    """``commands_by_path``: name -> (``module:attribute`` of a click command, one-line help)."""

    def __init__(self, *args: Any, commands_by_path: Mapping[str, tuple[str, str]], **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.commands_by_path = commands_by_path

    def more_commands(self) -> Mapping[str, click.Command]:
        """Commands that are known only when asked for."""
        return self.commands

    def list_commands(self, ctx: click.Context) -> list[str]:
        return [*self.commands_by_path, *self.more_commands()]

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in self.commands_by_path:
            return self.more_commands().get(cmd_name)
        module, _, attribute = self.commands_by_path[cmd_name][0].partition(":")
        command = getattr(importlib.import_module(module), attribute)
        assert isinstance(command, click.Command)
        return command

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
        rows = [(name, text) for name, (_, text) in self.commands_by_path.items()]
        more = self.more_commands().items()
        rows += [(name, command.get_short_help_str()) for name, command in more if not command.hidden]
        with formatter.section("Commands"):
            formatter.write_dl(rows)
