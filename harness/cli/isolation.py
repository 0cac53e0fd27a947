"""Options of commands that run methods, which say how far a method is kept from the answers."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial, wraps
from typing import Any, get_args

import click

from avbench.harness.isolation.choice import SILENCE_SECONDS, Isolation
from avbench.harness.records.record import IsolationKind


def isolation_options(default: IsolationKind) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """``--isolation`` and its limits; the command takes ``isolation``, an :class:`Isolation`."""
    return partial(_with_options, default)


def _with_options(default: IsolationKind, command: Callable[..., Any]) -> Callable[..., Any]:
    @click.option(
        "--isolation",
        type=click.Choice(get_args(IsolationKind)),
        default=default,
        show_default=True,
        help="Where methods are: in avbench's process, in one of their own without the answers, or shut in there.",
    )
    @click.option(
        "--isolation-memory",
        type=click.FloatRange(0.5, 2**20),
        metavar="GIB",
        help="Memory of a method's process. [default: as much as the machine has]",
    )
    @click.option(
        "--isolation-silence",
        type=click.FloatRange(1, 10**7),
        default=SILENCE_SECONDS,
        show_default=True,
        metavar="SECONDS",
        help="How long a method's process may take for an epoch.",
    )
    @click.option(
        "--isolation-timeout",
        type=click.FloatRange(1, 10**8),
        metavar="SECONDS",
        help="How long a run may take in a method's process. [default: no limit]",
    )
    @wraps(command)
    def with_isolation(
        *args: Any,
        isolation: IsolationKind,
        isolation_memory: float | None,
        isolation_silence: float,
        isolation_timeout: float | None,
        **others: Any,
    ) -> Any:
        memory = None if isolation_memory is None else int(isolation_memory * 2**30)
        chosen = Isolation(isolation, memory, isolation_silence, isolation_timeout)
        return command(*args, isolation=chosen, **others)

    return with_isolation
