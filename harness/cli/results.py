"""``avbench results``: one file per kind of question, loaded only when it is asked."""

from __future__ import annotations

import click

from avbench.harness.cli.lazy import LazyGroup
from avbench.harness.plugins.commands import Command

COMMANDS = (
    Command("list", "avbench.harness.cli.results_list:list_results", "One row per run."),
    Command("show", "avbench.harness.cli.results_list:show", "Everything about one run."),
    Command("verify", "avbench.harness.cli.results_check:verify", "Recompute every number from its evidence."),
    Command("remove", "avbench.harness.cli.results_remove:remove", "Delete runs, such as those of earlier code."),
    Command("reproduce", "avbench.harness.cli.results_reproduce:reproduce", "Repeat runs, blind, and judge them."),
    Command("pack", "avbench.harness.cli.results_check:pack", "Make one submission file of chosen runs."),
    Command("accept", "avbench.harness.cli.results_check:accept", "Verify a submission file and file its runs."),
)


@click.group(cls=LazyGroup, place="results", built_in=COMMANDS)
def results() -> None:
    """List, show, tabulate, compare, verify and exchange results."""
