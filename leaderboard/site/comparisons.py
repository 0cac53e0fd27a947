"""What the page that compares two rows shows: numbers with their differences, recalls per class, options that differ.

Rows are compared on one content of a track's features, under whatever protocol: their test clips are the same.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from avbench.harness.records.record import canonical_json
from avbench.harness.records.verification import find_split
from avbench.leaderboard.claims import PRINTED, Metric
from avbench.leaderboard.pairs import Pairs, all_pairs
from avbench.leaderboard.ranking import RankedRow, in_conflict, recalls_of
from avbench.leaderboard.recalls import Doubles, Recalls
from avbench.leaderboard.site.gate import Gate
from avbench.leaderboard.site.links import row_key
from avbench.leaderboard.site.model import RankedBoard, Site
from avbench.leaderboard.statistics import Difference, Interval

NOT_SET = "\N{EN DASH}"
"""Stands for an option that one of two methods does not have."""


@dataclass(frozen=True, eq=False)
class Candidate:
    """A row that may be compared."""

    board: RankedBoard
    ranked: RankedRow
    recalls: Recalls

    @property
    def key(self) -> str:
        return row_key(self.ranked.row)

    @property
    def options(self) -> Mapping[str, str]:
        """All that decides its runs but the seed, as JSON."""
        c = self.ranked.row.first.configuration
        told = {"protocol": f"{c.protocol.name} v{c.protocol.version}", "method": f"{c.method} {c.plugin.version}"}
        settings = {**c.options, **c.numerics.changed}
        return {**told, **{name: canonical_json(value) for name, value in sorted(settings.items())}}

    @cached_property
    def per_class(self) -> tuple[Doubles, Doubles]:
        """Mean over seeds, in percent, seen classes first: over all classes, and, of unseen ones, over those alone."""
        joint = np.concatenate([self.recalls.seen.mean(axis=0), self.recalls.unseen.mean(axis=0)])
        return joint, self.recalls.zero_shot.mean(axis=0)


@dataclass(frozen=True)
class ClassLine:
    """A class in the comparison of two rows, in percent; ``zero_shot`` of unseen classes only."""

    name: str
    seen: bool
    recalls: tuple[float, float]
    zero_shot: tuple[float, float] | None


@dataclass(frozen=True, eq=False)
class Comparable:
    """Rows on the same test clips, the best of each protocol first."""

    feature_hash: str
    candidates: tuple[Candidate, ...]
    seen: tuple[str, ...]
    """Names of the seen classes, in the order of the recalls."""
    unseen: tuple[str, ...]
    pairs: Mapping[Metric, Pairs]

    @property
    def key(self) -> str:
        """Names it, and the file of its classes."""
        return f"classes-{self.feature_hash[:12]}-{len(self.seen)}-{len(self.unseen)}"

    @property
    def first_pair(self) -> tuple[int, int]:
        """Places of the pair that is shown at first: the best two that can be tested, or the best two."""
        enough = [place for place, candidate in enumerate(self.candidates) if candidate.recalls.enough]
        return (enough[0], enough[1]) if len(enough) > 1 else (0, 1)

    def difference(self, first: int, second: int, metric: Metric) -> Difference:
        """Second minus first, as :func:`avbench.leaderboard.statistics.compare` gives it."""
        one, other = (self.candidates[place].ranked.row.metrics[metric].mean for place in (first, second))
        half, p = (float(x[first, second]) for x in (self.pairs[metric].half_widths, self.pairs[metric].p))
        points = other - one
        return (
            Difference(points, None, None)
            if np.isnan(p)
            else Difference(points, Interval(points - half, points + half), p)
        )

    def class_lines(self, first: int, second: int) -> Iterator[ClassLine]:
        one, other = (self.candidates[place].per_class for place in (first, second))
        for place, name in enumerate((*self.seen, *self.unseen)):
            alone = place - len(self.seen)
            zero_shot = (float(one[1][alone]), float(other[1][alone])) if alone >= 0 else None
            yield ClassLine(name, alone < 0, (float(one[0][place]), float(other[0][place])), zero_shot)

    def differing_options(self, first: int, second: int) -> list[tuple[str, str, str]]:
        """Name and both values of what is not the same."""
        one, other = (self.candidates[place].options for place in (first, second))
        names = dict.fromkeys([*one, *other])
        return [(n, one.get(n, NOT_SET), other.get(n, NOT_SET)) for n in names if one.get(n) != other.get(n)]

    def row_data(self, place: int) -> dict[str, Any]:
        """All that the script needs of one row: its numbers, and the tests against the rows after it."""
        candidate = self.candidates[place]
        row, joint = candidate.ranked.row, candidate.per_class
        return {
            "key": candidate.key,
            "classes": self.key,
            "numbers": [[row.metrics[m].mean, row.metrics[m].deviation] for m in PRINTED],
            "recalls": [_rounded(part) for part in joint],
            "options": candidate.options,
            "tests": {
                self.candidates[later].key: tests
                for later in range(place + 1, len(self.candidates))
                if (tests := self._tests(place, later))
            },
        }

    def _tests(self, first: int, second: int) -> list[list[float]] | None:
        found = [(self.pairs[m].half_widths[first, second], self.pairs[m].p[first, second]) for m in PRINTED]
        if any(np.isnan(p) for _, p in found):
            return None
        return [[round(float(half), 4), float(f"{p:.3g}")] for half, p in found]


def comparables(site: Site, boards: Iterable[RankedBoard]) -> tuple[Comparable, ...]:
    """The rows of boards of one track, by what may be compared. Most rows first. Rows that nothing may be tested with,
    for their runs may be on other clips, are left out."""
    found: dict[tuple[Any, ...], list[Candidate]] = defaultdict(list)
    for board in boards:
        for group in board.groups:
            for ranked in group.rows:
                if in_conflict(ranked.row):
                    continue
                recalls = recalls_of(ranked.row, lambda record: site.gate.recalls[record.identity])
                content = group.features.feature_hash, site.gate.classes[ranked.row.first.identity]
                found[content].append(Candidate(board, ranked, recalls))
    made = [_comparable(content, candidates, site.gate) for content, candidates in found.items()]
    return tuple(sorted(made, key=lambda one: (-len(one.candidates), one.key)))


def _comparable(content: tuple[Any, ...], candidates: Sequence[Candidate], gate: Gate) -> Comparable:
    feature_hash, (seen, unseen) = content
    split = find_split(candidates[0].ranked.row.first)
    assert split is not None, "the gate lets no record through whose split is not known"
    return Comparable(
        feature_hash=feature_hash,
        candidates=tuple(candidates),
        seen=tuple(split.classes[i].name for i in seen),
        unseen=tuple(split.classes[i].name for i in unseen),
        pairs=all_pairs([candidate.recalls for candidate in candidates]),
    )


def _rounded(values: Doubles) -> list[float]:
    return [round(float(value), 2) for value in values]
