"""The values that describe a split: its classes, their roles, and what each part must hold."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import cached_property

from avbench.splits.names import PART_ROLES, PARTS, Role, SplitError, unknown


@dataclass(frozen=True)
class SplitClass:
    """One class of the source data set, as one partition uses it.

    ``id``: 0-based rank of the name in the whole source list, by code point. ``prompt``: the text whose vector is the
    label vector. ``category``: VGGSound's own, else empty. ``videos``: clips per part (the five and stage_2_train);
    0 where the class has none, None where no public list says.
    """

    id: int
    name: str
    prompt: str
    category: str
    role: Role
    videos: Mapping[str, int | None] = field(hash=False)


@dataclass(frozen=True)
class PartFacts:
    """What a part must hold. ``digest``: see :meth:`Split.digest`; None where the video list is not public, and then
    ``videos`` is the count that the paper states."""

    part: str
    classes: int
    videos: int | None
    digest: str | None


@dataclass(frozen=True)
class Split:
    """One data set under one class partition. ``classes``: all source classes, ascending id (id = index)."""

    dataset: str
    partition: str
    classes: tuple[SplitClass, ...]
    parts: Mapping[str, PartFacts] = field(hash=False)

    @cached_property
    def fingerprint(self) -> str:
        """SHA-256 over everything that a result can depend on: names, prompts, roles, counts and digests."""
        content = {
            "dataset": self.dataset,
            "partition": self.partition,
            "classes": [[c.id, c.name, c.prompt, c.role, *(c.videos[part] for part in PARTS)] for c in self.classes],
            "parts": [[facts.part, facts.classes, facts.videos, facts.digest] for facts in self.parts.values()],
        }
        return hashlib.sha256(json.dumps(content, separators=(",", ":"), sort_keys=True).encode()).hexdigest()

    @cached_property
    def permuted_ids(self) -> tuple[int, ...]:
        """Element c is the class whose label vector class c receives under the as-published rule.

        The prompts are sorted by code point and row c of their vectors goes to class id c, although ids are ranks of
        the names: a renamed prompt shifts every row between its two ranks.
        """
        return tuple(c.id for c in sorted(self.classes, key=lambda c: c.prompt))

    def vector_owner(self, c: SplitClass) -> SplitClass:
        """The class whose label vector ``c`` receives under the as-published rule: ``c`` itself where it is right."""
        return self.classes[self.permuted_ids[c.id]]

    def classes_of(self, part: str) -> tuple[SplitClass, ...]:
        """The classes whose clips ``part`` holds, ascending id. Raises SplitError for an unknown part."""
        if part not in PART_ROLES:
            raise unknown("part", part, PART_ROLES)
        return tuple(c for c in self.classes if c.role in PART_ROLES[part])

    def find(self, name: str) -> SplitClass:
        """The class of that name: UCF and ActivityNet in any case, VGGSound exactly. Raises SplitError if unknown."""
        found = self._by_name.get(self._key(name))
        if found is None:
            raise unknown(f"{self.dataset} class", name, (c.name for c in self.classes), show_all=False)
        return found

    def digest(self, rows: Iterable[tuple[str, str]]) -> str:
        """SHA-256 of a video list of (video id, class name) rows, in any order.

        Hashed is the UTF-8 text of the lines ``id TAB name``, sorted by code point and joined by line feeds, with none
        at the end; names are spelt as in the source list, however the rows spell them. Raises SplitError for an
        unknown class name or a video id with a tab or line break.
        """
        lines = []
        for video, name in rows:
            if set("\t\r\n").intersection(video):
                raise SplitError(f"video id {video!r} of class {name!r} holds a tab or line break")
            lines.append(f"{video}\t{self.find(name).name}")
        return hashlib.sha256("\n".join(sorted(lines)).encode()).hexdigest()

    @cached_property
    def _by_name(self) -> dict[str, SplitClass]:
        return {self._key(c.name): c for c in self.classes}

    def _key(self, name: str) -> str:
        return name if self.dataset == "vggsound" else name.lower()
