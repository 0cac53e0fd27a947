"""``avbench data``: the local store of features."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import click
from tabulate import tabulate

from avbench.harness.cli.data_storing import (
    ALLOW_MISSING,
    AS_JSON,
    DTYPE,
    FILE,
    FORCE,
    progress,
    row_of,
    stored,
    table_of,
    text_files,
)
from avbench.harness.cli.lazy import LazyGroup
from avbench.harness.errors import DataError, UsageError
from avbench.harness.features.draft import Draft
from avbench.harness.features.store import ARCHIVE_SETS, Store, how_to_get
from avbench.harness.features.temporal_draft import TemporalDraft, view_of
from avbench.harness.plugins.commands import Command
from avbench.harness.tracks import Track, parse_track
from avbench.splits import DATASETS, PARTITIONS

if TYPE_CHECKING:
    from avbench.harness.features.manifest import Manifest

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
    """What is installed and where, and how to get the rest. Exit code 3 when a manifest cannot be read.

    Features lie in $AVBENCH_HOME, else in the user's data directory.
    """
    store = Store()
    rows, broken = [], []
    for track in store.tracks():
        try:
            rows.append(row_of(store, store.manifest(track)))
        except DataError as error:
            broken.append(str(error))
    if as_json:
        click.echo(json.dumps(rows, indent=1))
    else:
        if rows:
            click.echo(table_of(rows))
            for row in rows:
                for line in row["assumed"]:
                    click.echo(f"note: {row['dataset']}/{row['features']}: {line}")
        missing = [str(t) for f in PARTITIONS for d in DATASETS if (t := Track(d, f)) not in store.tracks()]
        if missing:
            click.echo(f"Not installed: {', '.join(missing)}. {how_to_get(Track('ucf', 'main'))}.")
        click.echo("demo, demo-temporal, demo-temporal.mean: built in, simulated, for every data set.")
        click.echo(f"Store: {store.root} (AVBENCH_HOME names another folder)")
    if broken:
        raise DataError("\n".join(broken))


@data.command("import")
@click.argument("path", type=click.Path(path_type=Path))
@click.option("--dataset", "datasets", multiple=True, type=click.Choice(DATASETS), help="Only this data set.")
@click.option("--features", "features", multiple=True, type=click.Choice(ARCHIVE_SETS), help="Only this feature set.")
@DTYPE
@ALLOW_MISSING
@FORCE
def import_archive(
    path: Path,
    datasets: Sequence[str],
    features: Sequence[str],
    dtype: Literal["float32", "float16"],
    allow_missing: bool,
    force: bool,
) -> None:
    """Import a public feature archive from a folder or zip PATH, verified against the splits.

    The averaged features become main and cls. Those over time become main-temporal and cls-temporal, each with its
    averaged view, such as cls-temporal.mean.

    Each feature set is stored whole or not at all. What is installed already is left as it is: the same command goes
    on where it was interrupted.
    """
    from avbench.harness.features.archive import find_sets, read_set
    from avbench.harness.features.archive_files import opened
    from avbench.harness.features.archive_over_time import read_set_over_time

    store = Store()
    with opened(path) as root:
        there = find_sets(root)
        chosen = [
            found
            for found in there
            if found.track.dataset in (datasets or DATASETS) and found.track.features in (features or ARCHIVE_SETS)
        ]
        if not chosen:
            raise DataError(
                f"{path}: the wanted feature sets are not there, only {', '.join(str(s.track) for s in there)}"
            )
        installed = [] if force else [found.track for found in chosen if found.track in store.tracks()]
        if installed:
            names = ", ".join(map(str, installed))
            click.echo(f"{names}: installed already and left as they are; --force replaces them", err=True)
        with progress() as report:
            manifests: list[Manifest] = []
            for found in chosen:
                if found.track in installed:
                    continue
                draft = (
                    read_set_over_time(found, dtype=dtype, allow_missing=allow_missing, report=report)
                    if found.over_time
                    else read_set(found, allow_missing=allow_missing, report=report)
                )
                manifests += stored(store, draft, force, report)
    if not manifests:
        return
    click.echo(table_of([row_of(store, manifest) for manifest in manifests]))
    for manifest in manifests:
        if manifest.time is not None and (told := _told_of_means(store, manifest)):
            click.echo(told, err=True)


def _told_of_means(store: Store, manifest: Manifest) -> str | None:
    """How the means of imported features over time compare with the averaged features, where both are installed."""
    from avbench.harness.features.mean_report import mean_report

    track = Track(manifest.dataset, manifest.features)
    averaged = Track(manifest.dataset, manifest.partition)
    return mean_report(store, view_of(track), averaged) if averaged in store.tracks() else None


@data.command()
@click.argument("name")
@click.option("--dataset", required=True, type=click.Choice(DATASETS), help="Data set that the clips belong to.")
@click.option("--partition", default="main", show_default=True, type=click.Choice(PARTITIONS), help="Class partition.")
@click.option(
    "--audio", required=True, type=FILE, help="Audio features, .npy (clips, width); over time (steps, width), or .npz."
)
@click.option("--visual", required=True, type=FILE, help="Visual features, the same.")
@click.option("--audio-offsets", type=FILE, help="Over time: .npy (clips + 1), first step of each clip, and the end.")
@click.option("--visual-offsets", type=FILE, help="The same for vision.")
@click.option("--audio-step", type=float, metavar="SECONDS", help="Over time: length of an audio step.")
@click.option("--visual-step", type=float, metavar="SECONDS", help="Over time: length of a visual step.")
@click.option("--clips", required=True, type=FILE, help="CSV with columns id, class, part; one row per clip.")
@click.option(
    "--text",
    required=True,
    multiple=True,
    metavar="[NAME=]FILE",
    help="Label vectors: .npz with 'names' and 'vectors', or .npy. With names, such as clip=FILE and clap=FILE, "
    "several text vectors per class.",
)
@click.option("--text-names", type=FILE, help="Class names of the rows of a .npy of label vectors, one per line.")
@click.option("--text-as-given", multiple=True, metavar="NAME", help="Do not scale these text vectors to unit norm.")
@click.option("--source", default="arrays of the user", show_default=True, help="Where they come from; boards say it.")
@click.option("--simulated", is_flag=True, help="They are made up: results stand beside no real ones.")
@DTYPE
@ALLOW_MISSING
@FORCE
def add(
    name: str,
    dataset: str,
    partition: str,
    audio: Path,
    visual: Path,
    audio_offsets: Path | None,
    visual_offsets: Path | None,
    audio_step: float | None,
    visual_step: float | None,
    clips: Path,
    text: Sequence[str],
    text_names: Path | None,
    text_as_given: Sequence[str],
    source: str,
    simulated: bool,
    dtype: Literal["float32", "float16"],
    allow_missing: bool,
    force: bool,
) -> None:
    """Store features of your own encoders as feature set NAME: a new track.

    The clips are held against the split by the digest of their ids, written like v_Archery_g01_c01 (ucf),
    YOUTUBEID_0, with the number of the segment (activitynet), or YOUTUBEID_000030, with the second at which the clip
    starts (vggsound). Label vectors are scaled to unit norm, which is said.

    Features over time come with offsets and the length of a step, for each modality; a .npz holds the arrays values,
    offsets and seconds. Their averaged view becomes the feature set NAME.mean.
    """
    from avbench.harness.features.arrays import read_arrays
    from avbench.harness.features.arrays_over_time import SequenceFiles, read_arrays_over_time
    from avbench.harness.plugins.registry import plugins

    reserved = plugins().reserved(name)
    if reserved and reserved.form is None:
        reserved.refuse()
    texts = text_files(text, text_as_given)
    sounds = SequenceFiles(audio, audio_offsets, audio_step)
    images = SequenceFiles(visual, visual_offsets, visual_step)
    draft: Draft | TemporalDraft
    if sounds.over_time or images.over_time:
        draft = read_arrays_over_time(
            name,
            dataset,
            partition,
            audio=sounds,
            visual=images,
            clips=clips,
            text=texts,
            text_names=text_names,
            source=source,
            simulated=simulated,
            dtype=dtype,
            allow_missing=allow_missing,
        )
    elif dtype != "float32":
        raise UsageError("--dtype is for features over time; averaged ones are stored as float32")
    else:
        draft = read_arrays(
            name,
            dataset,
            partition,
            audio=audio,
            visual=visual,
            clips=clips,
            text=texts,
            text_names=text_names,
            source=source,
            simulated=simulated,
            allow_missing=allow_missing,
        )
    if reserved:
        reserved.refuse_unless_fit(draft)
    store = Store()
    with progress() as report:
        manifests = stored(store, draft, force, report)
    click.echo(table_of([row_of(store, manifest) for manifest in manifests]))


@data.command()
@click.argument("tracks", nargs=-1)
@AS_JSON
def verify(tracks: Sequence[str], as_json: bool) -> None:
    """Read everything again: content hash, counts, digests, values. All tracks, or those named as DATASET/FEATURES.

    Exit code 3 when something is wrong.
    """
    store = Store()
    chosen = [parse_track(text) for text in tracks] or list(store.tracks())
    found = {}
    with progress() as report:
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
    named = parse_track(track)
    if not yes:
        click.confirm(f"Delete the features of {named}?", abort=True)
    Store().remove(named)
    click.echo(f"{named}: removed")
