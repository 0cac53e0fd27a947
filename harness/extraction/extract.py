"""From a folder of videos to a draft of a track: resumable, and the same bytes however often it was interrupted."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from avbench.harness.contract.encoder import Modality, TrainedOn
from avbench.harness.errors import DataError, UsageError
from avbench.harness.extraction.choice import Chosen, choose
from avbench.harness.extraction.labels import label_vectors_of
from avbench.harness.extraction.layouts import find_videos
from avbench.harness.extraction.lists import read_lists
from avbench.harness.extraction.messages import MissingAudio, Setup, ShardTask
from avbench.harness.extraction.plan import PlannedShard, decoder, planned_shards, sources_of
from avbench.harness.extraction.pool import work_off
from avbench.harness.extraction.shards import ClipNotes, read_shard, shard_notes, shard_steps
from avbench.harness.features.arrays import RESERVED
from avbench.harness.features.draft import (
    ClipGroup,
    Draft,
    ListedClips,
    Report,
    differences,
    forgiven,
    sample,
    silent,
    unit_vectors_checked,
)
from avbench.harness.features.provenance import BadVideo, Extraction, Steps
from avbench.harness.plugins.registry import Plugins
from avbench.harness.tracks import Track
from avbench.splits import load_split


@dataclass(frozen=True)
class Wanted:
    """What is asked for. ``weights`` and ``trained_on``: by the name of an encoder."""

    track: Track
    partition: str
    videos: Path
    lists: Path
    encoders: Sequence[str]
    weights: Mapping[str, str] = field(default_factory=dict)
    trained_on: Mapping[str, TrainedOn] = field(default_factory=dict)
    text: Path | None = None
    missing_audio: MissingAudio = "zeros"
    allow_missing: bool = False


@dataclass(frozen=True)
class Machine:
    """How it is done; nothing here decides a number, but for the clips that a limit drops."""

    device: str = "cpu"
    jobs: int = 1
    seconds: float = 600.0
    """The longest that one clip may take."""
    memory: int = 4 * 2**30
    """Bytes that decoding may take in one process."""


def extract(
    wanted: Wanted, work: Path, plugins: Plugins, machine: Machine | None = None, report: Report = silent
) -> Draft:
    """The draft of a track. Features over time are kept in shards under ``work`` until the track is stored.

    Raises :class:`DataError` for lists or videos that do not fit the split unless that is allowed, and what an encoder
    or worker cannot go on with; finished shards then stay.
    """
    machine = machine or Machine()
    if wanted.track.features in RESERVED:
        raise UsageError(f"feature set name {wanted.track.features!r} is reserved; choose another one")
    decoded_by = decoder()
    split = load_split(wanted.track.dataset, wanted.partition)
    groups = read_lists(wanted.lists, split)
    forgiven(differences(split, groups, wanted.lists), allow_missing=wanted.allow_missing, what=wanted.lists)
    places = find_videos(wanted.videos, split.dataset, groups)
    _refuse_lacking(groups, places.found, wanted)
    chosen = choose(wanted.encoders, wanted.weights, wanted.trained_on, machine.device, plugins)
    vectors, labels = label_vectors_of(chosen, split, wanted.text)
    unit_vectors_checked(vectors, split, "label vectors")
    facts = tuple(one.facts for one in chosen)
    sources = sources_of(facts, [one.source_hash for one in chosen], wanted.missing_audio)
    shards = list(planned_shards(work, groups, places.found, sources))
    notes = _extracted(shards, _setup(chosen, machine, wanted), machine, report)
    finished = _finished(shards, notes)
    dropped = [note for some in notes for note in some if note.dropped]
    if dropped and not wanted.allow_missing:
        raise DataError(_refusal(dropped))
    width = {one.facts.modality: one.facts.width for one in chosen}
    return Draft(
        track=wanted.track,
        split=split,
        source="videos: " + ", ".join(f"{f.modality} {f.name}" for f in facts),
        audio_dim=width["audio"],
        visual_dim=width["visual"],
        vectors=vectors,
        groups=finished,
        warnings=tuple(differences(split, finished, wanted.videos)),
        notes=_summary(notes, places.links),
        extraction=Extraction(
            encoders=facts,
            labels=labels,
            missing_audio=wanted.missing_audio,
            decoder=decoded_by,
            steps=_steps(shards, notes),
            videos=tuple(
                BadVideo(id=n.id, dropped=n.dropped, reasons=n.reasons) for some in notes for n in some if n.reasons
            ),
        ),
    )


def _refuse_lacking(groups: Sequence[ListedClips], found: Mapping[str, object], wanted: Wanted) -> None:
    """Say what is not there before hours are spent on what is."""
    listed = [video for group in groups for video in group.ids]
    lacking = [video for video in listed if video not in found]
    if len(lacking) == len(listed):
        raise DataError(f"{wanted.videos}: not one of the {len(listed):,} clips has a video there ({sample(lacking)})")
    if lacking and not wanted.allow_missing:
        raise DataError(
            f"{wanted.videos}: {len(lacking):,} of {len(listed):,} clips have no video ({sample(lacking)}); "
            "--allow-missing goes on without them, and every record then says so"
        )


def _setup(chosen: Sequence[Chosen], machine: Machine, wanted: Wanted) -> Setup:
    by_modality = {one.facts.modality: one.choice for one in chosen}
    return Setup(
        frames=by_modality["visual"],
        sound=by_modality["audio"],
        device=machine.device,
        missing_audio=wanted.missing_audio,
        memory=machine.memory,
    )


def _extracted(
    shards: Sequence[PlannedShard], setup: Setup, machine: Machine, report: Report
) -> list[tuple[ClipNotes, ...]]:
    """What the shards tell of their clips, after those that are not there yet were made."""
    notes = [shard_notes(shard.task.path, shard.task.key) for shard in shards]
    undone = [shard.task for shard, found in zip(shards, notes, strict=True) if found is None]
    total = sum(len(shard.clips.ids) for shard in shards)
    done = total - sum(len(task.clips) for task in undone)

    def stored(task: ShardTask) -> None:
        nonlocal done
        done += len(task.clips)
        report("extracting", done, total)

    report("extracting", done, total)
    if undone:
        work_off(setup, undone, machine.jobs, machine.seconds, stored)
    found = []
    for shard, known in zip(shards, notes, strict=True):
        now = known if known is not None else shard_notes(shard.task.path, shard.task.key)
        if now is None:
            raise DataError(f"{shard.task.path}: was changed by something else; run the command again")
        found.append(now)
    return found


def _finished(shards: Sequence[PlannedShard], notes: Sequence[Sequence[ClipNotes]]) -> tuple[ClipGroup, ...]:
    """The clips that have features, with their means over time, by part and class."""
    members: dict[tuple[str, int], list[tuple[PlannedShard, Sequence[ClipNotes]]]] = {}
    for shard, some in zip(shards, notes, strict=True):
        members.setdefault((shard.clips.part, shard.clips.owner.id), []).append((shard, some))
    groups = []
    for own in members.values():
        ids = tuple(note.id for _, some in own for note in some if not note.dropped)
        if ids:
            first = own[0][0].clips
            read = partial(_averages, [shard.task.path for shard, _ in own])
            groups.append(ClipGroup(first.part, first.owner, ids, read))
    return tuple(groups)


def _averages(paths: Sequence[Path]) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Audio (n, Da) and visual (n, Dv): means over the steps of each clip."""
    clips = [clip for path in paths for clip in read_shard(path) if not clip.notes.dropped]
    audio = np.stack([clip.audio.mean(axis=0, dtype=np.float64) for clip in clips])
    visual = np.stack([clip.visual.mean(axis=0, dtype=np.float64) for clip in clips])
    return audio.astype(np.float32), visual.astype(np.float32)


