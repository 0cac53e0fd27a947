"""``avbench results list | show``: what was obtained."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

import click

from avbench.harness.cli.selection import (
    describe,
    filter_options,
    find_run,
    read_folder,
    results_option,
    select,
    warn_unreadable,
)
from avbench.harness.plugins.presets import changes_in_words
from avbench.harness.printable import printable
from avbench.harness.records.record import RunRecord
from avbench.harness.records.results import ResultsFolder
from avbench.harness.records.summary import METRICS, summary


@click.command("list")
@results_option
@filter_options
@click.option("--status", type=click.Choice(["finished", "failed"]), help="Only runs with this status.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def list_results(
    folder: ResultsFolder,
    status: str | None,
    as_json: bool,
    **wanted: Sequence[str],
) -> None:
    """One row per run, with its variant and the options that differ from the presets, and the HM on validation.

    Files that are no valid records are named and cost nothing else."""
    contents = read_folder(folder)
    chosen = select(contents.records, **wanted)
    rows = [{**summary(record), "changes": changes_in_words(record)} for record in chosen]
    rows = [row for row in rows if status in (None, row["status"])]
    if as_json:
        unreadable = [{"path": str(u.path), "reason": u.reason} for u in contents.unreadable]
        click.echo(json.dumps({"runs": rows, "unreadable": unreadable}, indent=1))
        return
    from tabulate import tabulate

    warn_unreadable(contents)
    table = [
        [
            row["identity"][:8],
            row["method"],
            printable(told, 60),
            f"{row['dataset']}/{row['features']}",
            row["protocol"],
            row["seed"],
            *("" if row[name] is None else f"{row[name]:.2f}" for name in ("val_HM", *METRICS)),
            f"{row['seconds']:.0f}",
            "" if row["status"] == "finished" else printable(f"failed: {row['failure']}", 60),
        ]
        for row, told in zip(rows, _what_differs(rows), strict=True)
    ]
    heads = ["run", "method", "options", "track", "protocol", "seed", "val HM", *METRICS, "seconds", "failure"]
    click.echo(tabulate(table, headers=heads, disable_numparse=True, colalign=_aligned(heads)))


def _what_differs(rows: Sequence[Mapping[str, Any]]) -> list[str]:
    """Variant, options and numerics of each row; where that is long, without what all listed rows of a method share."""
    parts = [[row["variant"], *(row["changes"] or "").split(", "), row["numerics"]] for row in rows]
    texts = [", ".join(filter(None, part)) for part in parts]
    for method in {row["method"] for row in rows}:
        members = [index for index, row in enumerate(rows) if row["method"] == method]
        shared = set.intersection(*(set(parts[index]) for index in members))
        if len({texts[index] for index in members}) > 1:
            for index in members:
                if len(texts[index]) > 40:
                    texts[index] = ", ".join(filter(None, (part for part in parts[index] if part not in shared)))
    return texts


@click.command()
@click.argument("identity")
@results_option
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def show(identity: str, folder: ResultsFolder, as_json: bool) -> None:
    """Everything about one run. IDENTITY is the start of its identity, as 'avbench results list' prints it."""
    contents = read_folder(folder)
    record = find_run(contents.records, identity)
    from avbench.harness.plugins.declared import said_by_methods
    from avbench.harness.records.finding import sorted_out
    from avbench.harness.records.gate import judge_folder

    verdicts = judge_folder(folder, _beside(record, contents.records), said_by_methods)
    told, refused = sorted_out(folder.reproductions(record), record)
    reasons, marks = list(verdicts.reasons[record.identity]), verdicts.marks.get(record.identity, ())
    recall = [] if reasons or not record.finished else class_recall(record, folder)
    if as_json:
        detail = {**record.model_dump(mode="json"), "per_class_recall": recall, "problems": reasons, "marks": marks}
        repeated = {"reproductions": [one.model_dump(mode="json") for one in told], "refused_reproductions": refused}
        click.echo(json.dumps(detail | repeated, indent=1))
        return
    c = record.configuration
    click.echo(f"{describe(record)}\n{record.identity}")
    if record.simulated:
        click.echo("Simulated features: says nothing about real data.")
    for warning in record.warnings:
        click.echo(f"Warning: {printable(warning)}")
    for mark in marks:
        click.echo(f"Note: {printable(mark)}")
    _show_outcome(record)
    click.echo("\nThe identity is made of these:")
    protocol = f"{c.protocol.name}, version {c.protocol.version}"
    _show_pairs("Run", {"method": c.method, "track": c.track, "protocol": protocol, "seed": c.seed})
    _show_pairs("Options", c.options)
    _show_pairs("Numerics", c.numerics.model_dump())
    _show_pairs("Code", c.plugin.model_dump())
    _show_pairs("Parts of the code (SHA-256, or the version of another package)", dict(record.code))
    _show_pairs("Data", {"feature_hash": c.feature_hash, "split_fingerprint": c.split_fingerprint})
    click.echo("\nThese are told beside it:")
    _show_pairs("Variant", {"name": record.variant})
    _show_pairs("Environment", record.environment.model_dump())
    _show_pairs("Measured", record.measured.model_dump())
    if recall:
        _show_recall(recall)
    click.echo("\nEvidence")
    if record.failure is not None:
        click.echo("  none: the run failed")
    for line in reasons or (["every number follows from it"] if record.finished else []):
        click.echo(f"  {printable(line, 500)}")
    click.echo("\nRepeated")
    for one in told:
        claim = "claimed by the submitter: " if one.claimed else ""
        click.echo(f"  {claim}{printable(one.in_words(), 500)}")
        where = f"by {one.by}, {one.when}, on {one.environment.device}, avbench {one.environment.avbench}"
        click.echo(f"    {printable(where, 500)}, torch {printable(one.environment.torch)}")
    for line in refused:
        click.echo(f"  does not count: {printable(line, 500)}")
    if not (told or refused):
        click.echo("  no: 'avbench results reproduce' does it")


def _beside(record: RunRecord, records: Sequence[RunRecord]) -> list[RunRecord]:
    """A run with those that the gate may hold it against: of the same track."""
    return [r for r in records if r.configuration.track == record.configuration.track]


def class_recall(record: RunRecord, folder: ResultsFolder) -> list[dict[str, Any]]:
    """Recall of every test class at the run's offset, by class id."""
    from avbench.harness.evaluation.evidence import TEST
    from avbench.harness.evaluation.metrics import per_class_recall
    from avbench.harness.records.verification import find_split

    split = find_split(record)
    assert split is not None
    assert record.outcome is not None
    table = folder.evidence(record)[TEST]
    seen = set(table.seen_classes.tolist())
    return [
        {"class_id": i, "class": split.classes[i].name, "seen": i in seen, "recall": share, "clips": clips}
        for i, (share, clips) in per_class_recall(table, record.outcome.offset).items()
    ]


