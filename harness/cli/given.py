"""Options of methods from the command line: ``-p NAME=VALUE``, of which several values of one name make a grid."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import product
from typing import Any

from avbench.harness.errors import UsageError

Values = Mapping[str, Sequence[Any]]
"""The values of each option, in the order in which they were given."""


def parse_given(texts: Iterable[str]) -> dict[str, list[Any]]:
    """``x=0.1``: one value. ``x=0.1,1``, or ``x=0.1`` and ``x=1``: two. Each value once.

    A value is read as JSON where it is JSON, commas included (``x=[1,2]``, ``x="a,b"``), and as text otherwise.
    """
    found: dict[str, list[Any]] = {}
    for text in texts:
        name, equals, value = text.partition("=")
        if not equals or not name:
            raise UsageError(f"-p {text[:200]!r}: write OPTION=VALUE")
        known = found.setdefault(name, [])
        known += [v for v in _values(value, f"-p {text[:80]!r}") if not any(_same(v, k) for k in known)]
    return found


def combinations(values: Values) -> Iterator[dict[str, Any]]:
    """Every choice of one value for each option; the last option changes first."""
    for chosen in product(*values.values()):
        yield dict(zip(values, chosen, strict=True))


def _values(text: str, where: str) -> list[Any]:
    try:
        return [json.loads(text)]
    except RecursionError:
        raise UsageError(f"{where}...: nested too deeply") from None
    except ValueError:
        parts = text.split(",")
    if len(parts) == 1:
        return [text]
    return [value for part in parts for value in _values(part.strip(), where)]


def _same(one: Any, other: Any) -> bool:
    return type(one) is type(other) and one == other
