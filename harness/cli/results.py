"""``avbench results``: one file per kind of question, loaded only when it is asked."""

from __future__ import annotations

import click

from avbench.harness.cli.lazy import LazyGroup

COMMANDS = {
    "list": ("avbench.harness.cli.results_list:list_results", "One row per run."),
    "show": ("avbench.harness.cli.results_list:show", "Everything about one run."),
    "table": ("avbench.harness.cli.results_tables:table", "One row per method and protocol, with printed numbers."),
    "compare": (
        "avbench.harness.cli.results_tables:compare",
        "Two methods or two runs: are the differences real?",
    ),
    "export": ("avbench.harness.cli.results_tables:export", "Write every run to a CSV or JSON file."),
    "verify": ("avbench.harness.cli.results_check:verify", "Recompute every number from its evidence."),
    "pack": ("avbench.harness.cli.results_check:pack", "Make one submission file of chosen runs."),
    "accept": ("avbench.harness.cli.results_check:accept", "Verify a submission file and file its runs."),
}


@click.group(cls=LazyGroup, commands_by_path=COMMANDS)
def results() -> None:
    """List, show, tabulate, compare, verify and exchange results."""
