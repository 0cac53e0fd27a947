"""Features over time on their way into the store: groups of clips whose steps are read when needed. Knows no torch."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from avbench.harness.errors import DataError
from avbench.harness.features.draft import ListedClips, NamedText
from avbench.harness.features.manifest import Steps, Timeline
from avbench.harness.features.provenance import Extraction
from avbench.harness.tracks import Track
from avbench.splits import PARTS, Split

MEAN = ".mean"
"""Ending of the name of the averaged view of a set over time, which is a feature set of its own."""
MAX_STEPS = 100_000
"""Steps of one clip: more than a day of them."""

Lengths = NDArray[np.int64]


@dataclass(frozen=True)
class SequenceGroup(ListedClips):
    """The clips of one class in one part, in ascending order of their ids.

    ``audio_lengths`` and ``visual_lengths``: (n,) steps of each. ``read`` gives the steps of one clip after the other,
    (Ta, Da) and (Tv, Dv), of any type of number.
    """

    audio_lengths: Lengths
    visual_lengths: Lengths
    read: Callable[[], Iterator[tuple[NDArray[Any], NDArray[Any]]]]


@dataclass(frozen=True)
class TemporalDraft:
    """All that the store needs to know of a set over time before it reads a step.

    As :class:`avbench.harness.features.draft.Draft`; ``audio_step`` and ``visual_step``: seconds. ``dtype``: how steps
    are to be stored.
    """

    track: Track
    split: Split
    source: str
    audio_dim: int
    visual_dim: int
    audio_step: float
    visual_step: float
    dtype: Literal["float32", "float16"]
    vectors: NDArray[np.float32]
    groups: tuple[SequenceGroup, ...]
    texts: Mapping[str, NamedText] = field(default_factory=dict)
    warnings: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    assumed: tuple[str, ...] = ()
    """What of the steps is not known for certain, in words; the manifest keeps it."""
    simulated: bool = False
    extraction: Extraction | None = None

    @property
    def counts(self) -> dict[str, int]:
        """Clips per part."""
        return {part: sum(len(g.ids) for g in self.groups if g.part == part) for part in PARTS}

    @property
    def view(self) -> Track:
        """The track of the averaged view."""
        return view_of(self.track)

    def offsets(self) -> tuple[Lengths, Lengths]:
        """(N + 1,) of audio and of visual steps."""
        return (
            offsets_of(np.concatenate([g.audio_lengths for g in self.groups])),
            offsets_of(np.concatenate([g.visual_lengths for g in self.groups])),
        )


def view_of(track: Track) -> Track:
    """The track of the averaged view of a set over time."""
    return Track(track.dataset, track.features + MEAN)


def offsets_of(lengths: Lengths) -> Lengths:
    """(N + 1,) first steps of clips of these lengths (N,), and the end."""
    found: Lengths = np.concatenate([[0], np.cumsum(lengths, dtype=np.int64)])
    return found


def timeline(offsets: tuple[Lengths, Lengths], seconds: tuple[float, float], dtype: str) -> Timeline:
    """What a manifest says of the steps of audio and vision."""
    facts = []
    for places, step in zip(offsets, seconds, strict=True):
        lengths = np.diff(places)
        facts.append(
            Steps(seconds=step, total=int(places[-1]), shortest=int(lengths.min()), longest=int(lengths.max()))
        )
    return Timeline.model_validate({"audio": facts[0], "visual": facts[1], "dtype": dtype})


def refuse_bad_offsets(offsets: NDArray[Any], clips: int, steps: int, where: str) -> None:
    """Raise :class:`DataError` for offsets that do not cut ``steps`` steps into ``clips`` clips of at least one."""
    if offsets.ndim != 1 or offsets.dtype.kind not in "iu":
        raise DataError(f"{where}: offsets are {offsets.dtype} of shape {offsets.shape}, expected a row of integers")
    if len(offsets) != clips + 1:
        raise DataError(f"{where}: {len(offsets):,} offsets; {clips:,} clips need {clips + 1:,}, with 0 and the end")
    places = offsets.astype(np.int64)
    if places[0] != 0 or places[-1] != steps:
        raise DataError(f"{where}: offsets run from {places[0]:,} to {places[-1]:,}, the values from 0 to {steps:,}")
    lengths = np.diff(places)
    if (lengths < 0).any():
        raise DataError(f"{where}: offsets do not ascend, first at clip {int((lengths < 0).argmax())}")
    if (lengths == 0).any():
        raise DataError(f"{where}: {int((lengths == 0).sum())} clips have no step, first clip {int(lengths.argmin())}")
    if lengths.max() > MAX_STEPS:
        raise DataError(f"{where}: a clip of {lengths.max():,} steps; at most {MAX_STEPS:,} are stored")
