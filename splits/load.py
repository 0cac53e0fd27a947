"""Read the shipped split data and refuse anything that contradicts itself.

``data/<data set>.csv`` has one row per source class: id, name, prompt, category, its role in each partition and its
clips per part. The partitions differ only in which classes they use, so the clips stand once. ``data/parts.csv`` has
classes, clips and digest of every part. ``?`` stands for what no public list says.
"""

from __future__ import annotations

import csv
import io
from functools import cache
from importlib import resources
from typing import NoReturn, cast, get_args

from avbench.splits.definition import PartFacts, Split, SplitClass
from avbench.splits.names import DATASETS, PART_ROLES, PARTITIONS, PARTS, STAGE_2_TRAIN, Role, SplitError, unknown

CLASS_COLUMNS = ("id", "name", "prompt", "category", *PARTITIONS, *PARTS)
PART_COLUMNS = ("dataset", "partition", "part", "classes", "videos", "digest")
UNKNOWN = "?"


@cache
def load_split(dataset: str, partition: str) -> Split:
    """The definition of ``dataset`` under class partition ``main`` or ``cls``. Raises SplitError for unknown names."""
    if dataset not in DATASETS:
        raise unknown("data set", dataset, DATASETS)
    if partition not in PARTITIONS:
        raise unknown("class partition", partition, PARTITIONS)
    split = Split(dataset, partition, _read_classes(dataset, partition), _read_parts(dataset, partition))
    _check_classes(split)
    _check_parts(split)
    return split


def _read_classes(dataset: str, partition: str) -> tuple[SplitClass, ...]:
    return tuple(_read_class(row, partition) for row in _read_rows(f"{dataset}.csv", CLASS_COLUMNS))


def _read_class(row: dict[str, str], partition: str) -> SplitClass:
    if row[partition] not in get_args(Role):
        raise unknown("role", row[partition], get_args(Role))
    role = cast(Role, row[partition])
    # A class that this partition leaves out keeps its clips in the other one.
    videos = {part: _count(row[part]) if role != "unused" else 0 for part in PARTS}
    videos[STAGE_2_TRAIN] = _stage_2_train(videos)
    return SplitClass(_integer(row["id"]), row["name"], row["prompt"], row["category"], role, videos)


def _read_parts(dataset: str, partition: str) -> dict[str, PartFacts]:
    rows = [r for r in _read_rows("parts.csv", PART_COLUMNS) if (r["dataset"], r["partition"]) == (dataset, partition)]
    return {
        row["part"]: PartFacts(
            row["part"],
            _integer(row["classes"]),
            _count(row["videos"]),
            None if row["digest"] == UNKNOWN else row["digest"],
        )
        for row in rows
    }


def _read_rows(file: str, columns: tuple[str, ...]) -> list[dict[str, str]]:
    text = (resources.files("avbench.splits") / "data" / file).read_text(encoding="utf-8")
    reader = csv.DictReader(io.StringIO(text))
    if tuple(reader.fieldnames or ()) != columns:
        raise SplitError(f"{file}: the columns are {reader.fieldnames}, not {list(columns)}; reinstall avbench")
    rows = list(reader)
    for number, row in enumerate(rows, start=2):
        if None in row or None in row.values():
            raise SplitError(f"{file}, line {number}: not {len(columns)} fields; reinstall avbench")
    return rows


def _count(text: str) -> int | None:
    return None if text == UNKNOWN else _integer(text)


def _integer(text: str) -> int:
    if not text.isdecimal():
        raise SplitError(f"split data: {text!r} is not a number; reinstall avbench")
    return int(text)


def _stage_2_train(videos: dict[str, int | None]) -> int | None:
    return _total([videos[part] for part in ("train", "val_seen", "val_unseen")])


def _total(counts: list[int | None]) -> int | None:
    return None if None in counts else sum(count for count in counts if count is not None)


def _check_classes(split: Split) -> None:
    names = [c.name for c in split.classes]
    if [c.id for c in split.classes] != list(range(len(names))) or names != sorted(names):
        _refuse(split, "class ids are not the ranks of the names by code point")
    for kind, values in (
        ("name", [split.find(name).id for name in names]),
        ("prompt", [c.prompt for c in split.classes]),
    ):
        if len(set(values)) < len(values):
            _refuse(split, f"two classes share a {kind}")
    for c in split.classes:
        for part, roles in PART_ROLES.items():
            count = c.videos[part]
            if (count != 0) != (c.role in roles):
                _refuse(split, f"class {c.name!r} has the role {c.role} but {count} clips in {part}")


def _check_parts(split: Split) -> None:
    if tuple(split.parts) != tuple(PART_ROLES):
        _refuse(split, f"the parts are {list(split.parts)}, not {list(PART_ROLES)}")
    for part, facts in split.parts.items():
        classes = split.classes_of(part)
        if facts.classes != len(classes):
            _refuse(split, f"{part} states {facts.classes} classes, the class list has {len(classes)}")
        total = _total([c.videos[part] for c in classes])
        if total not in (None, facts.videos):
            _refuse(split, f"the clips of the classes of {part} do not add up to {facts.videos}")
        if facts.digest is not None and (len(facts.digest) != 64 or set(facts.digest) - set("0123456789abcdef")):
            _refuse(split, f"the digest of {part} is not a SHA-256")
    if split.parts[STAGE_2_TRAIN].videos != _stage_2_train({part: f.videos for part, f in split.parts.items()}):
        _refuse(split, "stage-2 training data are not train, val_seen and val_unseen together")


def _refuse(split: Split, reason: str) -> NoReturn:
    raise SplitError(f"split {split.dataset}/{split.partition}: {reason}; reinstall avbench")
