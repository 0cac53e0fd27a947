"""Where the video of each clip lies: the layouts in which the three data sets are kept, or a table. Knows no torch.

Nothing outside the given folder is ever named: links are passed over, ids are looked up and never become paths.
"""

from __future__ import annotations

import csv
import io
import os
import re
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from avbench.harness.errors import DataError
from avbench.harness.extraction.container import MAX_SECONDS
from avbench.harness.features.draft import ListedClips, sample

SUFFIXES = (".avi", ".mp4", ".mkv", ".webm", ".mov", ".m4v", ".mpg", ".mpeg", ".ts", ".flv", ".wmv", ".ogv")
DEPTH = 3
"""Folders that videos may lie below the top."""
COLUMNS = ("id", "path", "start", "end")
"""Of a table. Others are refused: the spans in a column of another name would be whole films without a word."""
MAX_ENTRIES = 2_000_000
MAX_TABLE_BYTES = 64 * 2**20
START = re.compile(r"(.+)_0*(\d+)")


@dataclass(frozen=True)
class Place:
    """A video, or the seconds of it that are a clip. ``path`` lies in the given folder and is no link."""

    path: Path
    start: float = 0.0
    end: float = float(MAX_SECONDS)


@dataclass(frozen=True)
class Places:
    """The video of each clip that has one. ``links``: how many links were passed over."""

    found: Mapping[str, Place]
    links: int = 0


def find_videos(where: Path, dataset: str, clips: Iterable[ListedClips]) -> Places:
    """The videos below a folder, or those that a CSV with the columns id, path [, start, end] names.

    Names in a folder: the clip's id, for UCF in any case; with ``v_`` before it for ActivityNet; with the start in
    seconds padded by zeros or not, and the end after it or not, for VGGSound. Of two files of one name that in the
    folder of the clip's class is taken. Raises :class:`DataError` for what cannot be decided or read.
    """
    wanted = [(video, group.owner.name) for group in clips for video in group.ids]
    if where.is_file():
        return Places(_table(where, {video for video, _ in wanted}))
    if not where.is_dir():
        raise DataError(f"{where}: there is no such folder of videos, and no such table")
    links, names = 0, defaultdict(list)
    for path in _files(where.resolve(), DEPTH):
        if path is None:
            links += 1
        else:
            names[_key(dataset, path.stem)].append(path)
    found = {}
    for video, owner in wanted:
        if paths := _candidates(names, dataset, video):
            found[video] = Place(_only(paths, owner, video))
    return Places(found, links)


def _candidates(names: Mapping[str, list[Path]], dataset: str, video: str) -> list[Path]:
    keys = [_key(dataset, video)]
    if dataset == "activitynet":
        keys.append(_key(dataset, f"v_{video}"))
    return next((names[key] for key in keys if key in names), [])


def _key(dataset: str, stem: str) -> str:
    """What the names of a clip have in common."""
    if dataset == "ucf":
        return stem.lower()
    if dataset == "vggsound" and (name := START.fullmatch(stem)):
        before = START.fullmatch(name[1])  # <id>_<start>_<end>: clips have 10 s
        if before and len(before[1]) == YOUTUBE_ID and int(name[2]) == int(before[2]) + 10:
            return f"{before[1]}_{before[2]}"
        return f"{name[1]}_{name[2]}"
    return stem


YOUTUBE_ID = 11
"""Characters of a name on YouTube."""


def _only(paths: list[Path], owner: str, video: str) -> Path:
    if len(paths) == 1:
        return paths[0]
    own = [path for path in paths if path.parent.name.lower() == owner.lower()]
    if len(own) != 1:
        raise DataError(f"clip {video}: {len(paths)} files have its name ({sample([str(p) for p in paths])}); keep one")
    return own[0]


def _files(folder: Path, depth: int) -> Iterator[Path | None]:
    """The videos in a folder and below it; None for a link."""
    seen = 0
    waiting = [(folder, 0)]
    while waiting:
        here, level = waiting.pop()
        try:
            entries = sorted(os.scandir(here), key=lambda e: e.name)
        except OSError as error:
            raise DataError(f"{here}: cannot be searched ({error.strerror})") from None
        for entry in entries:
            seen += 1
            if seen > MAX_ENTRIES:
                raise DataError(f"{folder}: more than {MAX_ENTRIES:,} files; name the folder of the videos")
            if entry.is_symlink():
                yield None
            elif entry.is_dir(follow_symlinks=False):
                if level < depth:
                    waiting.append((here / entry.name, level + 1))
            elif entry.name.lower().endswith(SUFFIXES) and entry.is_file(follow_symlinks=False):
                yield here / entry.name


def _table(table: Path, wanted: set[str]) -> dict[str, Place]:
    """Places by id, of the wanted clips. Paths are relative to the table's folder."""
    found: dict[str, Place] = {}
    named: set[str] = set()
    folder = table.parent.resolve()
    try:
        if table.stat().st_size > MAX_TABLE_BYTES:
            raise ValueError(f"larger than {MAX_TABLE_BYTES:,} bytes")
        rows = csv.DictReader(io.StringIO(table.read_bytes().decode("utf-8-sig"), newline=""))
        if not {"id", "path"} <= set(rows.fieldnames or ()):
            raise ValueError("needs the columns id and path")
        if strange := [name for name in rows.fieldnames or () if name not in COLUMNS]:
            raise ValueError(f"has the column {sample(strange)}, but may have {', '.join(COLUMNS)} alone")
        for row in rows:
            where = f"{table}, line {rows.line_num}"
            if None in row:
                raise DataError(f"{where}: has more cells than the table has columns")
            video = (row["id"] or "").strip()
            if video not in wanted:
                continue
            if video in named:
                raise DataError(f"{where}: clip {video} occurs twice")
            named.add(video)
            start, end = _seconds(row.get("start"), 0.0, where), _seconds(row.get("end"), float(MAX_SECONDS), where)
            if start >= end:
                raise DataError(f"{where}: clip {video} ends before it starts")
            place = Place(_inside(folder, (row["path"] or "").strip(), where), start, end)
            if place.path.exists():  # what is not there is missing, like a clip without a row
                found[video] = place
    except (OSError, ValueError, csv.Error) as error:
        raise DataError(f"{table}: not a table of videos ({error})") from None
    return found


def _inside(folder: Path, text: str, where: str) -> Path:
    """A path below the folder. Raises :class:`DataError` for one that leads out of it, also through a link."""
    if not text or "\0" in text or PurePosixPath(text).is_absolute() or ".." in PurePosixPath(text).parts:
        raise DataError(f"{where}: the path {sample([text])!r} leads out of {folder}; paths are relative to the table")
    path = folder / text
    if path.resolve() != path:
        raise DataError(f"{where}: {sample([text])} is a link, or leads through one; links are not followed")
    return path


def _seconds(text: str | None, default: float, where: str) -> float:
    if not (text or "").strip():
        return default
    try:
        seconds = float(text or "")
    except ValueError:
        seconds = -1.0
    if not 0 <= seconds <= MAX_SECONDS:
        raise DataError(f"{where}: {sample([text or ''])} is no time in seconds from 0 to {MAX_SECONDS:,}")
    return seconds
