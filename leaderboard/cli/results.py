"""``avbench results table | compare | export``."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from avbench.harness.atomic import write_bytes
from avbench.harness.cli.selection import (
    describe,
    filter_options,
    find_run,
    read_folder,
    results_option,
    select,
    warn_unreadable,
)
from avbench.harness.errors import UsageError, unknown
from avbench.harness.printable import printable
from avbench.harness.records.record import RunRecord
from avbench.harness.records.reproduction import Reproduction
from avbench.harness.records.results import ResultsFolder

if TYPE_CHECKING:
    from avbench.leaderboard.boards import RerunRow


@click.command()
@results_option
@filter_options
@click.option(
    "--format",
    "form",
    type=click.Choice(["text", "markdown", "latex", "csv", "json"]),
    default="text",
    show_default=True,
    help="Form of the table.",
)
@click.option("--validation", is_flag=True, help="Show the HM on validation too, of the epoch that stage 1 chose.")
def table(
    folder: ResultsFolder,
    form: str,
    validation: bool,
    **wanted: Sequence[str],
) -> None:
    """One row per method and protocol: mean and deviation over seeds, printed numbers where they compare.

    Runs whose numbers do not follow from their evidence are left out and named.
    """
    from avbench.harness.plugins.presets import options_beyond_variant
    from avbench.leaderboard.boards import build_boards
    from avbench.leaderboard.claims import claims
    from avbench.leaderboard.tables import FORMATS, compared, render

    chosen = sound(folder, **wanted)
    boards = build_boards(
        chosen.records, claims(), options_beyond_variant, marks=chosen.marks, reproductions=chosen.reproductions
    )
    known = next(known for known in FORMATS if known == form)
    click.echo(render(compared(boards), known, validation), nl=form != "csv")


@click.command()
@click.argument("first")
@click.argument("second")
@results_option
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def compare(first: str, second: str, folder: ResultsFolder, as_json: bool) -> None:
    """Differences from FIRST to SECOND on every track and protocol that both were run on.

    Each is the name of a row as 'results table' and the board show it, such as 'avca (loss=-l_r)'; or that of a method,
    for all its rows where none has just that name; or the start of a run's identity. What is compared is the mean over
    seeds. Intervals and p-values speak of other classes and other seeds, and need three seeds on either side; an
    interval excludes 0 exactly where p is below 0.05. Both are for this comparison alone, without correction for
    others.
    """
    contents = read_folder(folder)
    everything = sound_of(contents.records, folder)
    labels = _labels(everything.records)
    chosen = [_side(everything, _resolve(contents.records, labels, name)) for name in (first, second)]
    rows = [row for pair in _pairs(*chosen) for row in _differences(*pair, labels, folder)]
    if not rows:
        raise UsageError(
            f"{first!r} and {second!r} have no finished runs on one track, protocol, split and content of features "
            "that contradict no others"
        )
    import pandas as pd

    from avbench.leaderboard.frame import json_text
    from avbench.leaderboard.tables import differences_text

    frame = pd.DataFrame(rows)
    click.echo(json_text(frame) if as_json else differences_text(frame))


@click.command()
@click.argument("out", type=click.Path(path_type=Path, dir_okay=False))
@results_option
@filter_options
def export(
    out: Path,
    folder: ResultsFolder,
    **wanted: Sequence[str],
) -> None:
    """Write one flat row per finished run to OUT, a .csv or .json file. Runs that do not verify are left out."""
    from avbench.leaderboard.frame import csv_text, json_text, results_frame

    if out.suffix not in (".csv", ".json"):
        raise UsageError(f"{out}: name a .csv or a .json file")
    chosen = sound(folder, **wanted)
    frame = results_frame(chosen.records, gate_marks=chosen.marks, reproductions=chosen.reproductions)
    write_bytes(out, (csv_text(frame) if out.suffix == ".csv" else json_text(frame) + "\n").encode())
    click.echo(f"{out}: {len(frame)} runs")


@dataclass(frozen=True)
class Sound:
    """Finished runs that the gate lets through."""

    records: Sequence[RunRecord]
    marks: Mapping[str, Sequence[str]]
    """What the gate says beside their numbers, by identity."""
    reproductions: Mapping[str, Reproduction]
    """What repetitions came to, by identity."""


def sound(folder: ResultsFolder, **wanted: Sequence[str]) -> Sound:
    """The chosen finished runs that verify; everything else is named on stderr."""
    contents = read_folder(folder)
    warn_unreadable(contents)
    return sound_of(select(contents.records, **wanted), folder)


def sound_of(records: Sequence[RunRecord], folder: ResultsFolder) -> Sound:
    """The finished ones that the gate lets through; the others are named on stderr."""
    from avbench.harness.plugins.declared import said_by_methods
    from avbench.harness.records.gate import judge_folder

    tracks = {record.configuration.track for record in records}
    beside = (r for r in folder.records() if isinstance(r, RunRecord) and r.configuration.track in tracks)
    verdicts = judge_folder(folder, beside, said_by_methods)
    found = []
    for record in records:
        if reasons := verdicts.reasons[record.identity]:
            click.echo(f"warning: left out: {describe(record)}: {printable('; '.join(reasons), 500)}", err=True)
        elif record.finished:
            found.append(record)
        for reason in verdicts.refused.get(record.identity, ()):
            click.echo(f"warning: does not count: {printable(reason, 500)}", err=True)
    return Sound(found, verdicts.marks, verdicts.reproductions)


def _side(everything: Sound, records: Iterable[RunRecord]) -> Sound:
    """Of these runs those that are sound."""
    wanted = {record.identity for record in records}
    return replace(everything, records=[record for record in everything.records if record.identity in wanted])


def _resolve(records: Sequence[RunRecord], labels: Mapping[str, str], name: str) -> list[RunRecord]:
    """The runs of a row, the runs of a method, or the one run whose identity starts so."""
    from avbench.leaderboard.frame import group_of

    shown = [label for label in labels.values() if name == label or name.startswith(f"{label} [")]  # marks follow
    if shown:
        label = max(shown, key=len)
        return [record for record in records if labels.get(group_of(record)) == label]
    of_method = [record for record in records if record.configuration.method == name]
    if of_method:
        return of_method
    if not set(name.lower()) <= set("0123456789abcdef"):
        raise unknown("row or method", name, {*labels.values(), *(record.configuration.method for record in records)})
    return [find_run(records, name)]


def _pairs(first: Sound, second: Sound) -> list[tuple[RerunRow, RerunRow]]:
    """Rows of both sides on the same board and the same content of features, unless they contradict others on it."""
    from avbench.harness.plugins.presets import options_beyond_variant
    from avbench.leaderboard.boards import build_boards
    from avbench.leaderboard.ranking import in_conflict

    def rows(side: Sound) -> list[tuple[tuple[Any, ...], RerunRow]]:
        return [
            ((b.simulated, b.track, b.protocol, b.protocol_version, group.feature_hash), row)
            for b in build_boards(side.records, (), options_beyond_variant, marks=side.marks)
            for group in b.groups
            for row in group.rows
            if not in_conflict(row)
        ]

    return [
        (one, two)
        for place, one in rows(first)
        for other, two in rows(second)
        if place == other and one.records != two.records
    ]


def _labels(records: Sequence[RunRecord]) -> Mapping[str, str]:
    """The label of each row in tables and on the board, by group."""
    from avbench.leaderboard.frame import results_frame, rows_frame

    rows = rows_frame(results_frame(records))
    return dict(zip(rows["group"], rows["label"], strict=True))


def _differences(
    first: RerunRow, second: RerunRow, labels: Mapping[str, str], folder: ResultsFolder
) -> list[dict[str, Any]]:
    from avbench.leaderboard.ranking import recalls_of, recalls_of_run
    from avbench.leaderboard.statistics import compare as compare_recalls

    c = first.first.configuration
    names = [labels[row.group] for row in (first, second)]
    if names[0] == names[1]:  # other seeds of one row
        names = [f"{names[0]}, seed {row.first.configuration.seed}" for row in (first, second)]
    sides = [recalls_of(row, lambda record: recalls_of_run(record, folder)) for row in (first, second)]
    return [
        {
            "dataset": c.dataset,
            "features": c.features,
            "simulated": first.first.simulated,
            "protocol": c.protocol.name,
            "first": names[0],
            "second": names[1],
            "first_marks": "; ".join(first.marks),
            "second_marks": "; ".join(second.marks),
            "first_runs": len(first.records),
            "second_runs": len(second.records),
            "metric": metric,
            "first_mean": first.metrics[metric].mean,
            "second_mean": second.metrics[metric].mean,
            "difference": found.points,
            "low": found.interval and found.interval.low,
            "high": found.interval and found.interval.high,
            "p": found.p,
        }
        for metric, found in compare_recalls(*sides).items()
    ]
