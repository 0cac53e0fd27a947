"""The space that an option has of its own: from what it declares, or from its type, its bounds and its presets."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from types import NoneType
from typing import TYPE_CHECKING, Any, Literal, get_args, get_origin

if TYPE_CHECKING:
    from pydantic.fields import FieldInfo

AROUND = 30.0
"""A logarithmic scale reaches from a preset divided by this to a preset times this."""
WIDE = 100.0
"""From where on bounds tell no scale: the upper one divided by the preset."""


def own_space(field: FieldInfo, presets: Sequence[Any]) -> str | None:
    """As text of ``--space``, or None where type and bounds tell none.

    - A field that declares ``json_schema_extra={"space": "log:1e-7..1e-2"}`` has that.
    - A switch, or a choice between names, has all its values.
    - A number whose upper bound is at least 100 times its preset has a logarithmic scale, from a thirtieth of the
      preset to thirty times the preset, within the bounds.
    - Another number has a linear scale between its bounds. An excluded bound is moved in by a hundredth of the range.
      Where the preset is 0 and the upper bound above 1, the bounds tell no scale.

    ``presets``: the values of the option on each track.
    """
    declared = field.json_schema_extra if isinstance(field.json_schema_extra, dict) else {}
    if "space" in declared:
        return str(declared["space"])
    if bool in kinds(field):
        return "false,true"
    if choices := [c for kind in kinds(field) if get_origin(kind) is Literal for c in get_args(kind)]:
        return ",".join(map(json.dumps, [*choices, None] if NoneType in kinds(field) else choices))
    numbers = [p for p in presets if isinstance(p, int | float) and not isinstance(p, bool)]
    bounds = _bounds(field)
    if not numbers or bounds is None or not {int, float} & set(kinds(field)):
        return None
    low, high = bounds
    least, most = min(numbers), max(numbers)
    if log := least > 0 and high / least >= WIDE:
        low = _short(least / AROUND) if low < least / AROUND else low
        high = min(high, _short(most * AROUND))
    elif least == 0 and high > 1:
        return None
    else:
        step = (high - low) / 100
        low, high = low + step * _excluded(field, "gt"), high - step * _excluded(field, "lt")
    if float not in kinds(field):
        low, high = max(math.ceil(low), int(log)), math.floor(high)
    return f"{'log:' if log else ''}{low!r}..{high!r}" if low < high else None


def kinds(field: FieldInfo) -> tuple[Any, ...]:
    """The types of an option: those of a union, else the one."""
    kind = field.annotation
    return (kind,) if get_origin(kind) is Literal else get_args(kind) or (kind,)


def _bounds(field: FieldInfo) -> tuple[float, float] | None:
    """Lower and upper bound, whether they are included or not."""
    found = {name: getattr(m, name) for m in field.metadata for name in ("ge", "gt", "le", "lt") if hasattr(m, name)}
    low, high = found.get("ge", found.get("gt")), found.get("le", found.get("lt"))
    return None if low is None or high is None else (low, high)


def _excluded(field: FieldInfo, bound: str) -> bool:
    return any(hasattr(m, bound) for m in field.metadata)


def _short(number: float) -> float:
    """Two digits are enough for the end of a space."""
    return float(f"{number:.1e}")
