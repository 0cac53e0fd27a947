"""``avbench results verify | pack | accept``: the evidence gate and the exchange of runs."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import click

from avbench.harness.cli.selection import (
    Contents,
    describe,
    filter_options,
    find_run,
    latest,
    read_folder,
    results_option,
    select,
)
from avbench.harness.errors import RecordError
from avbench.harness.printable import printable
from avbench.harness.records.differences import differences
from avbench.harness.records.record import read_record
from avbench.harness.records.results import ResultsFolder, Unreadable


@click.command()
@results_option
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def verify(folder: ResultsFolder, as_json: bool) -> None:
    """Check all that can be known of every record without training, as 'accept' and the board's build do.

    So are the reproductions beside them. Every number follows from the evidence, the split and the protocol; installed
    methods agree; records do not contradict each other. Exit codes: 0 all sound, 1 some are not, 2 nothing to verify.
    """
    from avbench.harness.plugins.declared import said_by_methods
    from avbench.harness.records.gate import judge_folder

    contents = read_folder(folder)
    problems = [{"run": str(u.path), "reasons": [u.reason, *_second(u, contents)]} for u in contents.unreadable]
    verdicts = judge_folder(folder, contents.records, said_by_methods)
    for record in contents.records:
        conflict = verdicts.conflicts.get(record.identity)
        told = [*verdicts.reasons[record.identity], *([conflict] if conflict else [])]
        if reasons := [*told, *verdicts.refused.get(record.identity, ())]:
            problems.append({"run": f"{record.identity[:20]} ({describe(record)})", "reasons": reasons})
    checked = len(contents.records) + len(contents.unreadable)
    if as_json:
        click.echo(json.dumps({"checked": checked, "problems": problems}, indent=1))
    else:
        for problem in problems:
            click.echo(printable(str(problem["run"])))
            for reason in problem["reasons"]:
                click.echo(f"  {printable(reason, 500)}")
        click.echo(f"{checked - len(problems)} of {checked} records are sound")
    if problems:
        raise SystemExit(1)


def _second(item: Unreadable, contents: Contents) -> list[str]:
    """What a misplaced record says otherwise than the one of the same identity, where there is one."""
    try:
        record = read_record(item.path)
    except RecordError:
        return []
    twins = [r for r in contents.records if r.identity == record.identity and r != record]
    return [f"one identity, two results: {differences(twin, record)}" for twin in twins]


@click.command()
@click.argument("out", type=click.Path(path_type=Path, dir_okay=False))
@click.argument("identities", nargs=-1)
@click.option("--latest", "only_latest", is_flag=True, help="Of each series only what ran last, with all its seeds.")
@results_option
@filter_options
def pack(
    out: Path,
    identities: Sequence[str],
    only_latest: bool,
    folder: ResultsFolder,
    **wanted: Sequence[str],
) -> None:
    """Make one submission file OUT of finished runs: those that IDENTITIES name, or all that the filters leave.

    With --latest, of each method, variant, track and protocol only the configuration (code and options) that ran last.
    Reproductions made here go with them. Refuses runs that do not verify, so that whoever accepts the file need not.
    """
    from avbench.harness.plugins.declared import said_by_methods
    from avbench.harness.records.submission import write_submission

    records = read_folder(folder).records
    chosen = [find_run(records, prefix) for prefix in dict.fromkeys(identities)] or [
        r for r in select(records, **wanted) if r.finished
    ]
    if only_latest:
        before, chosen = len(chosen), latest(chosen)
        click.echo(f"{before - len(chosen)} runs of earlier code or options are left out")
    write_submission(out, chosen, folder, said_by_methods)
    click.echo(f"{out}: {len(chosen)} {'run' if len(chosen) == 1 else 'runs'}, {out.stat().st_size:,} bytes")


@click.command()
@click.argument("file", type=click.Path(path_type=Path, dir_okay=False))
@click.option(
    "--vouch",
    is_flag=True,
    help="Reproductions in it count as yours; otherwise they are filed as claims of whoever sent it.",
)
@results_option
def accept(file: Path, vouch: bool, folder: ResultsFolder) -> None:
    """Verify every run of a submission FILE and file them all, or none."""
    from avbench.harness.plugins.declared import said_by_methods
    from avbench.harness.records.submission import accept_submission

    accepted = accept_submission(file, folder, said_by_methods, vouched=vouch)
    for record in accepted.new:
        click.echo(describe(record))
    click.echo(f"{len(accepted.new)} runs filed in {folder.root}, {len(accepted.known)} were there already")
    if accepted.reproductions:
        click.echo(f"{accepted.reproductions} reproductions filed{'' if vouch else ' as claims of the sender'}")
