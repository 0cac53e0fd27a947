"""Whether a written avbench command is one."""

from __future__ import annotations

import re
from collections.abc import Sequence

import click

from avbench.harness.cli import cli


def unknown_words(arguments: Sequence[str]) -> set[str]:
    """The groups, commands and long and short options among ``arguments`` (without ``avbench``) that do not exist."""
    command: click.Command = cli
    context = click.Context(cli)
    while isinstance(command, click.Group) and arguments and not arguments[0].startswith("-"):
        found = command.get_command(context, arguments[0])
        if found is None:
            return {arguments[0]}
        command, arguments = found, arguments[1:]
    known = {o for p in command.params if isinstance(p, click.Option) for o in p.opts} | {"--help"}
    return {word for word in arguments if re.fullmatch(r"--?[a-z][a-z-]*", word)} - known
