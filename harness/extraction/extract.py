"""From a folder of videos to a draft of a track: resumable, and the same bytes however often it was interrupted."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from avbench.harness.contract.encoder import TrainedOn
from avbench.harness.errors import AvbenchError, DataError
from avbench.harness.extraction.choice import Chosen, choose
from avbench.harness.extraction.finish import (
    ShardDone,
    averaged_groups,
    refusal,
    sequence_groups,
    steps_of,
    summary,
    told_videos,
)
from avbench.harness.extraction.labels import labels_of
from avbench.harness.extraction.layouts import find_videos
from avbench.harness.extraction.lists import read_lists
from avbench.harness.extraction.messages import NO_SOUND, TOO_SLOW, MissingAudio, Setup, ShardTask, SoundlessError
from avbench.harness.extraction.plan import MISSING, PlannedShard, decoder, planned_shards, sources_of
from avbench.harness.extraction.pool import work_off
from avbench.harness.extraction.shards import ClipNotes, shard_notes
from avbench.harness.features.arrays import TextFile, refuse_unfit
from avbench.harness.features.draft import (
    Draft,
    ListedClips,
    Report,
    differences,
    forgiven,
    sample,
    silent,
    unit_vectors_checked,
)
from avbench.harness.features.provenance import BadVideo, Extraction
from avbench.harness.features.temporal_draft import TemporalDraft
from avbench.harness.plugins.registry import Plugins
from avbench.harness.tracks import Track
from avbench.splits import load_split

SOURCE = "videos"
Tell = Callable[[Sequence[BadVideo]], None]
"""Gets the videos that are not as usual, those that are known, also before an extraction ends with an error."""


def untold(_: Sequence[BadVideo]) -> None:
    """Nobody wants to know."""


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
    text: Path | Sequence[TextFile] | None = None
    text_names: Path | None = None
    missing_audio: MissingAudio = "zeros"
    simulated: bool = False
    """The videos are made up."""
    allow_missing: bool = False
    over_time: Literal["float32", "float16"] | None = None
    """How steps are stored; None: their means alone."""


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
    wanted: Wanted,
    work: Path,
    plugins: Plugins,
    machine: Machine | None = None,
    report: Report = silent,
    tell: Tell = untold,
) -> Draft | TemporalDraft:
    """The draft of a track. Features over time are kept in shards under ``work`` until the track is stored.

    Raises :class:`DataError` for lists or videos that do not fit the split unless that is allowed, and what an encoder
    or worker cannot go on with; finished shards then stay.
    """
    machine = machine or Machine()
    refuse_unfit(wanted.track.features, SOURCE)
    decoded_by = decoder()
    split = load_split(wanted.track.dataset, wanted.partition)
    listed = read_lists(wanted.lists, split)
    forgiven(differences(split, listed, wanted.lists), allow_missing=wanted.allow_missing, what=wanted.lists)
    places = find_videos(wanted.videos, split.dataset, listed)
    _refuse_lacking(listed, places.found, wanted, tell)
    chosen = choose(wanted.encoders, wanted.weights, wanted.trained_on, machine.device, plugins)
    labels = labels_of(chosen, split, wanted.text, wanted.text_names)
    unit_vectors_checked(labels.vectors, split, "label vectors")
    facts = tuple(one.facts for one in chosen)
    sources = sources_of(facts, [one.source_hash for one in chosen], wanted.missing_audio)
    shards = list(planned_shards(work, listed, places.found, sources))
    notes = _extracted(shards, _setup(chosen, machine, wanted), machine, report, tell)
    done = [ShardDone(shard.clips, shard.task.path, some) for shard, some in zip(shards, notes, strict=True)]
    told = told_videos(note for some in notes for note in some)
    tell(told)
    dropped = [note for some in notes for note in some if note.dropped]
    if dropped and not wanted.allow_missing:
        raise DataError(refusal(dropped))
    extraction = Extraction(
        encoders=facts,
        labels=labels.facts,
        missing_audio=wanted.missing_audio,
        decoder=decoded_by,
        steps=steps_of(done),
        videos=told,
    )
    by_modality = {one.facts.modality: one.facts for one in chosen}
    groups = averaged_groups(done)
    common: dict[str, Any] = {
        "track": wanted.track,
        "split": split,
        "source": f"{SOURCE}: " + ", ".join(f"{f.modality} {f.name}" for f in facts),
        "audio_dim": by_modality["audio"].width,
        "visual_dim": by_modality["visual"].width,
        "vectors": labels.vectors,
        "texts": labels.texts,
        "simulated": wanted.simulated,
        "warnings": tuple(differences(split, groups, wanted.videos)),
        "notes": (*labels.notes, *summary(done, places.links)),
        "extraction": extraction,
    }
    if wanted.over_time is None:
        return Draft(groups=groups, **common)
    return TemporalDraft(
        groups=sequence_groups(done),
        audio_step=by_modality["audio"].sampling.step_seconds,
        visual_step=by_modality["visual"].sampling.step_seconds,
        dtype=wanted.over_time,
        **common,
    )


def _refuse_lacking(groups: Sequence[ListedClips], found: Mapping[str, object], wanted: Wanted, tell: Tell) -> None:
    """Say what is not there before hours are spent on what is."""
    listed = [video for group in groups for video in group.ids]
    lacking = [video for video in listed if video not in found]
    if lacking:
        tell([BadVideo(id=video, dropped=True, reasons=(MISSING,)) for video in lacking])
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


def _still_right(notes: tuple[ClipNotes, ...] | None, seconds: float) -> tuple[ClipNotes, ...] | None:
    """What a shard tells; None for one that has to be made anew, as a clip of it may take longer now."""
    slow = [r.removeprefix(TOO_SLOW) for note in notes or () for r in note.reasons if r.startswith(TOO_SLOW)]
    return None if any(float(had.removesuffix(" s")) < seconds for had in slow) else notes


def _extracted(
    shards: Sequence[PlannedShard], setup: Setup, machine: Machine, report: Report, tell: Tell
) -> list[tuple[ClipNotes, ...]]:
    """What the shards tell of their clips, after those that are not there yet were made."""
    notes = [_still_right(shard_notes(shard.task.path, shard.task.key), machine.seconds) for shard in shards]
    undone = [shard.task for shard, found in zip(shards, notes, strict=True) if found is None]
    total = sum(len(shard.clips.ids) for shard in shards)
    done = total - sum(len(task.clips) for task in undone)

    def stored(task: ShardTask) -> None:
        nonlocal done
        done += len(task.clips)
        report("extracting", done, total)

    report("extracting", done, total)
    if undone:
        try:
            work_off(setup, undone, machine.jobs, machine.seconds, stored)
        except AvbenchError as error:
            known = [note for s in shards for note in shard_notes(s.task.path, s.task.key) or ()]
            if isinstance(error, SoundlessError):
                known.append(ClipNotes(error.clip, True, (NO_SOUND,)))
            tell(told_videos(known))
            raise
    found = []
    for shard, earlier in zip(shards, notes, strict=True):
        now = earlier if earlier is not None else shard_notes(shard.task.path, shard.task.key)
        if now is None:
            raise DataError(f"{shard.task.path}: was changed by something else; run the command again")
        found.append(now)
    return found
