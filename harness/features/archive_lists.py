"""The archive's own class and video lists: evidence that prompts and clips are held against. Knows no torch."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Sequence
from importlib.resources.abc import Traversable

from avbench.harness.errors import DataError
from avbench.harness.features.archive_files import READ_ERRORS, reading
from avbench.harness.features.draft import ListedClips, digest, sample
from avbench.splits import ARCHIVE_NAMES, Split

MAX_LIST_BYTES = 64 * 2**20
"""The longest genuine list, VGGSound's training clips, has about 5 MB."""


def spelling(split: Split, text: str) -> str:
    """A class name or prompt as it is compared: in any case for UCF and ActivityNet, exactly for VGGSound."""
    return text if split.dataset == "vggsound" else text.lower()


def refuse_other_prompts(split: Split, tables: Iterable[Traversable]) -> None:
    """The mapping tables of an archive must pair the classes with the split's prompts."""
    for table in tables:
        prompts = dict(columns(table, "original", "manual", "the table of class names and prompts"))
        names = {spelling(split, c.name): c for c in split.classes}
        if strange := [name for name in prompts if spelling(split, name) not in names]:
            raise DataError(f"{table}: {len(strange)} classes that the data set does not have ({sample(strange)})")
        pairs = [(names[spelling(split, name)], prompt) for name, prompt in prompts.items()]
        other = [
            f"{c.name}: {prompt!r}, not {c.prompt!r}"
            for c, prompt in pairs
            if spelling(split, prompt) != spelling(split, c.prompt)
        ]
        if other:
            raise DataError(f"{table}: other prompts than the split's for {len(other)} classes ({sample(other)})")


def list_differences(split: Split, part: str, groups: Sequence[ListedClips], lists: Traversable) -> list[str]:
    """How the clips of a part differ from the archive's own list of videos: at most one sentence.

    Nothing where the split's digest confirms the clips. A list is believed when it has that digest itself, or when the
    split has none (VGGSound's training clips).
    """
    known = split.parts[part].digest
    if known is not None and digest(split, groups) == known:
        return []
    table = lists / f"{split.partition}_split" / f"{ARCHIVE_NAMES[part]}.csv"
    if not table.is_file():
        return []
    members = {spelling(split, c.name): c.name for c in split.classes_of(part)}
    rows = [
        (video, members[spelling(split, label)])
        for video, label in columns(table, "filename", "label", "a list of videos")
        if spelling(split, label) in members
    ]
    if known not in (None, split.digest(rows)):
        return []
    found = {(video, g.owner.name) for g in groups for video in g.ids}
    texts = [
        f"{len(clips):,} clips {text} ({sample(sorted(video for video, _ in clips))})"
        for text, clips in (("are missing", set(rows) - found), ("are not in it", found - set(rows)))
        if clips
    ]
    return [f"{part}: against the archive's own list of videos, {' and '.join(texts)}"] if texts else []


def columns(table: Traversable, first: str, second: str, what: str) -> list[tuple[str, str]]:
    """Two columns of a CSV file, row by row; white space is made plain."""
    try:
        with reading(table) as stream:
            content = stream.read(MAX_LIST_BYTES + 1)
        if len(content) > MAX_LIST_BYTES:
            raise ValueError(f"larger than {MAX_LIST_BYTES:,} bytes")
        rows = csv.DictReader(io.StringIO(content.decode("utf-8-sig"), newline=""))
        return [(" ".join(row[first].split()), " ".join(row[second].split())) for row in rows]
    except (*READ_ERRORS, csv.Error, AttributeError) as error:
        raise DataError(f"{table}: not {what} ({error})") from None
