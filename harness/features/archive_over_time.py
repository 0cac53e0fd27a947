"""Import of the temporal archive (TCaF's): pickled features over time, class by class. No torch.

Every file is looked through twice, mapped, one class at a time: first for ids and lengths, then for the steps. So
memory is bounded by one class, not by the set.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from importlib.resources.abc import Traversable
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from avbench.harness.errors import DataError
from avbench.harness.features.archive import DIMENSIONS, ArchiveSet, Pair, class_entries, labelled, paired
from avbench.harness.features.archive_files import SEQUENCES
from avbench.harness.features.draft import Report, forgiven, silent
from avbench.harness.features.sequencefile import FRAME_RATE, opened_sequences
from avbench.harness.features.temporal_draft import Lengths, SequenceGroup, TemporalDraft
from avbench.splits import Split, SplitClass, load_split

STEPS = {"main": (1.0, 1.0), "cls": (0.96, 0.64)}
"""Seconds of an audio and of a visual step: SeLaVi every second; VGGish, and C3D on 16 frames of 25 a second."""


@dataclass(frozen=True)
class SequenceFiles:
    """The files of one class in one part and modality, and the ids and lengths of the clips in them, in one order."""

    files: tuple[Traversable, ...] = ()
    ids: tuple[str, ...] = ()
    lengths: tuple[int, ...] = ()
    width: int = 0
    odd_rates: int = 0
    """Clips whose frame rate is another than the archive's, or is not told."""

    def lengths_of(self, wanted: Sequence[str]) -> Lengths:
        """Steps (n,) of clips."""
        rows = {video: row for row, video in enumerate(self.ids)}
        return np.array([self.lengths[rows[video]] for video in wanted], np.int64)

    def opened(self, stack: ExitStack) -> dict[str, NDArray[Any]]:
        """The features of every clip, mapped until the stack is closed."""
        found: dict[str, NDArray[Any]] = {}
        for file in self.files:
            content = stack.enter_context(opened_sequences(file, str(file), self.width))
            found.update(zip(content.ids, content.features, strict=True))
        return found


def read_set_over_time(
    found: ArchiveSet,
    *,
    dtype: Literal["float32", "float16"] = "float32",
    allow_missing: bool = False,
    report: Report = silent,
) -> TemporalDraft:
    """A feature set of the temporal archive, checked against the split as an averaged one is.

    Raises :class:`DataError`, naming the file, for what cannot be trusted; for differences from the split too, unless
    ``allow_missing`` turns them into warnings.
    """
    track = found.track
    split = load_split(track.dataset, found.partition)
    pairs, problems, notes = paired(found, split, _sequence_files, SequenceFiles(), report)
    if not pairs:
        raise DataError(f"{track}: no clips at all")
    audio_dim, visual_dim = DIMENSIONS[found.partition]
    audio_step, visual_step = STEPS[found.partition]
    assumed = _assumed(pairs, visual_step)
    return TemporalDraft(
        track=track,
        split=split,
        source="temporal feature archive (avgzsl_benchmark_non_averaged_datasets)",
        audio_dim=audio_dim,
        visual_dim=visual_dim,
        audio_step=audio_step,
        visual_step=visual_step,
        dtype=dtype,
        vectors=labelled(found, split),
        groups=tuple(map(_group, pairs)),
        warnings=forgiven(problems, allow_missing=allow_missing, what=track),
        assumed=assumed,
        notes=(*assumed, *notes),
    )


def _assumed(pairs: Sequence[Pair[SequenceFiles]], step: float) -> tuple[str, ...]:
    if not (odd := sum(pair.seen.odd_rates for pair in pairs)):
        return ()
    return (
        f"the length of a visual step, {step:g} s, is assumed: it rests on {FRAME_RATE} frames a second, and for "
        f"{odd:,} clips the archive says another frame rate or none, so their steps may be longer or shorter",
    )


def _group(pair: Pair[SequenceFiles]) -> SequenceGroup:
    heard, seen, ids = pair.heard, pair.seen, pair.ids
    lengths = heard.lengths_of(ids), seen.lengths_of(ids)
    return SequenceGroup(pair.part, pair.owner, ids, *lengths, partial(_read_both, heard, seen, ids))


def _read_both(
    audio: SequenceFiles, video: SequenceFiles, ids: tuple[str, ...]
) -> Iterator[tuple[NDArray[Any], NDArray[Any]]]:
    with ExitStack() as stack:
        heard, seen = audio.opened(stack), video.opened(stack)
        for clip in ids:
            yield heard[clip], seen[clip]


def _sequence_files(
    folder: Traversable, split: Split, part: str, width: int, notes: list[str]
) -> dict[SplitClass, SequenceFiles]:
    """The files of a folder by class, looked through for ids and lengths."""
    found = {}
    for owner, entries in class_entries(folder, SEQUENCES, split, part, notes).items():
        ids: list[str] = []
        lengths: list[int] = []
        odd = 0
        for entry in entries:
            with opened_sequences(entry, str(entry), width) as content:
                ids += content.ids
                lengths += [len(clip) for clip in content.features]
                odd += content.odd_rates
        if len(set(ids)) < len(ids):
            raise DataError(f"{folder}: clips of class {owner.name!r} occur in more than one file")
        found[owner] = SequenceFiles(tuple(entries), tuple(ids), tuple(lengths), width, odd)
    return found
