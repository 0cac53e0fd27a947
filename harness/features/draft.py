"""A feature set on its way into the store: groups of clips, compared with the split. Knows no torch."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from avbench.harness.errors import DataError
from avbench.harness.features.provenance import Extraction
from avbench.harness.printable import printable
from avbench.harness.tracks import Track
from avbench.splits import PARTS, Split, SplitClass, SplitError

NORM_TOLERANCE = 1e-3
"""Label vectors have unit norm (guide: How a number is made, "Conventions") up to this."""

Report = Callable[[str, int, int], None]
"""Called with what is being done, how much of it is done and how much there is."""


def silent(_what: str, _done: int, _total: int) -> None:
    """A report to nobody."""


@dataclass(frozen=True)
class ListedClips:
    """The ids of the clips of one class in one part."""

    part: str
    owner: SplitClass
    ids: tuple[str, ...]


@dataclass(frozen=True)
class ClipGroup(ListedClips):
    """The clips of one class in one part, in ascending order of their ids.

    ``read`` gives their audio (n, Da) and visual (n, Dv) features in that order when they are needed.
    """

    read: Callable[[], tuple[NDArray[np.float32], NDArray[np.float32]]]


@dataclass(frozen=True)
class NamedText:
    """One of several text vectors of the classes, (source classes, Dk) float32; NaN rows: not known."""

    vectors: NDArray[np.float32]
    unit: bool
    """Scaled to unit norm; otherwise as they were given."""


@dataclass(frozen=True)
class Draft:
    """All that the store needs to know of a feature set before it reads a feature.

    ``vectors``: (source classes, Dt) float32, row = class id, unit norm; NaN rows: not known. ``groups``: ordered by
    part, then class id. ``simulated``: made up. ``warnings``: allowed differences from the split. ``notes``: worth
    telling, no defect. ``texts``: named text vectors, where there are several kinds.
    """

    track: Track
    split: Split
    source: str
    audio_dim: int
    visual_dim: int
    vectors: NDArray[np.float32]
    groups: tuple[ClipGroup, ...]
    warnings: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    simulated: bool = False
    texts: Mapping[str, NamedText] = field(default_factory=dict)
    extraction: Extraction | None = None
    """How the features were made, where avbench made them from videos."""

    @property
    def counts(self) -> dict[str, int]:
        """Clips per part."""
        return {part: sum(len(g.ids) for g in self.groups if g.part == part) for part in PARTS}


ID_FORMS = {
    "ucf": "as the file's name without its ending, such as v_Archery_g01_c01",
    "activitynet": "YOUTUBEID_N, with N = 0, 1, ... for the segments of the video",
    "vggsound": "YOUTUBEID_SSSSSS, with the second at which the clip starts in six digits",
}
"""How the ids are written that the splits' digests were made of."""


def differences(split: Split, groups: Sequence[ListedClips], what: object) -> list[str]:
    """How the clips differ from the split, one sentence each; empty when every count and digest is right.

    Raises :class:`DataError`, naming ``what``, for an id that is twice in one part, which nothing can forgive.
    """
    problems = []
    first: dict[str, str] = {}
    shared: Counter[str] = Counter()
    for part in PARTS:
        members = [g for g in groups if g.part == part]
        ids = [video for g in members for video in g.ids]
        if repeated := [video for video, count in Counter(ids).items() if count > 1]:
            raise DataError(f"{what}: {part}: {len(repeated):,} clip ids occur more than once ({sample(repeated)})")
        problems += _part_differences(split, part, members)
        shared.update(f"{first[video]} and {part}" for video in ids if video in first)
        first.update((video, part) for video in ids if video not in first)
    return problems + [f"{count:,} clips are in both {pair}" for pair, count in shared.items()]


def _part_differences(split: Split, part: str, groups: Sequence[ListedClips]) -> list[str]:
    """The first of these that is wrong: the number of clips, the clips per class, the ids."""
    facts = split.parts[part]
    found = {g.owner.id: len(g.ids) for g in groups}
    if miscounted := count_difference(split, part, found):
        return [miscounted]
    total = sum(found.values())
    if facts.digest is not None and (own := digest(split, groups)) != facts.digest:
        ids = sample([video for g in groups for video in g.ids], 1)
        return [
            f"{part}: the ids of the {total:,} clips are not those of the split (digest {own[:12]}, "
            f"the split has {facts.digest[:12]}; one of the ids is {ids}; they are written "
            f"{ID_FORMS[split.dataset]})"
        ]
    return []


def count_difference(split: Split, part: str, found: Mapping[int, int]) -> str | None:
    """How the clips per class id of a part differ from the split in number, in one sentence; None where they do not."""
    facts, total = split.parts[part], sum(found.values())
    classes = [
        f"{c.name} {found.get(c.id, 0)} of {'some' if wanted is None else wanted}"
        for c in split.classes_of(part)
        if (found.get(c.id, 0) == 0 if (wanted := c.videos[part]) is None else found.get(c.id, 0) != wanted)
    ]
    where = f" (clips of {len(classes)} classes: {sample(classes)})" if classes else ""
    if facts.videos is not None and total != facts.videos:
        gap = facts.videos - total
        amount = f"{abs(gap):,} too {'few' if gap > 0 else 'many'}"
        return f"{part}: {total:,} clips, the split has {facts.videos:,}, so {amount}{where}"
    return f"{part}: the clips per class differ from the split{where}" if classes else None


def digest(split: Split, groups: Iterable[ListedClips]) -> str:
    """The digest of these clips (:meth:`Split.digest`). Raises :class:`DataError` for an impossible id."""
    try:
        return split.digest((video, g.owner.name) for g in groups for video in g.ids)
    except SplitError as error:
        raise DataError(str(error)) from None


def forgiven(problems: Sequence[str], *, allow_missing: bool, what: object) -> tuple[str, ...]:
    """The problems as warnings where missing data are allowed; otherwise :class:`DataError` if there are any."""
    if problems and not allow_missing:
        shown = "".join(f"\n  {problem}" for problem in problems[:20])
        more = f"\n  ... and {len(problems) - 20} more" if len(problems) > 20 else ""
        raise DataError(
            f"{what}: not the features that the split describes:{shown}{more}\n"
            "Nothing was stored. --allow-missing imports them as they are; the warnings stay in every record."
        )
    return tuple(problems)


def unit_vectors_checked(vectors: NDArray[np.float32], split: Split, where: str) -> None:
    """Refuse label vectors (source classes, Dt) of which a used class has none, or that have no unit norm."""
    known = np.flatnonzero(np.isfinite(vectors).all(axis=1))
    lacking = [c.name for c in split.classes if c.role != "unused" and c.id not in known]
    if lacking:
        raise DataError(f"{where}: no finite label vector for {len(lacking)} used classes ({sample(lacking)})")
    far = known[np.abs(np.linalg.norm(vectors[known], axis=1) - 1) > NORM_TOLERANCE]
    if len(far):
        named = sample([split.classes[c].name for c in far])
        raise DataError(f"{where}: {len(far)} label vectors are not of unit norm ({named})")


def sample(names: Sequence[str], most: int = 5) -> str:
    """The first few of some names, fit to print."""
    shown = ", ".join(printable(name, 60) for name in names[:most])
    return f"{shown}, ..." if len(names) > most else shown
