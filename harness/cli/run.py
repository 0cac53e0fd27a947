"""``avbench run``: methods x tracks x protocols x seeds, under the fixed protocol."""

from __future__ import annotations

import json
import os
import tomllib
from collections.abc import Sequence
from pathlib import Path
from typing import Any, get_args

import click

from avbench.harness.errors import UsageError, unknown
from avbench.harness.records.record import FeatureDtype, Precision
from avbench.harness.running.numerics import require
from avbench.harness.running.spin import SHORT_SPIN
from avbench.harness.tracks import DEMO, Track
from avbench.splits import DATASETS


def complete_method(_ctx: click.Context, _param: click.Parameter, incomplete: str) -> list[str]:
    """Shell completion of method names."""
    from avbench.harness.plugins.registry import plugins

    return [slug for slug in ("all", *plugins().methods) if slug.startswith(incomplete)]


def read_config(ctx: click.Context, _param: click.Parameter, path: Path | None) -> Path | None:
    """Defaults of this command from a TOML file: its long option names as keys, and a table ``options``."""
    if path is None:
        return None
    try:
        values = tomllib.loads(path.read_text("utf-8"))
    except (OSError, ValueError) as error:
        raise UsageError(f"{path}: not readable as TOML ({error})") from None
    known = {p.name: p for p in ctx.command.params if p.name and p.name != "config"}
    given = values.pop("options", {})
    defaults: dict[str, Any] = {"option": [f"{name}={json.dumps(value)}" for name, value in given.items()]}
    for key, value in values.items():
        name = key.replace("-", "_")
        if name not in known:
            raise unknown(f"setting in {path}", key, known)
        defaults[name] = [value] if known[name].multiple and not isinstance(value, list) else value
    ctx.default_map = defaults
    return path


@click.command()
@click.option("--method", "method", multiple=True, shell_complete=complete_method, help="Method to run, or 'all'.")
@click.option("--dataset", "dataset", multiple=True, type=click.Choice(DATASETS), help="Data set; may be repeated.")
@click.option("--all-datasets", is_flag=True, help="All data sets (with real features: all that are installed).")
@click.option("--features", "features", multiple=True, help="Feature set: main, cls, demo or an added one.")
@click.option("--protocol", "protocol", multiple=True, default=("aligned",), show_default=True, help="Named protocol.")
@click.option("--seeds", type=click.IntRange(1, 1000), help="Run seeds 0 to N-1.")
@click.option("--seed", "seed", multiple=True, type=click.IntRange(0, 2**32 - 1), help="Run this seed. [default: 0]")
@click.option("-p", "--option", "option", multiple=True, metavar="OPTION=VALUE", help="Set an option of the method.")
@click.option(
    "--variant", "variant", multiple=True, help="Named variant of the method; may be repeated. An option given wins."
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
@click.option("--device", default="auto", show_default=True, help="auto, cpu, cuda or cuda:<number>.")
@click.option("--jobs", default=1, show_default=True, type=click.IntRange(1, 256), help="Runs at once.")
@click.option(
    "--results", default="results", show_default=True, type=click.Path(path_type=Path), help="Results folder."
)
@click.option("--observe", multiple=True, metavar="NAME", help="Observer of the runs, such as tensorboard.")
@click.option("--fresh", is_flag=True, help="Repeat runs that are finished already.")
@click.option("--json", "as_json", is_flag=True, help="Print the records as JSON.")
@click.option(
    "--config",
    type=click.Path(path_type=Path),
    callback=read_config,
    is_eager=True,
    expose_value=False,
    help="TOML file with defaults for these options.",
)
def run(
    method: Sequence[str],
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
    device: str,
    jobs: int,
    results: Path,
    observe: Sequence[str],
    fresh: bool,
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
    if seeds is not None and seed:
        raise UsageError("use either --seeds N or --seed S, not both")
    datasets = DATASETS if all_datasets else tuple(dict.fromkeys(dataset))
    if not datasets:
        raise UsageError("choose --dataset NAME or --all-datasets")
    tracks = choose_tracks(datasets, tuple(dict.fromkeys(features)))
    given = dict(_parse_option(text) for text in option)

    os.environ.setdefault(*SHORT_SPIN)
    from avbench.harness.plugins.registry import plugins
    from avbench.harness.records.record import Numerics, RunRecord
    from avbench.harness.records.results import ResultsFolder
    from avbench.harness.running.jobs import choose_device
    from avbench.harness.running.runs import plan

    watching = tuple(dict.fromkeys(observe))
    for name in watching:
        plugins().observer(name)
    names = list(plugins().methods) if "all" in method else list(dict.fromkeys(method))
    seed_values = tuple(range(seeds)) if seeds else tuple(dict.fromkeys(seed)) or (0,)
    numerics, chosen = Numerics(precision=precision, feature_dtype=feature_dtype), choose_device(device)
    require(numerics, chosen)
    planned = plan(names, tracks, dict.fromkeys(protocol), seed_values, given, tuple(dict.fromkeys(variant)), numerics)
    folder = ResultsFolder(results)
    from avbench.harness.cli.progress import RunProgress
    from avbench.harness.running.session import complete

    records: dict[int, RunRecord] = {}
    with RunProgress(planned) as progress:
        for index, record, is_new in complete(
            planned,
            folder,
            chosen,
            jobs,
            progress.epoch,
            observe=watching,
            again=[fresh] * len(planned),
            waiting=progress.waiting,
        ):
            records[index] = record
            if is_new:
                progress.finished(index, record)
            else:
                progress.known()
    done = [records[index] for index in range(len(planned))]
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


def choose_tracks(datasets: Sequence[str], features: Sequence[str]) -> list[Track]:
    """The tracks to run: the named feature sets, else the installed real ones, else the demo (said in one line)."""
    if set(features) == {DEMO}:
        return [Track(d, DEMO) for d in datasets]

    from avbench.harness.features.store import Store
    from avbench.harness.plugins.sources import foreign_tracks

    installed = Store().tracks()
    if features:
        known = {DEMO, "main", "cls"} | {t.features for t in (*installed, *foreign_tracks())}
        for name in features:
            if name not in known:
                raise unknown("feature set", name, known)
        return [Track(d, f) for f in features for d in datasets]
    tracks = sorted(t for t in installed if t.dataset in datasets)
    if tracks:
        return tracks
    click.echo(
        f"No real features of {', '.join(datasets)} are installed: running on the embedded demo features (simulated). "
        "'avbench data import' brings the real ones.",
        err=True,
    )
    return [Track(d, DEMO) for d in datasets]


def _parse_option(text: str) -> tuple[str, Any]:
    """``name=value``; the value is read as JSON where it is JSON, and as text otherwise."""
    name, equals, value = text.partition("=")
    if not equals or not name:
        raise UsageError(f"-p {text!r}: write OPTION=VALUE")
    try:
        return name, json.loads(value)
    except ValueError:
        return name, value
