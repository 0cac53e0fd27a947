"""``avbench run --config FILE``: defaults of the command's options from TOML, each of the type that the option has."""

from __future__ import annotations

import json
import tomllib
from pathlib import Path
from typing import Any

import click
from click.core import ParameterSource

from avbench.harness.errors import UsageError, unknown

OPTIONS = "avbench.options"
"""Key in ``ctx.meta``: options of methods from the file, ``name=value`` texts. Those of the command line win."""
_KINDS: dict[type[Any], tuple[type, str]] = {
    click.types.BoolParamType: (bool, "true or false"),
    click.IntRange: (int, "a whole number"),
    click.types.IntParamType: (int, "a whole number"),
}


def read_config(ctx: click.Context, _param: click.Parameter, path: Path | None) -> Path | None:
    """Take over the values of a file: long option names as keys, and a table ``options`` for those of the method.

    Raises :class:`UsageError`, naming file and key, for an unknown key, a value of another type, or two keys that say
    the same thing.
    """
    if path is None:
        return None
    values = _read(path)
    known = {p.name: p for p in ctx.command.params if isinstance(p, click.Option) and p.name and p.name != "config"}
    table = values.pop("options", {})
    if not isinstance(table, dict):
        raise UsageError(f"{path}: options is {_said(table)}; write a table: [options] and below it, NAME = VALUE")
    texts = [f"{name}={_json(value, f'{path}: options.{name}')}" for name, value in table.items()]
    defaults: dict[str, Any] = {}
    for key, value in values.items():
        name = key.replace("-", "_")
        if name not in known:
            raise unknown(f"setting in {path}", key, [*known, "options"])
        if name in defaults:
            raise UsageError(f"{path}: {key} stands there twice, with '-' and with '_'; keep one of them")
        defaults[name] = _checked(known[name], value, f"{path}: {key}")
    listed = defaults.pop("option", ())
    for text in listed:
        if (name := text.partition("=")[0].strip()) in table:
            raise UsageError(
                f"{path}: option = {text!r} and options.{name} = {table[name]!r} both set {name}; keep one"
            )
    ctx.meta[OPTIONS] = [*texts, *listed]
    ctx.default_map = defaults
    return path


def one_of(ctx: click.Context, first: str, second: str, refusal: str) -> tuple[Any, Any]:
    """The values of two options that exclude each other: what the command line says wins over the file.

    Raises :class:`UsageError` with ``refusal`` where both come from the same place.
    """
    values = {name: ctx.params[name] for name in (first, second)}
    if all(values.values()):
        in_file = [name for name in values if ctx.get_parameter_source(name) is ParameterSource.DEFAULT_MAP]
        if len(in_file) != 1:
            raise UsageError(refusal)
        values[in_file[0]] = None if in_file[0] == first else ()
    return values[first], values[second]


def _read(path: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(path.read_text("utf-8-sig"))  # editors on Windows put a mark in front
    except (OSError, ValueError, RecursionError) as error:
        raise UsageError(f"{path}: not readable as TOML ({error})") from None


def _checked(option: click.Option, value: Any, where: str) -> Any:
    """A value as the option takes it; one value of an option that may be repeated is a list of one."""
    kind, words = _KINDS.get(type(option.type), (str, "text"))
    several = isinstance(value, list)
    for each in value if several else [value]:
        if type(each) is not kind:
            raise UsageError(f"{where} is {_said(each)}; {words} is expected")
    if several and not option.multiple:
        raise UsageError(f"{where} is a list; one value is expected")
    return [value] if option.multiple and not several else value


def _json(value: Any, where: str) -> str:
    try:
        return json.dumps(value)
    except (TypeError, ValueError, RecursionError):
        raise UsageError(f"{where} is {_said(value)}, which no option takes") from None


def _said(value: Any) -> str:
    return f"{value!r}"[:80]
