"""``avbench run --plan FILE``: a plan, that is defaults of the command's options, from TOML.

The keys are the long names of the options, in the plural too; ``[options]`` sets options of the methods, ``[grid]``
gives several values of them, ``[[exclude]]`` leaves runs out.
"""

from __future__ import annotations

import json
import re
import tomllib
from pathlib import Path
from typing import Any

import click
from click.core import ParameterSource
from pydantic import ValidationError

from avbench.harness.cli.excludes import read_excludes
from avbench.harness.errors import UsageError, unknown
from avbench.harness.records.record import Tuned

OPTIONS = "avbench.options"
"""Key in ``ctx.meta``: options of methods from the file, ``name=value`` texts. Those of the command line win."""
EXCLUDES = "avbench.excludes"
"""Key in ``ctx.meta``: what the file leaves out, a list of :class:`avbench.harness.cli.excludes.Exclude`."""
_TABLES = ("options", "grid", "exclude", "tuned")
_PLURAL = {f"{name}s": name for name in ("method", "track", "dataset", "protocol", "variant")}
TUNED = "avbench.tuned"
"""Key in ``ctx.meta``: the :class:`Tuned` of a file that ``avbench tune`` wrote."""
_KINDS: dict[type[Any], tuple[type, str]] = {
    click.types.BoolParamType: (bool, "true or false"),
    click.IntRange: (int, "a whole number"),
    click.types.IntParamType: (int, "a whole number"),
}


def read_config(ctx: click.Context, _param: click.Parameter, path: Path | None) -> Path | None:
    """Take over the values of a file: long option names as keys, and a table ``options`` for those of the method.

    A table ``tuned`` says which study the options come from, as ``avbench tune`` writes it.

    Raises :class:`UsageError`, naming file and key, for an unknown key, a value of another type, or two keys that say
    the same thing.
    """
    if path is None:
        return None
    text, values = _read(path)
    known = {p.name: p for p in ctx.command.params if isinstance(p, click.Option) and p.name and p.name != "config"}

    def where(key: str) -> str:
        return f"{path}{_line(text, key)}: {key}"

    def table(key: str) -> dict[str, Any]:
        found = values.pop(key, {})
        if not isinstance(found, dict):
            raise UsageError(f"{where(key)} is {_said(found)}; write a table: [{key}] and below it, NAME = VALUE")
        return found

    single, grid = table("options"), table("grid")
    texts = [f"{name}={_json(value, f'{path}{_line(text, name)}: options.{name}')}" for name, value in single.items()]
    for name, several in grid.items():
        place = f"{path}{_line(text, name)}: grid.{name}"
        if name in single:
            raise UsageError(f"{place} stands under options too; give its values in one place")
        if not isinstance(several, list) or not several:
            raise UsageError(f"{place} is {_said(several)}; a list of values is expected")
        texts += [f"{name}={_json(value, place)}" for value in several]
    ctx.meta[EXCLUDES] = read_excludes(values.pop("exclude", []), f"{path}{_line(text, 'exclude')}")
    ctx.meta[TUNED] = _tuned(values.pop("tuned", None), path)
    defaults: dict[str, Any] = {}
    for key, value in values.items():
        name = _PLURAL.get(key, key.replace("-", "_"))
        if name not in known:
            raise unknown(f"setting in {path}{_line(text, key)}", key, [*known, *_TABLES])
        if name in defaults:
            raise UsageError(f"{where(key)} stands there twice, as {name} too; keep one of them")
        defaults[name] = _checked(known[name], value, where(key))
    listed = defaults.pop("option", ())
    for each in listed:
        if (name := each.partition("=")[0].strip()) in single | grid:
            table_name, given = ("options", single[name]) if name in single else ("grid", grid[name])
            raise UsageError(f"{path}: option = {each!r} and {table_name}.{name} = {given!r} both set {name}; keep one")
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


def _tuned(table: Any, path: Path) -> Tuned | None:
    try:
        return None if table is None else Tuned.model_validate(table)
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(map(str, ("tuned", *first["loc"])))
        raise UsageError(f"{path}: {place}: {first['msg']}; 'avbench tune' writes this table") from None


def _line(text: str, key: str) -> str:
    """``, line N`` of the first place where a key or a table of that name begins; empty where it is not found."""
    found = re.search(rf"""^[ \t]*(\[+[ \t]*)?["']?{re.escape(key)}["']?[ \t]*[=\].]""", text, re.MULTILINE)
    return f", line {text.count(chr(10), 0, found.start()) + 1}" if found else ""


def _read(path: Path) -> tuple[str, dict[str, Any]]:
    try:
        text = path.read_text("utf-8-sig")  # editors on Windows put a mark in front
        return text, tomllib.loads(text)
    except (OSError, ValueError, RecursionError) as error:
        raise UsageError(f"{path}: not readable as TOML ({error})") from None


def _checked(option: click.Option, value: Any, where: str) -> Any:
    """A value as the option takes it; one value of an option that may be repeated is a list of one."""
    kind, words = _KINDS.get(type(option.type), (str, "text"))
    several = isinstance(value, list)
    for each in value if several else [value]:
        if type(each) is not kind:
            raise UsageError(f"{where} is {_said(each)}; {words} is expected")
        try:
            option.type.convert(each, option, None)
        except click.BadParameter as error:
            raise UsageError(f"{where}: {error.message}") from None
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
