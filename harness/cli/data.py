"""``avbench data``: the local store of features."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from tabulate import tabulate

from avbench.harness.cli.lazy import LazyGroup
from avbench.harness.errors import DataError, UsageError
from avbench.harness.features.draft import Draft, Report
from avbench.harness.features.store import Store, how_to_get
from avbench.harness.plugins.commands import Command
from avbench.harness.tracks import Track
from avbench.splits import DATASETS, PARTITIONS

if TYPE_CHECKING:
    from avbench.harness.features.manifest import Manifest

AS_JSON = click.option("--json", "as_json", is_flag=True, help="Print JSON.")
ALLOW_MISSING = click.option(
    "--allow-missing",
    is_flag=True,
    help="Store features that differ from the split; every record then says so.",
)
FORCE = click.option("--force", is_flag=True, help="Replace features that are installed already.")
FILE = click.Path(path_type=Path, dir_okay=False)


COMMANDS = (
    Command("extract", "avbench.harness.cli.data_extract:extract", "Make a track from a folder of videos."),
    Command("describe", "avbench.harness.cli.data_describe:describe", "Separability and near-duplicates of a track."),
)


@click.group(cls=LazyGroup, place="data", built_in=COMMANDS)
def data() -> None:
    """Import, extract, verify, describe and remove features."""
    if swept := Store().tidy():
        click.echo(f"deleted {swept / 1e6:,.1f} MB that a killed command had left", err=True)


@data.command()
@AS_JSON
def status(as_json: bool) -> None:
    """What is installed, and how to get the rest. Exit code 3 when a manifest cannot be read."""
    store = Store()
    rows, broken = [], []
    for track in store.tracks():
        try:
            rows.append(_row(store, store.manifest(track)))
        except DataError as error:
            broken.append(str(error))
    if as_json:
        click.echo(json.dumps(rows, indent=1))
    else:
        if rows:
            click.echo(_table(rows))
        missing = [str(t) for f in PARTITIONS for d in DATASETS if (t := Track(d, f)) not in store.tracks()]
        if missing:
            click.echo(f"Not installed: {', '.join(missing)}. {how_to_get(Track('ucf', 'main'))}.")
        click.echo("demo: built in, simulated, for every data set.")
    if broken:
        raise DataError("\n".join(broken))


@data.command("import")
@click.argument("path", type=click.Path(path_type=Path))
@click.option("--dataset", "datasets", multiple=True, type=click.Choice(DATASETS), help="Only this data set.")
@click.option("--features", "features", multiple=True, type=click.Choice(PARTITIONS), help="Only this feature set.")
@ALLOW_MISSING
@FORCE
def import_archive(
    path: Path, datasets: Sequence[str], features: Sequence[str], allow_missing: bool, force: bool
) -> None:
    """Import the public feature archive from a folder or zip PATH, verified against the splits.

    Each feature set is stored whole or not at all. What is installed already is left as it is: the same command goes
    on where it was interrupted.
    """
    from avbench.harness.features.archive import find_sets, read_set
    from avbench.harness.features.archive_files import opened

    store = Store()
    with opened(path) as root:
        there = find_sets(root)
        chosen = [
            found
            for found in there
            if found.track.dataset in (datasets or DATASETS) and found.track.features in (features or PARTITIONS)
        ]
        if not chosen:
            raise DataError(
                f"{path}: the wanted feature sets are not there, only {', '.join(str(s.track) for s in there)}"
            )
        installed = [] if force else [found.track for found in chosen if found.track in store.tracks()]
        if installed:
            names = ", ".join(map(str, installed))
            click.echo(f"{names}: installed already and left as they are; --force replaces them", err=True)
        with _progress() as report:
            stored = [
                _store(store, read_set(found, allow_missing=allow_missing, report=report), force, report)
                for found in chosen
                if found.track not in installed
            ]
    if not stored:
        return
    click.echo(_table([_row(store, manifest) for manifest in stored]))


@data.command()
@click.argument("name")
@click.option("--dataset", required=True, type=click.Choice(DATASETS), help="Data set that the clips belong to.")
@click.option("--partition", default="main", show_default=True, type=click.Choice(PARTITIONS), help="Class partition.")
@click.option("--audio", required=True, type=FILE, help="Audio features, .npy (clips, width).")
@click.option("--visual", required=True, type=FILE, help="Visual features, .npy (clips, width).")
@click.option("--clips", required=True, type=FILE, help="CSV with columns id, class, part; one row per clip.")
@click.option("--text", required=True, type=FILE, help="Label vectors: .npz with 'names' and 'vectors', or .npy.")
@click.option("--text-names", type=FILE, help="Class names of the rows of a .npy of label vectors, one per line.")
@click.option("--source", default="arrays of the user", show_default=True, help="Where they come from; boards say it.")
@click.option("--simulated", is_flag=True, help="They are made up: results stand beside no real ones.")
@ALLOW_MISSING
@FORCE
def add(
    name: str,
    dataset: str,
    partition: str,
    audio: Path,
    visual: Path,
    clips: Path,
    text: Path,
    text_names: Path | None,
    source: str,
    simulated: bool,
    allow_missing: bool,
    force: bool,
) -> None:
    """Store features of your own encoders as feature set NAME: a new track."""
    from avbench.harness.features.arrays import read_arrays

    draft = read_arrays(
        name,
        dataset,
        partition,
        audio=audio,
        visual=visual,
        clips=clips,
        text=text,
        text_names=text_names,
        source=source,
        simulated=simulated,
        allow_missing=allow_missing,
    )
    store = Store()
    with _progress() as report:
        manifest = _store(store, draft, force, report)
    click.echo(_table([_row(store, manifest)]))


@data.command()
@click.argument("tracks", nargs=-1)
@AS_JSON
def verify(tracks: Sequence[str], as_json: bool) -> None:
    """Read everything again: content hash, counts, digests, values. All tracks, or those named as DATASET/FEATURES.

    Exit code 3 when something is wrong.
    """
    store = Store()
    chosen = [_track(text) for text in tracks] or list(store.tracks())
    found = {}
    with _progress() as report:
        for number, track in enumerate(chosen):
            report("verifying", number, len(chosen))
            found[str(track)] = store.verify(track)
    if as_json:
        click.echo(json.dumps(found, indent=1))
    elif not found:
        click.echo("No features are installed.")
    else:
        click.echo(
            tabulate([[track, "; ".join(p) or "sound"] for track, p in found.items()], headers=["track", "state"])
        )
    if any(found.values()):
        raise SystemExit(DataError.exit_code)


@data.command()
@click.argument("track")
@click.option("--yes", is_flag=True, help="Do not ask.")
def remove(track: str, yes: bool) -> None:
    """Delete the features of TRACK, such as ucf/main. Results stay."""
    named = _track(track)
    if not yes:
        click.confirm(f"Delete the features of {named}?", abort=True)
    Store().remove(named)
    click.echo(f"{named}: removed")


def _track(text: str) -> Track:
    dataset, slash, features = text.partition("/")
    if not slash:
        raise UsageError(f"{text!r} is no track; write DATASET/FEATURES, such as ucf/main")
    return Track(dataset, features)


def _store(store: Store, draft: Draft, force: bool, report: Report) -> Manifest:
    manifest = store.save(draft, replace=force, report=report)
    for kind, lines in (("note", draft.notes), ("warning", draft.warnings)):
        for line in lines:
            click.echo(f"{kind}: {draft.track}: {line}", err=True)
    return manifest


def _row(store: Store, manifest: Manifest) -> dict[str, Any]:
    return {
        **manifest.model_dump(exclude={"version"}),
        "clips": sum(manifest.counts.values()),
        "bytes": store.size(Track(manifest.dataset, manifest.features)),
    }


def _table(rows: Sequence[dict[str, Any]]) -> str:
    cells = [
        [
            f"{r['dataset']}/{r['features']}" + (" (simulated)" if r["simulated"] else ""),
            f"{r['clips']:,}",
            f"{r['audio_dim']} / {r['visual_dim']} / {r['text_dim']}",
            f"{r['bytes'] / 1e6:,.0f} MB",
            r["content_hash"][:12],
            len(r["warnings"]) or "",
        ]
        for r in rows
    ]
    return tabulate(cells, headers=["track", "clips", "audio / visual / text", "size", "content", "warnings"])


class _Bars:
    """A report (what, done, total) as rich progress bars, one per thing that is done."""

    def __enter__(self) -> Report:
        from rich.console import Console
        from rich.progress import Progress

        self._bars = Progress(console=Console(file=sys.stderr))
        self._bars.start()
        tasks: dict[str, Any] = {}

        def report(what: str, done: int, total: int) -> None:
            if what not in tasks:
                tasks[what] = self._bars.add_task(what, total=total)
            self._bars.update(tasks[what], completed=done, total=total)

        return report

    def __exit__(self, *_: object) -> None:
        self._bars.stop()


def _progress() -> Any:
    """Progress on a terminal; silence elsewhere."""
    from avbench.harness.features.draft import silent

    return _Bars() if sys.stderr.isatty() else nullcontext(silent)
