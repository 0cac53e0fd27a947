"""Choosing runs from a results folder: the options that the commands of ``avbench results`` share."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import click

from avbench.harness.errors import UsageError, unknown
from avbench.harness.printable import printable
from avbench.harness.records.record import RunRecord
from avbench.harness.records.results import ResultsFolder, Unreadable
from avbench.harness.running.tidy import tidy_up

Command = TypeVar("Command", bound=Callable[..., Any])

results_option = click.option(
    "--results",
    "folder",
    default="results",
    show_default=True,
    type=click.Path(path_type=Path),
    callback=lambda _ctx, _param, path: tidy_up(ResultsFolder(path)),
    help="Results folder.",
)

_FIELDS: dict[str, Callable[[RunRecord], str]] = {
    "method": lambda record: record.configuration.method,
    "dataset": lambda record: record.configuration.dataset,
    "features": lambda record: record.configuration.features,
    "protocol": lambda record: record.configuration.protocol.name,
}


def filter_options(command: Command) -> Command:
    """``--method``, ``--dataset``, ``--features`` and ``--protocol``, each repeatable: what :func:`select` wants."""
    what = {"method": "method", "dataset": "data set", "features": "feature set", "protocol": "protocol"}
    for name in reversed(_FIELDS):
        command = click.option(f"--{name}", multiple=True, help=f"Only this {what[name]}; may be repeated.")(command)
    return command


@dataclass(frozen=True)
class Contents:
    """What a results folder holds."""

    records: tuple[RunRecord, ...]
    unreadable: tuple[Unreadable, ...]


def read_folder(folder: ResultsFolder) -> Contents:
    """Everything in the folder. Raises :class:`UsageError` where there is nothing."""
    found = tuple(folder.records())
    if not found:
        raise UsageError(
            f"no results in {folder.root}: 'avbench run' makes some, --results DIR names another folder, "
            "'avbench results accept FILE' adds a submission"
        )
    return Contents(
        tuple(r for r in found if isinstance(r, RunRecord)), tuple(u for u in found if isinstance(u, Unreadable))
    )


def warn_unreadable(contents: Contents) -> None:
    """Name every file that is no valid record, on stderr."""
    for item in contents.unreadable:
        click.echo(f"warning: left out: {printable(item.reason, 500)}", err=True)


def select(records: Sequence[RunRecord], **wanted: Sequence[str]) -> list[RunRecord]:
    """The records that match every given filter. Raises :class:`UsageError` for a value that no record has."""
    for name, values in wanted.items():
        known = {_FIELDS[name](record) for record in records}
        for value in values:
            if value not in known:
                raise unknown(name, value, known)
    return [r for r in records if all(not values or _FIELDS[name](r) in values for name, values in wanted.items())]


def latest(records: Sequence[RunRecord]) -> list[RunRecord]:
    """Of each method and variant on each track under each protocol, with the same numerics, the runs of the
    configuration that ran last, all its seeds: not those of earlier code or of other options."""
    groups: dict[tuple[object, ...], dict[str, list[RunRecord]]] = {}
    for record in records:
        c = record.configuration
        series = (c.method, record.variant, c.track, c.protocol.name, c.numerics)
        groups.setdefault(series, {}).setdefault(c.row, []).append(record)
    chosen = (max(found.values(), key=lambda runs: max(r.measured.started for r in runs)) for found in groups.values())
    return [record for runs in chosen for record in runs]


def find_run(records: Sequence[RunRecord], prefix: str) -> RunRecord:
    """The one record whose identity starts with ``prefix``. Raises :class:`UsageError` for none or several."""
    found = [record for record in records if record.identity.startswith(prefix.lower())]
    if not found:
        raise UsageError(f"no run has an identity that starts with {prefix!r}; 'avbench results list' shows them")
    if len(found) > 1:
        names = "; ".join(f"{r.identity[:12]} ({describe(r)})" for r in found[:5])
        raise UsageError(f"{prefix!r} is ambiguous: {len(found)} runs start with it, such as {names}")
    return found[0]


def describe(record: RunRecord) -> str:
    """A run in a few words."""
    c = record.configuration
    return f"{c.method} {c.track} {c.protocol.name} seed {c.seed}"
