"""The pages of the guide that are made from the code."""

from __future__ import annotations

import html
import inspect
from collections.abc import Iterator
from typing import Any

import click


def hooks() -> str:
    """One section per hook: its signature and its sentence."""
    from avbench.harness.plugins import hookspecs

    parts = [
        "# Hooks\n",
        "What a package may hook into, through entry points of the group `avbench`. Made from "
        "`harness/plugins/hookspecs.py`; the types are in [Plugins](reference/plugins.md).\n",
    ]
    for name, hook in vars(hookspecs).items():
        if name.startswith("avbench_"):
            signature = str(inspect.signature(hook)).replace("'", "")
            parts.append(f"## {name}\n\n```text\n{name}{signature}\n```\n\n{_text(hook)}\n")
    return "\n".join(parts)


def checks() -> str:
    """One section per check, under its name."""
    from avbench.harness.testing import CHECKS

    parts = [
        "# Checks\n",
        "What `avbench methods check NAME` asks of a method, on small simulated data. In the tests of a package: "
        "`check_method(MyMethod).raise_if_failed()` ([Testing](reference/testing.md)). A method that must fail a check "
        "says so, with the reason, in `MethodInfo.expected_failures`.\n",
    ]
    for check in CHECKS:
        needs = f"\n\nNeeds: {', '.join(f'[{n}](#{n})' for n in check.needs)}." if check.needs else ""
        parts.append(f"## {check.name}\n\n{check.reason}\n\n**When it fails:** {check.remedy}{needs}\n")
    return "\n".join(parts)


def command_line() -> str:
    """Every command of avbench itself with its help and its options."""
    from avbench.harness.cli import cli

    context = click.Context(cli, info_name="avbench")
    parts = ["# Command line\n", *_command(cli, context, 1)]
    for name in (known.name for known in cli.lazy_commands().values() if known.plugin[0] == "avbench"):
        command = cli.get_command(context, name)
        assert command is not None
        parts += _command(command, click.Context(command, info_name=name, parent=context), 2)
    return "\n".join(parts)


def _command(command: click.Command, context: click.Context, level: int) -> Iterator[str]:
    if level > 1:
        yield f"{'#' * level} {context.command_path}\n"
    yield f"```text\n{' '.join([context.command_path, *command.collect_usage_pieces(context)])}\n```\n"
    yield f"{_text(command.callback)}\n"
    options = [p for p in command.get_params(context) if isinstance(p, click.Option)]
    rows = [record for option in options if (record := option.get_help_record(context))]
    if rows:
        yield "| Option | Meaning |\n|---|---|"
        yield from (f"| `{option}` | {_cell(text)} |" for option, text in rows)
        yield ""
    if isinstance(command, click.Group) and level > 1:
        for name in command.list_commands(context):
            found = command.get_command(context, name)
            assert found is not None
            yield from _command(found, click.Context(found, info_name=name, parent=context), level + 1)


def _text(thing: Any) -> str:
    return (inspect.getdoc(thing) or "").replace("``", "`")


def _cell(text: str) -> str:
    """One cell of a table, shown as it is: no tag, no link, no further cell."""
    shown = html.escape(" ".join(text.split()), quote=False)
    return shown.replace("|", "&#124;").replace("[", "&#91;").replace("]", "&#93;")


GENERATED = {"hooks.md": hooks, "checks.md": checks, "cli.md": command_line}
"""What makes each page."""
