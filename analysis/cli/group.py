"""``avbench analyse``: one file per kind of input, loaded only when it is asked for."""

from __future__ import annotations

import click

from avbench.harness.cli.lazy import LazyGroup
from avbench.harness.plugins.commands import Command

CLIPS, CLASSES, RUNS = (f"avbench.analysis.cli.{name}" for name in ("of_clips", "of_classes", "of_runs"))
COMMANDS = (
    Command("tsne", f"{CLIPS}:tsne", "Clips of some classes in two dimensions."),
    Command("hyperbolicity", f"{CLIPS}:hyperbolicity", "Delta-hyperbolicity of embeddings."),
    Command("norms", f"{CLIPS}:norms", "Lengths of encodings, radii and shares of the gradient."),
    Command("neighbours", f"{CLASSES}:neighbours", "Nearest classes before and after optimisation."),
    Command("distances", f"{CLASSES}:distances", "Distances of all pairs of classes."),
    Command("confusion", f"{RUNS}:confusion", "Confusion matrices."),
    Command("epochs", f"{RUNS}:epochs", "Validation HM over epochs."),
    Command("offsets", f"{RUNS}:offsets", "HM over calibrated stacking offsets."),
    Command("sensitivity", f"{RUNS}:sensitivity", "HM over the values of an option."),
)


@click.group(cls=LazyGroup, place="analyse", built_in=COMMANDS)
def analyse() -> None:
    """Figures and measures on runs, fitted states and features.

    Each prints a line of numbers and writes its data (--csv, --json) and a picture (--svg). Runs are named by the start
    of their identities. Those that need the fitted model take runs of 'avbench run --save-states'.
    """
