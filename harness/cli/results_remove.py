"""``avbench results remove``: runs that are no longer wanted."""

from __future__ import annotations

from collections.abc import Sequence

import click

from avbench.harness.cli.selection import describe, filter_options, find_run, read_folder, results_option, select
from avbench.harness.errors import UsageError
from avbench.harness.printable import printable
from avbench.harness.records.record import RunRecord
from avbench.harness.records.results import ResultsFolder


@click.command()
@click.argument("identities", nargs=-1)
@click.option(
    "--stale", is_flag=True, help="Runs of code that is no longer installed, of those that the filters leave."
)
@click.option("--dry-run", is_flag=True, help="Say what would be removed, and remove nothing.")
@click.option("--yes", is_flag=True, help="Do not ask.")
@results_option
@filter_options
def remove(
    identities: Sequence[str],
    stale: bool,
    dry_run: bool,
    yes: bool,
    folder: ResultsFolder,
    **wanted: Sequence[str],
) -> None:
    """Delete runs with their evidence: those that IDENTITIES name, and with --stale those of earlier code.

    What would go is shown first, and asked for.
    """
    if not identities and not stale:
        raise UsageError(
            "name runs by the start of their identities, or give --stale; 'avbench results list' shows them"
        )
    records = read_folder(folder).records
    chosen = {record.identity: (record, "") for record in (find_run(records, prefix) for prefix in identities)}
    if stale:
        for record in select(records, **wanted):
            if reason := outdated(record):
                chosen.setdefault(record.identity, (record, reason))
    for record, reason in chosen.values():
        state = f"HM {record.outcome.metrics.HM:.2f}" if record.outcome else "failed"
        why = f", {reason}" if reason else ""
        click.echo(f"{record.identity[:12]}  {printable(describe(record))}: {state}{why}")
    if not chosen:
        click.echo("nothing to remove: every run is of the code that is installed")
        return
    if dry_run:
        click.echo(f"{len(chosen)} runs would be removed from {folder.root}")
        return
    if not yes:
        click.confirm(f"Remove these {len(chosen)} runs from {folder.root}?", abort=True)
    for record, _ in chosen.values():
        folder.remove(record)
    click.echo(f"{len(chosen)} runs removed from {folder.root}")


def outdated(record: RunRecord) -> str:
    """Why a run is of code that is no longer installed; empty where it is."""
    from avbench.harness.plugins.registry import plugins
    from avbench.harness.plugins.source_hash import source_hash

    c = record.configuration
    registered = plugins().methods.get(c.method)
    if registered is None:
        return f"method {c.method} is not installed"
    if source_hash(registered) != c.plugin.source_hash:
        return f"of other code than the installed {registered.distribution} {registered.version}"
    return ""
