"""Whether a written avbench command is one."""

from __future__ import annotations

import re
from collections.abc import Sequence

import click

from avbench.harness.cli import cli


def command_of(arguments: Sequence[str]) -> click.Command:
    """The deepest command or group that ``arguments`` (without ``avbench``) name."""
    return _found(arguments)[0]


def unknown_words(arguments: Sequence[str]) -> set[str]:
    """The groups, commands and long and short options among ``arguments`` (without ``avbench``) that do not exist."""
    command, arguments = _found(arguments)
    if isinstance(command, click.Group) and arguments and not arguments[0].startswith("-"):
        return {arguments[0]}
    known = {o for p in command.params if isinstance(p, click.Option) for o in p.opts} | {"--help"}
    return {word for word in arguments if re.fullmatch(r"--?[a-z][a-z-]*", word)} - known


def _found(arguments: Sequence[str]) -> tuple[click.Command, Sequence[str]]:
    """The command, and what stands behind it."""
    command: click.Command = cli
    context = click.Context(cli)
    while isinstance(command, click.Group) and arguments:
        found = command.get_command(context, arguments[0])
        if found is None:
            break
        command, arguments = found, arguments[1:]
    return command, arguments
