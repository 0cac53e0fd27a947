"""``avbench data describe``: what the features of a track tell about themselves."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
import numpy as np
from tabulate import tabulate

from avbench.harness.cli.data_storing import AS_JSON, FILE
from avbench.harness.features.provenance import Steps
from avbench.harness.features.store import Store
from avbench.harness.tracks import parse_track
from avbench.splits import PARTS

if TYPE_CHECKING:
    from avbench.harness.features.describe import Description
    from avbench.harness.features.featureset import FeatureSet


@click.command()
@click.argument("track")
@click.option(
    "--near",
    default=0.95,
    show_default=True,
    type=click.FloatRange(-1, 1),
    help="Cosine of standardised features from which on two clips count as near-duplicates.",
)
@click.option("--pairs", default=5, show_default=True, type=click.IntRange(0, 1000), help="Nearest pairs to show.")
@click.option("--figure", type=FILE, help="Also draw a figure: .svg, .png or .pdf.")
@AS_JSON
def describe(track: str, near: float, pairs: int, figure: Path | None, as_json: bool) -> None:
    """Clips and their lengths, how well classes stand apart, and near-duplicates between the parts of TRACK.

    A clip under test that is nearly the same as one learnt from is easier than the benchmark means it to be.
    """
    from avbench.harness.features.describe import describe as described
    from avbench.harness.features.describe_figure import write_figure
    from avbench.harness.plugins.sources import load_features

    named = parse_track(track)
    features = load_features(named)
    found = described(features, pairs)
    if figure:
        write_figure(figure, named, found, near)
    content = _content(features, found, near, pairs)
    if as_json:
        click.echo(json.dumps(content, indent=1))
        return
    click.echo(f"{named}: encoders have met before: {features.manifest.seen}")
    click.echo(tabulate(content["parts"], headers="keys", floatfmt=".1f", missingval="–"))
    for name, steps in content["steps"].items():
        click.echo(
            f"{name}: {steps['least']} to {steps['most']} steps of {steps['seconds']:g} s, median {steps['median']:g}"
        )
    apart = content["separability"]
    shares = ", ".join(f"{name} {'–' if share is None else f'{share:.1f} %'}" for name, share in apart.items())
    click.echo(f"nearest class mean on training clips: {shares}")
    if content["pairs"]:
        click.echo(tabulate(content["pairs"], headers="keys", floatfmt=".3f"))


def _content(features: FeatureSet, found: Description, near: float, most: int) -> dict[str, Any]:
    owners, names = features.class_id.numpy(), [c.name for c in features.split.classes]
    rows = features.rows
    parts = []
    for part in PARTS:
        line: dict[str, Any] = {"part": part, "clips": rows[part].stop - rows[part].start}
        line["classes"] = len(set(owners[rows[part]].tolist()))
        for modality in ("audio", "visual", "both") if part in found.similarity else ():
            line[f"near {modality} %"] = 100 * found.near(part, modality, near)
        parts.append(line)
    store = Store()
    ids = store.video_ids(features.track) if features.track in store.tracks() else None

    def shown(row: int) -> str:
        return f"{ids[row] if ids else f'row {row}'} ({names[owners[row]]})"

    return {
        "track": str(features.track),
        "encoders_have_met": features.manifest.seen,
        "parts": parts,
        "steps": _steps(features),
        "separability": asdict(found.separability),
        "pairs": [
            {"part": p.part, "clip": shown(p.row), "nearest learnt from": shown(p.nearest), "cosine": p.similarity}
            for p in found.pairs[:most]
        ],
    }


def _steps(features: FeatureSet) -> dict[str, dict[str, float]]:
    """Lengths of the clips: of sets over time, and of averaged ones that were made from videos."""
    manifest = features.manifest
    if features.offsets is not None and manifest.time is not None:
        found = {}
        for name in ("audio", "visual"):
            lengths = getattr(features.offsets, name).diff().numpy()
            facts = Steps(least=int(lengths.min()), median=float(np.median(lengths)), most=int(lengths.max()))
            found[name] = {**facts.model_dump(), "seconds": getattr(manifest.time, name).seconds}
        return found
    if manifest.extraction is None:
        return {}
    seconds = {e.modality: e.sampling.step_seconds for e in manifest.extraction.encoders}
    return {name: {**steps.model_dump(), "seconds": seconds[name]} for name, steps in manifest.extraction.steps.items()}
