"""``avbench data extract``: from a folder of videos to a track."""

from __future__ import annotations

import csv
import io
import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import click
from tabulate import tabulate

from avbench.harness.atomic import write_bytes
from avbench.harness.cli.data_storing import (
    ALLOW_MISSING,
    DTYPE,
    FILE,
    FORCE,
    progress,
    row_of,
    stored,
    table_of,
    text_files,
)
from avbench.harness.errors import DataError, UsageError
from avbench.harness.features.store import Store, home
from avbench.harness.tracks import Track
from avbench.splits import DATASETS, PARTITIONS

if TYPE_CHECKING:
    from avbench.harness.contract.encoder import TrainedOn
    from avbench.harness.features.provenance import BadVideo, Extraction

PLACE = click.Path(path_type=Path)


def _cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


@click.command()
@click.argument("videos", type=PLACE)
@click.option("--dataset", required=True, type=click.Choice(DATASETS), help="Data set that the videos belong to.")
@click.option("--partition", default="main", show_default=True, type=click.Choice(PARTITIONS), help="Class partition.")
@click.option("--lists", required=True, type=PLACE, help="The public class-split folder of the data set.")
@click.option(
    "--encoder",
    "encoders",
    multiple=True,
    required=True,
    help="Encoder by name, such as basic, clip or clap; once for both modalities or once for each.",
)
@click.option("--name", required=True, help="Name of the new feature set.")
@click.option(
    "--weights",
    multiple=True,
    help="ENCODER=FOLDER or ENCODER=NAME@COMMIT: safetensors weights, on disk or on the hub at a pinned commit.",
)
@click.option(
    "--text",
    multiple=True,
    metavar="[NAME=]FILE",
    help="Label vectors instead of the encoders' own, as for `avbench data add`.",
)
@click.option("--text-names", type=FILE, help="Class names of the rows of a .npy of label vectors, one per line.")
@click.option(
    "--trained-on",
    multiple=True,
    help="ENCODER=WHAT: declare what its weights were trained on: data sets whose clips it has seen, DATASET:classes "
    "for one whose unseen classes it has seen, or none; commas between them.",
)
@click.option(
    "--missing-audio",
    default="zeros",
    show_default=True,
    type=click.Choice(["zeros", "drop", "fail"]),
    help="What becomes of a video without sound.",
)
@click.option("--temporal", is_flag=True, help="Store all steps of time, and their means as the feature set NAME.mean.")
@DTYPE
@click.option("--device", default="cpu", show_default=True, help="Device of the encoders, such as cuda.")
@click.option("--jobs", type=click.IntRange(1, 256), help="Processes at once; by default one for each core.")
@click.option(
    "--seconds", default=600.0, show_default=True, type=click.FloatRange(1), help="Longest time that one clip may take."
)
@click.option("--simulated", is_flag=True, help="The videos are made up: results stand beside no real ones.")
@click.option(
    "--report",
    "report_file",
    type=FILE,
    help="Write a CSV of all videos that were not as usual, also when the command ends with an error.",
)
@ALLOW_MISSING
@FORCE
def extract(
    videos: Path,
    dataset: str,
    partition: str,
    lists: Path,
    encoders: Sequence[str],
    name: str,
    weights: Sequence[str],
    text: Sequence[str],
    text_names: Path | None,
    trained_on: Sequence[str],
    missing_audio: Literal["zeros", "drop", "fail"],
    temporal: bool,
    dtype: Literal["float32", "float16"],
    device: str,
    jobs: int | None,
    seconds: float,
    simulated: bool,
    report_file: Path | None,
    allow_missing: bool,
    force: bool,
) -> None:
    """Make the track DATASET/NAME from VIDEOS, a folder or a CSV with the columns id, path [, start, end].

    The clips are those of the lists, verified like an import. Each video is decoded once for both encoders. After an
    interruption the same command goes on where it was.
    """
    from avbench.harness.extraction.extract import Machine, Wanted
    from avbench.harness.extraction.extract import extract as extracted
    from avbench.harness.extraction.work import removed, working
    from avbench.harness.plugins.registry import plugins

    if dtype != "float32" and not temporal:
        raise UsageError("--dtype is for features over time; averaged ones are stored as float32")
    if report_file and not report_file.resolve().parent.is_dir():
        raise UsageError(f"--report {report_file}: there is no folder {report_file.resolve().parent}")
    store, track = Store(), Track(dataset, name)
    store.size(track)  # refuses an impossible name before anything is done
    if reserved := plugins().reserved(name):
        reserved.refuse()  # nobody's own encoders give the very features that a paper used
    wanted = Wanted(
        track=track,
        partition=partition,
        videos=videos,
        lists=lists,
        encoders=encoders,
        weights=dict(_pair(given, "--weights", encoders) for given in weights),
        trained_on={name: _declared(what) for name, what in (_pair(t, "--trained-on", encoders) for t in trained_on)},
        text=text_files(text, ()) if text else None,
        text_names=text_names,
        missing_audio=missing_audio,
        simulated=simulated,
        allow_missing=allow_missing,
        over_time=dtype if temporal else None,
    )

    def tell(told: Sequence[BadVideo]) -> None:
        if report_file:
            try:
                write_bytes(report_file, _videos_csv(told).encode())
            except OSError as error:
                raise DataError(f"--report {report_file}: cannot be written ({error.strerror})") from None

    with working(home(), track) as work:
        if track in store.tracks() and not force:
            removed(work)
            click.echo(f"{track}: installed already and left as it is; --force replaces it", err=True)
            if made := store.manifest(track).extraction:
                tell(made.videos)
            elif report_file:
                click.echo(f"{track}: not made from videos; --report has nothing to tell", err=True)
            return
        with progress() as report:
            draft = extracted(wanted, work, plugins(), Machine(device, jobs or _cores(), seconds), report, tell)
            manifests = stored(store, draft, force, report)
        removed(work)
    assert draft.extraction is not None
    click.echo(table_of([row_of(store, manifest) for manifest in manifests]))
    click.echo(_encoder_table(draft.extraction))


