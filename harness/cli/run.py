"""``avbench run``: methods x tracks x protocols x seeds, under the fixed protocol."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import get_args

import click

from avbench.harness.cli import config, places, planning, run_stage_1
from avbench.harness.cli.compiling import compile_option
from avbench.harness.cli.dry_run import tell
from avbench.harness.cli.excludes import kept
from avbench.harness.cli.given import parse_given
from avbench.harness.cli.isolation import isolation_options
from avbench.harness.errors import UsageError
from avbench.harness.isolation.choice import Isolation
from avbench.harness.records.record import Compile, FeatureDtype, Precision
from avbench.harness.running.spin import SHORT_SPIN
from avbench.splits import DATASETS


def complete_method(_ctx: click.Context, _param: click.Parameter, incomplete: str) -> list[str]:
    """Shell completion of method names."""
    from avbench.harness.plugins.registry import plugins

    return [slug for slug in ("all", *plugins().methods) if slug.startswith(incomplete)]


@click.command()
@click.option("--method", "method", multiple=True, shell_complete=complete_method, help="Method to run, or 'all'.")
@click.option("--track", "track", multiple=True, help="Data set and feature set in one, such as ucf/main.")
@click.option("--dataset", "dataset", multiple=True, type=click.Choice(DATASETS), help="Data set; may be repeated.")
@click.option("--all-datasets", is_flag=True, help="All data sets (with real features: all that are installed).")
@click.option("--features", "features", multiple=True, help="Feature set: main, cls, demo or an added one.")
@click.option("--protocol", "protocol", multiple=True, default=("aligned",), show_default=True, help="Named protocol.")
@click.option("--seeds", type=click.IntRange(1, 1000), help="Run seeds 0 to N-1.")
@click.option("--seed", "seed", multiple=True, type=click.IntRange(0, 2**32 - 1), help="Run this seed. [default: 0]")
@click.option(
    "-p",
    "--option",
    "option",
    multiple=True,
    metavar="OPTION=VALUE",
    help="Set an option of the method; several values (x=0.1,1, or twice -p) make a grid.",
)
@click.option(
    "--variant",
    "variant",
    multiple=True,
    help="Named variant, of the methods that have it; may be repeated. An option given wins.",
)
@click.option(
    "--precision",
    type=click.Choice(get_args(Precision)),
    default="float32",
    show_default=True,
    help="Of matrix products; recorded.",
)
@click.option(
    "--feature-dtype",
    type=click.Choice(get_args(FeatureDtype)),
    default="float32",
    show_default=True,
    help="How features are held in memory; recorded.",
)
@compile_option
@places.options
@click.option(
    "--results", default="results", show_default=True, type=click.Path(path_type=Path), help="Results folder."
)
@isolation_options("none")
@click.option("--observe", multiple=True, metavar="NAME", help="Observer of the runs, such as tensorboard.")
@click.option("--save-states", is_flag=True, help="Keep the fitted state of each run beside it, for 'avbench analyse'.")
@click.option(
    "--stage",
    type=click.Choice(["1"]),
    help="Stage 1 alone: print what it chose on validation. Stores and tests nothing.",
)
@click.option("--fresh", is_flag=True, help="Repeat runs that are finished already.")
@click.option("--dry-run", is_flag=True, help="Say what would run, how long and how large, and run nothing.")
@click.option("--json", "as_json", is_flag=True, help="Print the records as JSON.")
@click.option(
    "--config",
    "--plan",
    "config",
    type=click.Path(path_type=Path),
    callback=config.read_config,
    is_eager=True,
    expose_value=False,
    help="TOML file: a plan, or defaults for these options.",
)
@click.pass_context
def run(
    ctx: click.Context,
    method: Sequence[str],
    track: Sequence[str],
    dataset: Sequence[str],
    all_datasets: bool,
    features: Sequence[str],
    protocol: Sequence[str],
    seeds: int | None,
    seed: Sequence[int],
    option: Sequence[str],
    variant: Sequence[str],
    precision: Precision,
    feature_dtype: FeatureDtype,
    compile: Compile,
    device: str,
    jobs: int,
    executor: str,
    slurm: Sequence[str],
    stage_store: str | None,
    results: Path,
    isolation: Isolation,
    observe: Sequence[str],
    save_states: bool,
    stage: str | None,
    fresh: bool,
    dry_run: bool,
    as_json: bool,
) -> None:
    """Train and evaluate methods under the fixed protocol.

    A finished run is never repeated: the same configuration is the same run. A failed one is tried again.
    Several commands on one results folder share the work: none repeats what another one does.
    Exit codes: 0 all runs finished, 1 some failed, 2 wrong usage, 130 interrupted, 143 and 129 ended by SIGTERM and
    SIGHUP (finished runs are kept).
    """
    if not method:
        raise UsageError("name a method with --method NAME, or --method all; 'avbench methods list' shows them")
    seeds, seed = config.one_of(ctx, "seeds", "seed", "use either --seeds N or --seed S, not both")
    all_datasets, dataset = config.one_of(
        ctx, "all_datasets", "dataset", "use either --all-datasets or --dataset NAME, not both"
    )
    if track:
        tracks, notes = planning.named_tracks(track, dataset or all_datasets or features), list[str]()
    else:
        datasets = DATASETS if all_datasets else tuple(dict.fromkeys(dataset))
        if not datasets:
            raise UsageError("choose --track DATASET/FEATURES, --dataset NAME or --all-datasets")
        tracks, notes = planning.choose_tracks(datasets, tuple(dict.fromkeys(features)), named=not all_datasets)
    given = parse_given(ctx.meta.get(config.OPTIONS, ())) | parse_given(option)

    os.environ.setdefault(*SHORT_SPIN)
    from avbench.harness.isolation.strangers import describe_strangers

    describe_strangers(isolation, results)
    from avbench.harness.plugins.registry import plugins
    from avbench.harness.records.record import Numerics
    from avbench.harness.records.results import ResultsFolder

    if stage and (jobs > 1 or observe):
        raise UsageError("--stage 1 does one run after the other and has no observers: leave out --jobs and --observe")
    if save_states and (stage or isolation):
        raise UsageError("--save-states keeps the model of a whole run in this process: leave out --stage, --isolation")
    watching = tuple(dict.fromkeys(observe))
    for name in watching:
        plugins().observer(name)
    names = list(plugins().methods) if "all" in method else list(dict.fromkeys(method))
    seed_values = tuple(range(seeds)) if seeds else tuple(dict.fromkeys(seed)) or (0,)
    place = places.choose(executor, device, jobs, slurm, stage_store)
    numerics = Numerics(precision=precision, feature_dtype=feature_dtype)
    place.require(numerics)
    planned, more = planning.planned_runs(
        names,
        tuple(dict.fromkeys(variant)),
        tracks,
        tuple(dict.fromkeys(protocol)),
        seed_values,
        given,
        numerics,
        lenient="all" in method or not (features or track),
    )
    planned, left = kept(planned, ctx.meta.get(config.EXCLUDES, ()))
    tuned = ctx.meta.get(config.TUNED)
    planned = [replace(run.from_study(tuned), keeps_state=save_states, compile=compile) for run in planned]
    folder = ResultsFolder(results.absolute())  # wherever a method may go
    click.echo(planning.in_words(planned, given, str(place)), err=True)
    for note in (*notes, *more, *left):
        click.echo(note, err=True)
    names = planning.named(planned, given)
    if dry_run:
        tell(planned, names, folder, fresh, place.device, place.workers, as_json)
        return
    if stage:
        run_stage_1.tell(planned, names, place.single(), as_json)
        return
    again = [fresh] * len(planned)
    done = place.carry_out(planned, names, folder, observe=watching, again=again, isolation=isolation)
    if as_json:
        click.echo(json.dumps([r.model_dump(mode="json") for r in done], indent=1))
    else:
        for report in plugins().run_reports(done):
            click.echo(report)
    failed = [r for r in done if not r.finished]
    if failed:
        click.echo(
            f"{len(failed)} of {len(done)} runs failed; 'avbench results list --status failed' shows why", err=True
        )
        raise SystemExit(1)