def _show_outcome(record: RunRecord) -> None:
    if record.failure is not None:
        click.echo(f"\nFailed: {printable(record.failure.type)}: {printable(record.failure.message, 2000)}\n")
        for line in record.failure.traceback.splitlines():
            click.echo(f"  {printable(line)}")
    if record.outcome is None:
        return
    from tabulate import tabulate

    o = record.outcome
    metrics = {name: f"{value:.2f}" for name, value in o.metrics.model_dump().items()}
    click.echo("\n" + "   ".join(f"{name} {value}" for name, value in metrics.items()))
    branches = ", ".join(f"{name} {value:.4g}" for name, value in o.branch_offsets.items())
    click.echo(f"offset {o.offset:.6g}{f' (mean of {branches})' if branches else ''}, {o.parameters:,} parameters\n")
    history = [
        [number, *(f"{x:.2f}" for x in (e.S, e.U, e.HM)), f"{e.offset:.4g}", "chosen" if number == o.epochs else ""]
        for number, e in enumerate(o.validation, start=1)
    ]
    heads = ["epoch", "val S", "val U", "val HM", "offset", ""]
    click.echo(tabulate(history, headers=heads, disable_numparse=True, colalign=_aligned(heads)))


def _show_pairs(title: str, pairs: dict[str, Any]) -> None:
    click.echo(f"\n{title}")
    width = max((len(printable(name, 40)) for name in pairs), default=0)
    for name, value in pairs.items():
        if value is not None:
            click.echo(f"  {printable(name, 40):{width}}  {printable(str(value))}")


def _show_recall(recall: Sequence[dict[str, Any]]) -> None:
    from tabulate import tabulate

    rows = [[r["class"], "seen" if r["seen"] else "unseen", f"{r['recall']:.2f}", r["clips"]] for r in recall]
    rows.sort(key=lambda row: (row[1], -float(row[2]), row[0]))
    heads = ["class", "side", "recall", "clips"]
    click.echo("\n" + tabulate(rows, headers=heads, disable_numparse=True, colalign=_aligned(heads)))


def _aligned(heads: Sequence[str]) -> list[str]:
    left = ("run", "method", "options", "track", "protocol", "class", "side", "failure", "")
    return ["left" if head in left else "right" for head in heads]
