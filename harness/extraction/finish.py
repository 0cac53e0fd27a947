"""From shards to what the store takes, and to what there is to tell. The one place where features over time end up."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import groupby
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from avbench.harness.contract.encoder import Modality
from avbench.harness.extraction.shards import MODALITIES, ClipNotes, read_shard, shard_steps
from avbench.harness.features.draft import ClipGroup, ListedClips, sample
from avbench.harness.features.provenance import BadVideo, Steps
from avbench.harness.features.temporal_draft import SequenceGroup


@dataclass(frozen=True)
class ShardDone:
    """A finished shard: its clips, its file, and what it tells of each clip."""

    clips: ListedClips
    path: Path
    notes: tuple[ClipNotes, ...]

    @property
    def kept(self) -> tuple[str, ...]:
        """Ids of the clips that have features."""
        return tuple(note.id for note in self.notes if not note.dropped)


def by_class(shards: Iterable[ShardDone]) -> list[list[ShardDone]]:
    """The shards that have features, by part and class; they come in that order."""
    runs = groupby(shards, key=lambda shard: (shard.clips.part, shard.clips.owner.id))
    members = [[shard for shard in run if shard.kept] for _, run in runs]
    return [own for own in members if own]


def averaged_groups(shards: Iterable[ShardDone]) -> tuple[ClipGroup, ...]:
    """The clips that have features, with their means over time."""
    return tuple(
        ClipGroup(
            own[0].clips.part,
            own[0].clips.owner,
            tuple(video for shard in own for video in shard.kept),
            partial(_averages, [shard.path for shard in own]),
        )
        for own in by_class(shards)
    )


def sequence_groups(shards: Iterable[ShardDone]) -> tuple[SequenceGroup, ...]:
    """The clips that have features, with all their steps."""
    groups = []
    for own in by_class(shards):
        lengths = [kept_steps(shard) for shard in own]
        audio, visual = (np.concatenate([found[modality] for found in lengths]) for modality in MODALITIES)
        ids = tuple(video for shard in own for video in shard.kept)
        read = partial(_sequences, [shard.path for shard in own])
        groups.append(SequenceGroup(own[0].clips.part, own[0].clips.owner, ids, audio, visual, read))
    return tuple(groups)


def _sequences(paths: Sequence[Path]) -> Iterator[tuple[NDArray[np.float32], NDArray[np.float32]]]:
    """The steps of one clip after the other."""
    for path in paths:
        yield from ((clip.audio, clip.visual) for clip in read_shard(path) if not clip.notes.dropped)


def _averages(paths: Sequence[Path]) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Audio (n, Da) and visual (n, Dv): means over the steps of each clip."""
    clips = [clip for path in paths for clip in read_shard(path) if not clip.notes.dropped]
    audio = np.stack([clip.audio.mean(axis=0, dtype=np.float64) for clip in clips])
    visual = np.stack([clip.visual.mean(axis=0, dtype=np.float64) for clip in clips])
    return audio.astype(np.float32), visual.astype(np.float32)


def kept_steps(shard: ShardDone) -> dict[Modality, NDArray[np.int64]]:
    """The number of steps of each clip that has features."""
    kept = np.array([not note.dropped for note in shard.notes])
    return {modality: steps[kept] for modality, steps in shard_steps(shard.path).items()}


def steps_of(shards: Iterable[ShardDone]) -> dict[Modality, Steps]:
    """How many steps of time the clips have."""
    counted = [kept_steps(shard) for shard in shards if shard.kept]
    found: dict[Modality, Steps] = {}
    for modality in MODALITIES if counted else ():
        every = np.concatenate([steps[modality] for steps in counted])
        found[modality] = Steps(least=int(every.min()), median=float(np.median(every)), most=int(every.max()))
    return found


def told_videos(notes: Iterable[ClipNotes]) -> tuple[BadVideo, ...]:
    """The videos with something to tell."""
    return tuple(BadVideo(id=note.id, dropped=note.dropped, reasons=note.reasons) for note in notes if note.reasons)


def refusal(dropped: Sequence[ClipNotes]) -> str:
    """Why a track is not stored."""
    shown = "".join(f"\n  {note.id}: {'; '.join(note.reasons)}" for note in dropped[:20])
    more = f"\n  ... and {len(dropped) - 20:,} more" if len(dropped) > 20 else ""
    return (
        f"{len(dropped):,} videos give no features:{shown}{more}\n"
        "Nothing was stored, but what was extracted is kept. Replace these videos, or give --allow-missing to go on "
        "without them, and run the command again."
    )


def summary(shards: Iterable[ShardDone], links: int) -> tuple[str, ...]:
    """How many videos were dropped, and how many were used though something was wrong."""
    every = [note for shard in shards for note in shard.notes]
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
