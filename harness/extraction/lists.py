"""The clips of a data set, from the public class-split folder, verified like an import. Knows no torch."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path

from avbench.harness.errors import DataError
from avbench.harness.features.archive_lists import columns, refuse_other_prompts, spelling
from avbench.harness.features.draft import ListedClips, sample
from avbench.splits import ARCHIVE_NAMES, PARTS, Split, SplitClass

FOLDERS = ("class-split", "class_split")
MAX_TABLE_BYTES = 2**20
MAX_ID = 100


def read_lists(folder: Path, split: Split) -> tuple[ListedClips, ...]:
    """The clips by part and class, ascending ids, in the order of parts and class ids.

    ``folder``: the ``class-split`` folder, or the data set's folder that holds it. Clips of classes that the partition
    removes are left out. Raises :class:`DataError` for lists that are missing or broken, for classes or prompts that
    are not the split's, and for impossible ids. What is too few or too many is not judged here.
    """
    place = next((folder / name for name in FOLDERS if (folder / name).is_dir()), folder)
    lists = place / f"{split.partition}_split"
    if not lists.is_dir():
        raise DataError(f"{folder}: no class-split folder: it has no folder {lists.name!r}")
    refuse_other_prompts(split, sorted(place.glob("*_w2v_class_names.csv")))
    return tuple(clips for part in PARTS for clips in _part(lists, split, part))


def _part(lists: Path, split: Split, part: str) -> Sequence[ListedClips]:
    table, names = (lists / f"{ARCHIVE_NAMES[part]}.{suffix}" for suffix in ("csv", "txt"))
    members = {spelling(split, c.name): c for c in split.classes_of(part)}
    _refuse_other_classes(names, split, part)
    found: dict[SplitClass, list[str]] = defaultdict(list)
    for video, label in columns(table, "filename", "label", "a list of videos"):
        if owner := members.get(spelling(split, label)):
            if not video.isprintable() or not 0 < len(video) <= MAX_ID or set("/\\").intersection(video):
                raise DataError(f"{table}: a clip id that cannot be: {sample([video])}")
            found[owner].append(video)
    ordered = sorted(found.items(), key=lambda item: item[0].id)
    return [ListedClips(part, owner, tuple(sorted(videos))) for owner, videos in ordered]


def _refuse_other_classes(table: Path, split: Split, part: str) -> None:
    """A list of class names, where there is one, must be the split's."""
    if not table.exists():
        return
    try:
        if table.stat().st_size > MAX_TABLE_BYTES:
            raise ValueError(f"larger than {MAX_TABLE_BYTES:,} bytes")
        lines = table.read_text("utf-8-sig").splitlines()
    except (OSError, ValueError) as error:
        raise DataError(f"{table}: not a list of class names ({error})") from None
    told = {spelling(split, line.strip()) for line in lines if line.strip()}
    known = {spelling(split, c.name) for c in split.classes_of(part)}
    if told != known:
        other = sample(sorted(told ^ known))
        raise DataError(f"{table}: not the classes of {split.dataset}/{split.partition}, {part} ({other})")
