"""What this room adds to the command line, through the same door as any package (entry point ``avbench.commands``)."""

from __future__ import annotations

from avbench.harness.plugins.commands import Command

COMMANDS = (
    Command(
        "analyse", "avbench.analysis.cli.group:analyse", "Figures and measures on runs, fitted states and features."
    ),
)
