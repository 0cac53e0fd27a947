"""``avbench tune``: search the options of a method on validation alone."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click

from avbench.harness.cli.compiling import compile_option
from avbench.harness.cli.given import parse_given
from avbench.harness.errors import UsageError
from avbench.harness.records.record import Compile
from avbench.harness.running.spin import SHORT_SPIN
from avbench.harness.tracks import parse_track
from avbench.harness.tuning.search import SAMPLERS, Sampler, prepare


@click.command()
@click.argument("method")
@click.option("--track", "track", multiple=True, metavar="DATASET/FEATURES", help="Such as ucf/demo; may be repeated.")
@click.option(
    "--space",
    "space",
    multiple=True,
    metavar="OPTION[=SPACE]",
    help="x=1e-5..1e-2, x=log:1e-5..1e-2, x=int:1..8, x=0,0.2,0.5, or x alone for its own space; may be repeated. "
    "[default: all fractional numbers, each in its own space]",
)
@click.option("--trials", type=click.IntRange(1, 100_000), help="In all. [default: 40, or as many as a grid has]")
@click.option("--seeds", default=1, show_default=True, type=click.IntRange(1, 1000), help="Seeds 0 to N-1, each trial.")
@click.option("--sampler", default="tpe", show_default=True, type=click.Choice(SAMPLERS), help="Who proposes.")
@click.option("--sampler-seed", default=0, show_default=True, type=click.IntRange(0, 2**32 - 1), help="Its seed.")
@click.option("--prune", is_flag=True, help="End trials early that are worse than half of the others at that epoch.")
@click.option("--protocol", default="aligned", show_default=True, help="Named protocol.")
@click.option("-p", "--option", "option", multiple=True, metavar="OPTION=VALUE", help="Fix an option of the method.")
@click.option("--variant", help="Named variant of the method. An option given wins.")
@click.option("--confirm", type=click.IntRange(2, 1000), help="Compare best and preset on so many fresh seeds.")
@click.option("--study", help="Name of the study. [default: one that tells what is searched]")
@click.option("--plots", is_flag=True, help="Write Optuna's plots beside the study.")
@click.option("--jobs", default=1, show_default=True, type=click.IntRange(1, 256), help="Trials at once, per device.")
@click.option("--device", default="auto", show_default=True, help="auto, cpu, cuda, cuda:0,1,2 or all.")
@compile_option
@click.option(
    "--results", default="results", show_default=True, type=click.Path(path_type=Path), help="Results folder."
)
@click.option("--json", "as_json", is_flag=True, help="Print the outcome as JSON.")
def tune(
    method: str,
    track: Sequence[str],
    space: Sequence[str],
    trials: int | None,
    seeds: int,
    sampler: Sampler,
    sampler_seed: int,
    prune: bool,
    protocol: str,
    option: Sequence[str],
    variant: str | None,
    confirm: int | None,
    study: str | None,
    plots: bool,
    jobs: int,
    device: str,
    compile: Compile,
    results: Path,
    as_json: bool,
) -> None:
    """Search the options of a method by validation HM. No test clip is looked at, so there is no test number to see.

    Trial 0 is the preset. The study is kept in RESULTS/tune: the same command goes on where it was ended, and several
    commands at once share the trials. Ends with a table, and a file for 'avbench run
    --config'.
    """
    tracks = [parse_track(name) for name in track]
    given = _fixed(option)
    os.environ.setdefault(*SHORT_SPIN)
    from avbench.harness.cli.tune_progress import TuneProgress
    from avbench.harness.plugins.sources import require_known
    from avbench.harness.running.jobs import choose_devices
    from avbench.harness.tuning.plots import write_plots
    from avbench.harness.tuning.study import FOLDER, Course, Study
    from avbench.harness.tuning.tune import conclude, search_through

    require_known([place.features for place in tracks])
    devices = choose_devices(device)
    search = prepare(method, tracks, protocol, seeds, space, given, variant=variant, sampler=sampler, compile=compile)
    opened = Study(results.absolute(), study, search, Course(trials, sampler_seed, prune))
    there = len(opened.trials())
    click.echo(f"study {opened.name} in {results / FOLDER}: {search.subject.objective}", err=True)
    for name, text in search.subject.spaces.items():
        click.echo(f"  {name}: {text}", err=True)
    with TuneProgress(opened.total, there) as progress:
        search_through(opened, devices, jobs, progress.news)
    if confirm:
        click.echo(f"confirming on {confirm} seeds that no trial used", err=True)
    tuning, file = conclude(opened, devices[0], confirm)
    config = results / FOLDER / file.name
    if plots:
        for path in write_plots(opened, tuning, config.parent):
            click.echo(f"plot: {path}", err=True)
    if as_json:
        click.echo(json.dumps({**tuning.data(), "config": str(config)}, indent=1))
        return
    click.echo(tuning.text())
    click.echo(f"\nthe best options as a file; test them once: avbench run --config {config} --seeds 5")


def _fixed(texts: Sequence[str]) -> dict[str, Any]:
    values = parse_given(texts)
    for name, several in values.items():
        if len(several) > 1:
            raise UsageError(f"-p {name} has {len(several)} values; search them with --space {name}=A,B")
    return {name: value for name, (value,) in values.items()}
