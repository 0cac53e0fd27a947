"""What the board adds to the command line, through the same door as any package (entry point ``avbench.commands``)."""

from __future__ import annotations

from avbench.harness.plugins.commands import Command

COMMANDS = (
    Command("leaderboard", "avbench.leaderboard.cli.site:leaderboard", "Build, look at and publish the static site."),
    Command(
        "reproduce",
        "avbench.leaderboard.cli.reproduce:reproduce",
        "Run the tables of papers again, beside the printed numbers.",
    ),
    Command(
        "table",
        "avbench.leaderboard.cli.results:table",
        "One row per method and protocol, with printed numbers.",
        group="results",
    ),
    Command(
        "compare",
        "avbench.leaderboard.cli.results:compare",
        "Two methods or two runs: are the differences real?",
        group="results",
    ),
    Command(
        "export", "avbench.leaderboard.cli.results:export", "Write every run to a CSV or JSON file.", group="results"
    ),
)
