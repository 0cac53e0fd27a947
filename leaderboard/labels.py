"""Names for the rows of boards: every row has one that is unique on its board, as short as that allows."""

from __future__ import annotations

import hashlib
import json
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from avbench.harness.printable import printable
from avbench.leaderboard.claims import method_key

ALIKE = 60
"""Characters in which names must differ, or they are told by what differs instead."""
LABEL_LIMIT = 240
"""Characters of a label, at most. Only a stranger's are longer."""
NO_VALUE = "preset"
"""Stands for an option that a row leaves as it is and another one changes."""

Line = Mapping[str, Any]
"""A row of :func:`avbench.leaderboard.frame.rows_frame`."""


@dataclass
class _Named:
    """A row and what its label says so far."""

    line: Line
    changes: dict[str, str]
    version: str = ""
    tags: list[str] = field(default_factory=list)

    @property
    def begins(self) -> str:
        """What a reader sees at a glance, and what tells the row from others that begin so."""
        return printable(self.name, ALIKE) + self.tagged

    @property
    def label(self) -> str:
        return cut(printable(self.name + self.tagged, 10 * LABEL_LIMIT), LABEL_LIMIT)

    @property
    def tagged(self) -> str:
        return "".join(f" [{tag}]" for tag in self.tags)

    @property
    def name(self) -> str:
        name, _, package = method_key(self.line["method"], self.line["distribution"]).partition("~")
        head = " ".join(filter(None, (name, package and f"of {package}", self.version)))
        changes = (f"{option}={value}" if value else option for option, value in self.changes.items())
        what = ", ".join(filter(None, (self.line["variant"], *changes)))
        return f"{head} ({what})" if what else head

    def of(self, columns: Iterable[str]) -> tuple[Any, ...]:
        return tuple(self.line[name] for name in columns)


def labels(lines: Iterable[Line], board: Sequence[str], series: Sequence[str]) -> list[str]:
    """A name for each row: the method and what was changed; where that leaves rows alike, then the version, the code,
    and instead of all changes those that differ, each only where it is needed. Nothing is cut, but for names that no
    reader would read to the end; those end with a hash of the whole.

    ``board``: columns that rows of one board share. ``series``: columns that are equal for rows of different tracks
    which are the same thing; those get the same name. One printable line each, of at most :data:`LABEL_LIMIT`.
    """
    named = [_Named(line, {**parse_changes(line["changes"]), **parse_changes(line["numerics"])}) for line in lines]
    everywhere = [name for name in board if name != "dataset"]
    for members in _groups(named, board, ["feature_hash"], with_text=False):
        _tag(members, "features", "feature_hash")
    for members in _groups(named, everywhere, series):
        if _differ(members, "version"):
            for row in members:
                row.version = row.line["version"]
    for members in _groups(named, everywhere, series):
        if _differ(members, "source_hash"):
            _tag(members, "code", "source_hash")
    for members in _groups(named, everywhere, series):
        _keep_differing(members)
    for members in _groups(named, everywhere, series):
        for row in members:
            row.tags.append(f"row {_digest(*row.of(series))}")
    for members in _groups(named, board, ["group"]):
        _tag(members, "row", "group")
    return [row.label for row in named]


def cut(label: str, limit: int) -> str:
    """A label, or its beginning and a hash of the whole: two that differ still do."""
    return label if len(label) <= limit else f"{label[: limit - 14]}... [{_digest(label)}]"


def parse_changes(text: str) -> dict[str, str]:
    """``name=JSON, name=JSON`` as names and texts of values; other text is a name without a value."""
    found: dict[str, str] = {}
    rest = text
    while rest:
        name, equals, behind = rest.partition("=")
        try:
            _, end = json.JSONDecoder().raw_decode(behind)
        except ValueError:  # a bare word, such as precision=tf32
            end = behind.index(", ") if ", " in behind else len(behind)
        found[name] = behind[:end] if equals else ""
        rest = behind[end:].removeprefix(", ") if equals else ""
    return found


def _groups(
    named: Iterable[_Named], place: Sequence[str], telling: Sequence[str], with_text: bool = True
) -> list[list[_Named]]:
    """Rows of one place, and of one label, that differ in the telling columns."""
    found: dict[tuple[Any, ...], list[_Named]] = defaultdict(list)
    for row in named:
        found[(*row.of(place), row.begins if with_text else "")].append(row)
    return [members for members in found.values() if len({row.of(telling) for row in members}) > 1]


def _differ(members: Iterable[_Named], column: str) -> bool:
    return len({row.line[column] for row in members}) > 1


def _tag(members: Iterable[_Named], what: str, column: str) -> None:
    for row in members:
        row.tags.append(f"{what} {row.line[column][:8]}")


def _keep_differing(members: Sequence[_Named]) -> None:
    """Of the changes keep those in which these rows differ."""
    names = dict.fromkeys(name for row in members for name in row.changes)
    differing = [name for name in names if len({row.changes.get(name) for row in members}) > 1]
    for row in members:
        row.changes = {name: row.changes.get(name, NO_VALUE) for name in differing}


def _digest(*parts: Any) -> str:
    return hashlib.sha256("\0".join(map(str, parts)).encode()).hexdigest()[:8]