def _pair(text: str, option: str, encoders: Sequence[str]) -> tuple[str, str]:
    """``NAME=VALUE``; a value alone belongs to the only encoder."""
    name, equals, value = text.partition("=")
    if equals and value:
        return name, value
    if len(encoders) == 1 and not equals:
        return encoders[0].partition(":")[0], text
    raise UsageError(f"{option} {text!r}: write ENCODER=VALUE, such as clip=...")


def _declared(text: str) -> TrainedOn:
    from avbench.harness.contract.encoder import TrainedOn

    words = [word.strip() for word in text.split(",")]
    if words == ["none"]:
        return TrainedOn(datasets=(), unseen_classes=())
    seen: list[str] = []
    classes: list[str] = []
    for word in words:
        dataset, _, what = word.partition(":")
        if dataset not in DATASETS or what not in ("", "classes"):
            raise UsageError(
                f"--trained-on: {word!r} is neither a data set ({', '.join(DATASETS)}), nor DATASET:classes, nor none"
            )
        (classes if what else seen).append(dataset)
    return TrainedOn(datasets=tuple(seen), unseen_classes=tuple(classes))


def _encoder_table(extraction: Extraction) -> str:
    rows = [
        [e.modality, e.name, e.weights or "–", (e.weights_sha256 or "–")[:12], f"{e.sampling.step_seconds:g} s"]
        for e in extraction.encoders
    ]
    table = tabulate(rows, headers=["modality", "encoder", "weights", "sha256", "step"])
    return f"{table}\nlabel vectors: {', '.join(facts.source for facts in extraction.labels)}"


def _videos_csv(videos: Sequence[BadVideo]) -> str:
    stream = io.StringIO()
    rows = csv.writer(stream, lineterminator="\n")
    rows.writerow(["id", "dropped", "reasons"])
    rows.writerows([v.id, "yes" if v.dropped else "no", "; ".join(v.reasons)] for v in videos)
    return stream.getvalue()
