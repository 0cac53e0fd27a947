"""``avbench reproduce``: the tables of papers, run again and printed beside the printed numbers."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from avbench.harness.cli import places
from avbench.harness.cli.isolation import isolation_options
from avbench.harness.errors import UsageError
from avbench.harness.isolation.choice import Isolation
from avbench.harness.running.spin import SHORT_SPIN
from avbench.harness.tracks import SIMULATED

if TYPE_CHECKING:
    from avbench.harness.records.planned import PlannedRun
    from avbench.harness.records.record import RunRecord
    from avbench.harness.records.results import ResultsFolder
    from avbench.leaderboard.reproduction.conditions import Conditions
    from avbench.leaderboard.reproduction.plan import Prospect, Trial
    from avbench.leaderboard.reproduction.printed import PrintedTable

    Plans = Sequence[tuple[PrintedTable, Sequence[Trial]]]


@click.command()
@click.argument("paper", required=False)
@click.argument("table", required=False)
@click.option("--list", "listing", is_flag=True, help="Say what can be run, and what lacks; run nothing.")
@click.option("--rows", multiple=True, metavar="NAME", help="Only this row, or rows such as 'Hyper*'; may be repeated.")
@click.option("--seeds", type=click.IntRange(1, 1000), default=3, show_default=True, help="Run seeds 0 to N-1.")
@click.option("--budget", type=float, default=1.0, show_default=True, help="Share of the training steps, at most 1.")
@click.option("--features", help="Run all rows on these features, such as demo, instead of those of the paper.")
@places.options
@isolation_options("none")
@click.option(
    "--results", default="results", show_default=True, type=click.Path(path_type=Path), help="Results folder."
)
@click.option("--dry-run", is_flag=True, help="Say which runs each row needs, and run nothing.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def reproduce(
    paper: str | None,
    table: str | None,
    listing: bool,
    rows: Sequence[str],
    seeds: int,
    budget: float,
    features: str | None,
    device: str,
    jobs: int,
    executor: str,
    slurm: Sequence[str],
    stage_store: str | None,
    isolation: Isolation,
    results: Path,
    dry_run: bool,
    as_json: bool,
) -> None:
    """Run the tables of PAPER, or one TABLE of it, and show each number beside the printed one.

    Every row becomes runs of its method and variant under the as-published protocol, one for each seed. Runs that the
    results folder has are taken from there, so a reproduction that was broken off goes on where it stopped. A cell
    that cannot be run says why. Below each printed number stand the mean of the re-run, the difference, and its 95 %
    interval over classes and seeds.

    \b
    avbench reproduce --list
    avbench reproduce avca-2022 table-4 --dry-run
    avbench reproduce avca-2022 table-4 --features demo --budget 0.2

    Exit codes: 0 all runs finished, 1 some failed, 2 wrong usage, 3 no features.
    """
    from avbench.leaderboard.claims import COMPARABLE
    from avbench.leaderboard.reproduction.budget import require_budget
    from avbench.leaderboard.reproduction.plan import prospects, require_reachable, runs_of, trials
    from avbench.leaderboard.reproduction.printed import find_tables, require_accuracies, select_rows

    require_budget(budget)
    if paper is None and not listing:
        raise UsageError("name a paper, such as avca-2022, and perhaps a table; 'avbench reproduce --list' shows all")
    tables = select_rows(find_tables(paper, table), rows)
    if listing:
        found = [(t, prospects(t.claims, features)) for t in tables]
        click.echo(_listed(found, by_row=paper is not None, as_json=as_json))
        return
    if len(tables) == 1:
        require_accuracies(tables[0])
    for other in [t for t in tables if t.entry.instead]:
        click.echo(f"{other.name}: no accuracies, see '{other.entry.instead}'", err=True)
    tables = [t for t in tables if not t.entry.instead]
    parts = [prospects(t.claims, features) for t in tables]
    every = [prospect for part in parts for prospect in part]
    require_reachable(tables, every)

    os.environ.setdefault(*SHORT_SPIN)
    from avbench.harness.isolation.strangers import describe_strangers

    describe_strangers(isolation, results)
    from avbench.harness.records.results import ResultsFolder
    from avbench.leaderboard.reproduction.conditions import Conditions

    made = trials(every, tuple(range(seeds)), budget)
    runs = runs_of(made)
    in_order = iter(made)
    plans = [(t, [next(in_order) for _ in part]) for t, part in zip(tables, parts, strict=True)]
    folder, place = ResultsFolder(results.absolute()), places.choose(executor, device, jobs, slurm, stage_store)
    conditions = Conditions(COMPARABLE, seeds, features, features in SIMULATED, budget)
    if dry_run:
        click.echo(_dry(plans, runs, folder, conditions, as_json))
        return
    names, again = [str(run) for run in runs], [False] * len(runs)
    records = place.carry_out(runs, names, folder, observe=(), again=again, isolation=isolation)
    click.echo(_shown(plans, records, folder, conditions, as_json))
    if failed := sum(not record.finished for record in records):
        click.echo(
            f"{failed} of {len(records)} runs failed; 'avbench results list --status failed' shows why", err=True
        )
        raise SystemExit(1)


def _listed(found: Sequence[tuple[PrintedTable, Sequence[Prospect]]], *, by_row: bool, as_json: bool) -> str:
    from avbench.leaderboard.reproduction.listing import places_json, places_text, tables_text

    if as_json:
        return json.dumps(places_json(found), indent=1, ensure_ascii=False)
    if not by_row:
        return tables_text(found)
    return "\n\n".join(places_text(table, part) for table, part in found)


def _dry(plans: Plans, runs: Sequence[PlannedRun], folder: ResultsFolder, conditions: Conditions, as_json: bool) -> str:
    from avbench.leaderboard.reproduction.listing import trials_json, trials_text

    there = ((run.configuration.identity, folder.find(run.configuration)) for run in runs)
    finished = {identity for identity, record in there if record is not None and record.finished}
    if as_json:
        return json.dumps([row for plan in plans for row in trials_json(*plan, finished)], indent=1, ensure_ascii=False)
    total = f"{len(runs)} runs, {len(finished)} finished already"
    return "\n\n".join([*(trials_text(*plan, finished, conditions) for plan in plans), total])


def _shown(
    plans: Plans, records: Sequence[RunRecord], folder: ResultsFolder, conditions: Conditions, as_json: bool
) -> str:
    from avbench.leaderboard.cli.results import sound_of
    from avbench.leaderboard.ranking import recalls_of_run
    from avbench.leaderboard.reproduction.outcome import reproduced
    from avbench.leaderboard.reproduction.text import table_json, table_text

    sound = sound_of([record for record in records if record.finished], folder)
    found = reproduced(plans, sound.records, lambda record: recalls_of_run(record, folder), sound.marks)
    if as_json:
        return json.dumps([table_json(each, conditions) for each in found], indent=1, ensure_ascii=False)
    return "\n\n\n".join(table_text(each, conditions) for each in found)