def _steps(shards: Sequence[PlannedShard], notes: Sequence[Sequence[ClipNotes]]) -> dict[Modality, Steps]:
    counted: dict[Modality, list[NDArray[np.int64]]] = {"audio": [], "visual": []}
    for shard, some in zip(shards, notes, strict=True):
        kept = np.array([not note.dropped for note in some])
        for modality, steps in shard_steps(shard.task.path).items():
            counted[modality].append(steps[kept])
    found: dict[Modality, Steps] = {}
    for modality, parts in counted.items():
        every = np.concatenate(parts) if parts else np.empty(0, np.int64)
        if len(every):
            found[modality] = Steps(least=int(every.min()), median=float(np.median(every)), most=int(every.max()))
    return found


def _refusal(dropped: Sequence[ClipNotes]) -> str:
    shown = "".join(f"\n  {note.id}: {'; '.join(note.reasons)}" for note in dropped[:20])
    more = f"\n  ... and {len(dropped) - 20:,} more" if len(dropped) > 20 else ""
    return (
        f"{len(dropped):,} videos give no features:{shown}{more}\n"
        "Nothing was stored, but what was extracted is kept. Replace these videos, or give --allow-missing to go on "
        "without them, and run the command again."
    )


def _summary(notes: Sequence[Sequence[ClipNotes]], links: int) -> tuple[str, ...]:
    """How many videos were dropped, and how many were used though something was wrong."""
    every = [note for some in notes for note in some]
    lines = []
    for text, found in (
        ("dropped", [n for n in every if n.dropped]),
        ("used with a remark", [n for n in every if n.reasons and not n.dropped]),
    ):
        if found:
            examples = sample([f"{n.id}: {n.reasons[0]}" for n in found], 3)
            lines.append(f"{len(found):,} of {len(every):,} videos {text} ({examples})")
    if links:
        lines.append(f"{links:,} links in the folder passed over; links are not followed")
    return tuple(lines)
