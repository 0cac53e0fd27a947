"""``avbench results verify | pack | accept``: the evidence gate and the exchange of runs."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import click

from avbench.harness.cli.selection import describe, filter_options, find_run, read_folder, results_option, select
from avbench.harness.printable import printable
from avbench.harness.records.results import ResultsFolder


@click.command()
@results_option
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def verify(folder: ResultsFolder, as_json: bool) -> None:
    """Recompute every number of every record from its evidence, its split and its protocol.

    Exit codes: 0 all sound, 1 some are not, 2 nothing to verify.
    """
    from avbench.harness.records.verification import check

    contents = read_folder(folder)
    problems = [{"run": str(u.path), "reasons": [u.reason]} for u in contents.unreadable]
    for record in contents.records:
        if reasons := check(record, folder):
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


@click.command()
@click.argument("out", type=click.Path(path_type=Path, dir_okay=False))
@click.argument("identities", nargs=-1)
@results_option
@filter_options
def pack(
    out: Path,
    identities: Sequence[str],
    folder: ResultsFolder,
    method: Sequence[str],
    dataset: Sequence[str],
    features: Sequence[str],
    protocol: Sequence[str],
) -> None:
    """Make one submission file OUT of finished runs: those that IDENTITIES name, or all that the filters leave.

    Refuses runs that do not verify, so that whoever accepts the file need not.
    """
    from avbench.harness.records.submission import write_submission

    records = read_folder(folder).records
    chosen = [find_run(records, prefix) for prefix in dict.fromkeys(identities)] or [
        r for r in select(records, method=method, dataset=dataset, features=features, protocol=protocol) if r.finished
    ]
    write_submission(out, chosen, folder)
    click.echo(f"{out}: {len(chosen)} runs, {out.stat().st_size:,} bytes")


@click.command()
@click.argument("file", type=click.Path(path_type=Path, dir_okay=False))
@results_option
def accept(file: Path, folder: ResultsFolder) -> None:
    """Verify every run of a submission FILE and file them all, or none."""
    from avbench.harness.records.submission import accept_submission

    accepted = accept_submission(file, folder)
    for record in accepted.new:
        click.echo(describe(record))
    click.echo(f"{len(accepted.new)} runs filed in {folder.root}, {len(accepted.known)} were there already")
