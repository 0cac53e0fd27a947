"""Where options are searched: ``learning_rate=log:1e-5..1e-2``, ``dropout=0,0.2,0.5``, ``layers=1..8``.

A space is checked against the type and the bounds of its option before anything runs. An option that is only named
(``dropout``) has the space that follows from its type, its bounds and its preset.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from typing import TYPE_CHECKING, Annotated, Any

from pydantic import ConfigDict, TypeAdapter, ValidationError

from avbench.harness.errors import UsageError, unknown
from avbench.harness.tuning.own_space import kinds, own_space

if TYPE_CHECKING:
    from optuna.trial import Trial
    from pydantic.fields import FieldInfo

    from avbench.harness.contract.options import Options

Value = bool | int | float | str | None

MAX_GRID = 10_000
"""Points of a grid."""


@dataclass(frozen=True)
class Among:
    """Some values of an option."""

    values: tuple[Value, ...]

    def __str__(self) -> str:
        return ",".join(json.dumps(value) for value in self.values)

    def __contains__(self, value: object) -> bool:
        return any(type(value) is type(each) and value == each for each in self.values)

    def suggest(self, trial: Trial, name: str) -> Value:
        """The value that Optuna chooses."""
        return trial.suggest_categorical(name, self.values)


@dataclass(frozen=True)
class Range:
    """From ``low`` to ``high``, both included, on a linear or a logarithmic scale. ``whole``: whole numbers alone."""

    low: float
    high: float
    log: bool = False
    whole: bool = False

    def __str__(self) -> str:
        return f"{'log:' if self.log else ''}{'int:' if self.whole else ''}{self.low!r}..{self.high!r}"

    def __contains__(self, value: object) -> bool:
        kinds = (int,) if self.whole else (int, float)
        return isinstance(value, kinds) and not isinstance(value, bool) and self.low <= value <= self.high

    def suggest(self, trial: Trial, name: str) -> Value:
        """The value that Optuna chooses."""
        if self.whole:
            return trial.suggest_int(name, int(self.low), int(self.high), log=self.log)
        return trial.suggest_float(name, self.low, self.high, log=self.log)


Space = Among | Range


def spaces(
    kind: type[Options], usual: Sequence[Options], texts: Sequence[str], fixed: Mapping[str, Any]
) -> dict[str, Space]:
    """The spaces that were asked for, by option; without any, those of all options that are fractional numbers.

    ``usual``: the options on each track as they are when nothing is searched. ``fixed``: options that were given.
    Whole numbers (budgets and sizes, which decide what a run costs) and switches (which make another method) are
    searched where they are named. Raises :class:`UsageError` for what is unknown, malformed or out of bounds.
    """
    found: dict[str, Space] = {}
    if not texts:
        for name in kind.model_fields:
            own = _own(kind, name, usual) if name not in fixed else None
            if isinstance(own, Range) and not own.whole:
                found[name] = own
        if not found:
            raise UsageError("no option of this method has a space of its own that is free; give some with --space")
        return found
    for text in texts:
        name, equals, rest = text.partition("=")
        if name not in kind.model_fields:
            raise unknown("option", name[:200], kind.model_fields)
        if name in found:
            raise UsageError(f"--space {name} is given twice")
        if name in fixed:
            raise UsageError(f"option {name} is fixed with -p and searched with --space: leave out one of them")
        space = _parsed(name, kind.model_fields[name], rest) if equals else _own(kind, name, usual)
        if space is None:
            raise UsageError(f"option {name} has no space of its own: write --space {name}=LOW..HIGH or values")
        found[name] = space
    return found


def grid(spaces: Mapping[str, Space]) -> list[dict[str, Value]]:
    """Every combination of values; the last option changes first.

    Raises :class:`UsageError` for a space without end, and for more than :data:`MAX_GRID` points.
    """
    for name, space in spaces.items():
        if isinstance(space, Range) and not space.whole:
            raise UsageError(f"--space {name}={space} has no end of values; a grid needs some, such as {name}=A,B,C")
    sizes = [len(s.values) if isinstance(s, Among) else int(s.high - s.low) + 1 for s in spaces.values()]
    if (count := math.prod(sizes)) > MAX_GRID:
        raise UsageError(f"the grid has {count:,} points, at most {MAX_GRID:,} are possible; name fewer values")
    values = [s.values if isinstance(s, Among) else range(int(s.low), int(s.high) + 1) for s in spaces.values()]
    return [dict(zip(spaces, point, strict=True)) for point in product(*values)]


def _own(kind: type[Options], name: str, usual: Sequence[Options]) -> Space | None:
    field = kind.model_fields[name]
    text = own_space(field, [getattr(options, name) for options in usual])
    return _parsed(name, field, text) if text else None


def _parsed(name: str, field: FieldInfo, text: str) -> Space:
    what = f"--space {name}={text[:80]}"
    rest, log, whole = text.strip(), False, _is_whole(field)
    while (prefix := rest[:4]) in ("log:", "int:"):
        log, whole = log or prefix == "log:", whole or prefix == "int:"
        rest = rest[4:]
    if ".." in rest:
        return _range(what, field, rest, log, whole)
    if rest != text.strip():
        raise UsageError(f"{what}: behind log: or int: a range is expected, LOW..HIGH")
    values: list[Value] = []
    for value in _values(rest):
        if isinstance(value, list | dict):
            raise UsageError(f"{what}: only numbers, texts, true, false and null can be searched")
        checked = _checked(what, field, value)
        if checked not in Among(tuple(values)):
            values.append(checked)
    if len(values) < 2:
        raise UsageError(f"{what}: that is one value; fix it with -p {name}=VALUE, or give several")
    return Among(tuple(values))


def _range(what: str, field: FieldInfo, text: str, log: bool, whole: bool) -> Range:
    low, high = (_number(what, end.strip(), whole) for end in text.split("..", 1))
    if low > high:
        raise UsageError(f"{what}: goes down; write {high!r}..{low!r}")
    if low == high:
        raise UsageError(f"{what}: that is one value; fix it with -p")
    if log and low <= 0:
        raise UsageError(f"{what}: a logarithmic scale starts above 0, not at {low!r}")
    for end in (low, high):
        _checked(what, field, end)
    return Range(low, high, log, whole)


def _number(what: str, text: str, whole: bool) -> float:
    try:
        number = float(text)
    except ValueError:
        raise UsageError(f"{what}: {text!r} is no number") from None
    if not math.isfinite(number):
        raise UsageError(f"{what}: {text!r} is not finite")
    if not whole:
        return number
    if not number.is_integer():
        raise UsageError(f"{what}: {text!r} is no whole number")
    return int(number)


def _values(text: str) -> Iterator[Any]:
    """Each as JSON where it is JSON, else as text. Commas part values: none that may be searched holds one."""
    for part in text.split(","):
        try:
            yield json.loads(part)
        except (ValueError, RecursionError):
            yield part.strip()


def _checked(what: str, field: FieldInfo, value: Any) -> Any:
    """A value as its option has it. Raises :class:`UsageError` for another type and for one out of bounds."""
    kind: Any = Annotated[field.annotation, *field.metadata] if field.metadata else field.annotation
    try:
        return TypeAdapter(kind, config=ConfigDict(allow_inf_nan=False)).validate_python(value, strict=True)
    except ValidationError as error:
        raise UsageError(f"{what}: {error.errors()[0]['msg']} (got {value!r})") from None


def _is_whole(field: FieldInfo) -> bool:
    return int in kinds(field) and float not in kinds(field)
