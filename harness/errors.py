"""One error tree. The command line catches :class:`AvbenchError` once, prints it and exits with its code."""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class AvbenchError(Exception):
    """Something the user can act on: the message says what is wrong, where, and what to do."""

    exit_code = 1


class UsageError(AvbenchError):
    """An unknown name, option or value."""

    exit_code = 2


class DataError(AvbenchError):
    """A feature file, archive or store that cannot be trusted."""

    exit_code = 3


class RecordError(AvbenchError):
    """A result record or its evidence that cannot be trusted."""

    exit_code = 4


class MethodError(AvbenchError):
    """A plugin that broke the contract of a method: wrong shape, NaN, wrong device, or an exception of its own."""

    exit_code = 5


class WorkerError(MethodError):
    """The process of a method died, was silent for too long, or said what it may not."""


class PluginError(AvbenchError):
    """A package that came through the plugin door and cannot be used as it is."""

    exit_code = 5


def unknown(kind: str, name: str, known: Iterable[str]) -> UsageError:
    """The error for a misspelt name, with a suggestion: ``unknown method 'avac': did you mean 'avca'? Known: ...``"""
    names = sorted(known)
    close = difflib.get_close_matches(name.lower(), names, n=1, cutoff=0.5)
    hint = f" Did you mean {close[0]!r}?" if close else ""
    return UsageError(f"unknown {kind} {name!r}.{hint} Known: {', '.join(names) or 'none'}.")
