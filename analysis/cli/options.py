"""What the commands of ``avbench analyse`` share: their output options, and how they name runs and tracks."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from avbench.analysis.analysis import THEMES, Analysis, Theme, Wanted
from avbench.harness.cli.selection import find_run, read_folder
from avbench.harness.errors import UsageError
from avbench.harness.printable import printable

if TYPE_CHECKING:
    from avbench.analysis.subject import Subject
    from avbench.harness.records.record import RunRecord
    from avbench.harness.records.results import ResultsFolder

FILE = click.Path(path_type=Path, dir_okay=False)

runs_argument = click.argument("runs", nargs=-1, metavar="[RUN]...")
track_option = click.option("--track", help="A track by itself, such as ucf/main, instead of runs.")
protocol_option = click.option(
    "--protocol", default="aligned", show_default=True, help="Of --track: how classes and label vectors are paired."
)
seed_option = click.option("--seed", default=0, show_default=True, type=click.IntRange(0, 2**32 - 1), help="Of draws.")


def analysis_command(function: Callable[..., Analysis]) -> click.Command:
    """A command that makes an analysis: prints its line and writes the files that were asked for."""

    @functools.wraps(function)
    def command(csv: Path | None, json: Path | None, svg: Path | None, theme: Theme, **arguments: Any) -> None:
        wanted = Wanted(csv, json, svg, theme)
        wanted.require_possible()
        found = function(**arguments)
        if found.simulated:
            click.echo("simulated features: says nothing about real data", err=True)
        written = wanted.write(found)
        click.echo(printable(found.line, 10_000))
        for path in written:
            click.echo(f"written: {path}", err=True)

    made: Callable[..., Any] = command
    for option in (
        click.option("--theme", default="light", show_default=True, type=click.Choice(THEMES), help="Of the picture."),
        click.option("--svg", type=FILE, help="Draw the picture."),
        click.option("--json", type=FILE, help="Write the data as JSON."),
        click.option("--csv", type=FILE, help="Write the data as CSV."),
    ):
        made = option(made)
    return click.command()(made)


def named_runs(folder: ResultsFolder, names: Sequence[str]) -> list[RunRecord]:
    """The runs whose identities start so. Raises :class:`UsageError` for none, unknown or ambiguous ones."""
    if not names:
        raise UsageError("name runs by the start of their identities; 'avbench results list' shows them")
    records = read_folder(folder).records
    return list({r.identity: r for r in (find_run(records, name) for name in names)}.values())


def subjects(folder: ResultsFolder, runs: Sequence[str], track: str | None, protocol: str) -> list[Subject]:
    """A track by itself, or runs with their fitted models. Raises :class:`UsageError` for both or neither."""
    from avbench.analysis.subject import of_track
    from avbench.harness.tracks import parse_track

    if bool(runs) == bool(track):
        raise UsageError("name runs by the start of their identities, or a track with --track DATASET/FEATURES")
    if track:
        return [of_track(parse_track(track), protocol)]
    return subjects_of(folder, runs)


def subjects_of(folder: ResultsFolder, runs: Sequence[str]) -> list[Subject]:
    """Runs with their fitted models. Raises as :func:`named_runs` does."""
    from avbench.analysis.subject import of_run

    return [of_run(record, folder) for record in named_runs(folder, runs)]
