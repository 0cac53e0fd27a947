"""What is to be extracted: clips in shards, each with a key of all that decides its content. Knows no torch."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from avbench.harness.contract.encoder import Encoder, TrainedOn, Weights
from avbench.harness.extraction.layouts import Place
from avbench.harness.extraction.messages import ClipTask, MissingAudio, ShardTask
from avbench.harness.extras import require
from avbench.harness.features.draft import ListedClips
from avbench.harness.features.provenance import EncoderFacts
from avbench.harness.plugins.registry import RegisteredEncoder

CLIPS_OF_A_SHARD = 16
"""Few enough to lose little when interrupted."""
MISSING = "no file has its name"


@dataclass(frozen=True)
class PlannedShard:
    """Clips of one class in one part, and the task that makes their features."""

    clips: ListedClips
    task: ShardTask


def planned_shards(
    folder: Path, groups: Sequence[ListedClips], places: Mapping[str, Place], sources: str
) -> Iterator[PlannedShard]:
    """Shards in the order of parts, classes and ids. ``sources``: what else decides their content, as text.

    A video that was replaced or changed since (by its size and time) gives another key.
    """
    slices = (
        ListedClips(group.part, group.owner, group.ids[first : first + CLIPS_OF_A_SHARD])
        for group in groups
        for first in range(0, len(group.ids), CLIPS_OF_A_SHARD)
    )
    for number, clips in enumerate(slices):
        tasks = tuple(_task(video, places.get(video)) for video in clips.ids)
        key = hashlib.sha256(json.dumps([sources, *map(_identity, tasks)]).encode()).hexdigest()
        path = folder / f"{number:06d}.safetensors"
        yield PlannedShard(clips, ShardTask(number=number, path=path, key=key, clips=tasks))


def _task(video: str, place: Place | None) -> ClipTask:
    if place is None:
        return ClipTask(id=video, path=Path(), spoilt=MISSING)
    return ClipTask(id=video, path=place.path, start=place.start, end=place.end)


def _identity(clip: ClipTask) -> list[object]:
    if clip.spoilt:
        return [clip.id]
    status = clip.path.lstat()
    return [clip.id, str(clip.path), clip.start, clip.end, status.st_size, status.st_mtime_ns]


def sources_of(encoders: Sequence[EncoderFacts], source_hashes: Sequence[str], missing_audio: MissingAudio) -> str:
    """All that decides the content of shards beside the videos."""
    used = [e.model_dump(mode="json", exclude={"trained_on"}) for e in encoders]
    return json.dumps([*used, *source_hashes, missing_audio, decoder()])


def decoder() -> str:
    """The library that decodes, with FFmpeg's version in it. Raises :class:`UsageError` where it is not installed."""
    require("av", "videos", "videos are decoded by PyAV")
    import av

    return f"PyAV {av.__version__}, FFmpeg {av.ffmpeg_version_info}"


def encoder_facts(
    registered: RegisteredEncoder, encoder: Encoder, weights: Weights | None, trained_on: TrainedOn | None
) -> EncoderFacts:
    """An encoder as the manifest will name it. ``trained_on``: what the user declares, in place of the encoder."""
    return EncoderFacts(
        name=encoder.name,
        modality=encoder.modality,
        width=encoder.width,
        distribution=registered.distribution,
        version=registered.version,
        weights=weights.name if weights else None,
        revision=weights.revision if weights else None,
        weights_sha256=weights.sha256 if weights else None,
        sampling=encoder.sampling,  # type: ignore[attr-defined]
        trained_on=trained_on or encoder.trained_on,
    )
