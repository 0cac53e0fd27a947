"""The door for arguments from Python: of another type than they must be, they are refused by name."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, get_args

from avbench.harness.errors import UsageError, unknown
from avbench.harness.printable import printable

Kinds = type | tuple[type, ...]


def one(name: str, given: Any, kinds: Kinds, words: str) -> Any:
    """The argument, if it is of a kind; a bool is no number. ``words``: what is expected.

    Raises :class:`UsageError`.
    """
    if not isinstance(given, kinds) or (isinstance(given, bool) and kinds is not bool):
        raise UsageError(f"{name}={printable(repr(given), 80)} is of type {type(given).__name__}; give {words}")
    return given


def one_of(name: str, given: Any, choices: Any) -> Any:
    """The argument, if it is one of the texts of a Literal. Raises :class:`UsageError`."""
    if given not in get_args(choices):
        raise unknown(name, str(given), get_args(choices))
    return given


def several(name: str, given: Any, kinds: Kinds, words: str) -> list[Any]:
    """One of a kind, or a series of them, as a list. Raises :class:`UsageError`, naming what does not belong there."""
    if isinstance(given, kinds) and not isinstance(given, bool):
        return [given]
    series(name, given, words)
    return [one(f"{name}[{place}]", each, kinds, words) for place, each in enumerate(given)]


def series(name: str, given: Any, words: str) -> None:
    """Raise :class:`UsageError` for what has no elements in an order."""
    if isinstance(given, bytes | Mapping | set | frozenset) or not isinstance(given, Iterable):
        one(name, given, (), words)
