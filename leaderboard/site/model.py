"""Everything the pages show, computed once."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cached_property

from avbench.harness.contract.method import MethodInfo
from avbench.harness.plugins.about import about_of
from avbench.harness.plugins.presets import options_beyond_variant
from avbench.harness.plugins.registry import Registered, plugins
from avbench.harness.plugins.site_page import SitePage
from avbench.harness.records.record import About, RunRecord
from avbench.harness.records.reproduction import Required
from avbench.leaderboard.averages import AverageBoard, average_boards
from avbench.leaderboard.boards import Board, FeatureGroup, build_boards, reruns_of
from avbench.leaderboard.claims import (
    Anomaly,
    ClaimKey,
    PublishedMethod,
    claims,
    method_key,
    papers,
    published_methods,
    trusted_features,
)
from avbench.leaderboard.ranking import RankedRow, rank_rows
from avbench.leaderboard.site.gate import Gate
from avbench.splits import DATASETS

NEVER = "1970-01-01T00:00:00Z"
"""The date of a site without runs, or of a run that states no date."""


@dataclass(frozen=True)
class RankedGroup:
    """The rows on one content of a track's features, with their ranks."""

    features: FeatureGroup
    rows: tuple[RankedRow, ...]


@dataclass(frozen=True)
class RankedBoard:
    """A board with what the statistics say about it."""

    board: Board
    groups: tuple[RankedGroup, ...]

    @property
    def leader(self) -> RankedRow | None:
        """The row with the best HM of the first feature group; None where nothing was run."""
        return self.groups[0].rows[0] if self.groups else None

    @property
    def above(self) -> tuple[RankedGroup, ...]:
        """Groups whose features are verified: they may stand above printed rows."""
        return tuple(g for g in self.groups if g.features.verified)

    @property
    def below(self) -> tuple[RankedGroup, ...]:
        """The others: they stand below all printed rows."""
        return tuple(g for g in self.groups if not g.features.verified)

    @property
    def sections(self) -> tuple[RankedGroup | None, ...]:
        """The groups in the order of the board; None stands for the printed rows, where there are any."""
        return (*self.above, None, *self.below) if self.board.claimed else self.groups

    @cached_property
    def anomalies(self) -> tuple[Anomaly, ...]:
        """Known faults of the printed numbers on this board."""
        found = (a for row in self.board.claimed for items in row.anomalies.values() for a in items)
        return distinct(found)


@dataclass(frozen=True)
class MethodEntry:
    """A method that is installed, was run, or has published numbers."""

    key: str
    """See :func:`avbench.leaderboard.claims.method_key`."""
    registered: Registered | None
    published: PublishedMethod | None
    told: About | None = None
    """What the latest record says of it."""

    @property
    def info(self) -> MethodInfo | None:
        return self.registered.info if self.registered else None

    @cached_property
    def about(self) -> About | None:
        """What the installed method says of itself, else what the latest record says of it."""
        return about_of(self.registered) if self.registered else self.told

    @property
    def year(self) -> int | None:
        """Of the method, or of the first paper that printed numbers of its own for it; None where nobody knows."""
        if self.about and self.about.year is not None:
            return self.about.year
        own = [papers()[c.paper].year for c in claims() if c.own and self.published and c.method == self.published.slug]
        return min((year for year in own if year is not None), default=None)

    @property
    def title(self) -> str:
        slug, _, package = self.key.partition("~")
        told = self.info or self.published or self.told
        named = told.title if told else slug
        return f"{named} of {package}" if package else named

    @property
    def slug(self) -> str:
        return self.key.partition("~")[0]


@dataclass(frozen=True)
class Site:
    """The content of the site."""

    gate: Gate
    boards: tuple[RankedBoard, ...]
    averages: tuple[AverageBoard, ...]
    methods: Mapping[str, MethodEntry]
    more: tuple[SitePage, ...] = ()
    """Pages of installed packages."""
    require: Required | None = None
    """What was required of the rows."""

    @property
    def real(self) -> tuple[RankedBoard, ...]:
        return tuple(b for b in self.boards if not b.board.simulated)

    @property
    def simulated(self) -> tuple[RankedBoard, ...]:
        return tuple(b for b in self.boards if b.board.simulated)

    @cached_property
    def reruns(self) -> Mapping[ClaimKey, RankedRow]:
        """The re-run row to show beside a printed one; printed rows without any are not in it."""
        ranked = {row.row.group: row for board in self.real for group in board.groups for row in group.rows}
        boards = [b.board for b in self.real]
        found = ((claim.key, reruns_of(claim, boards)) for claim in claims())
        return {key: ranked[rows[0].group] for key, rows in found if rows}

    @cached_property
    def updated(self) -> str:
        """When the latest run started."""
        return max((started(r) for r in self.gate.sound), default=NEVER)


def site_of(gate: Gate, require: Required | None = None) -> Site:
    """Boards, ranks and averages of the sound records. Draws its chances from fixed seeds."""
    boards = build_boards(
        gate.sound, claims(), options_beyond_variant, trusted_features(), gate.marks, gate.reproductions
    )
    ranked = tuple(
        RankedBoard(
            board,
            tuple(
                RankedGroup(group, rank_rows(group, lambda record: gate.recalls[record.identity]))
                for group in board.groups
            ),
        )
        for board in sorted(boards, key=_order)
    )
    installed = {method_key(slug, r.distribution): r for slug, r in plugins().methods.items()}
    run = {method_key(r.configuration.method, r.configuration.plugin.distribution) for r in gate.sound}
    keys = sorted(run | set(published_methods()) | set(installed))
    told = {
        method_key(r.configuration.method, r.configuration.plugin.distribution): r.about
        for r in sorted(gate.sound, key=started)
        if r.about
    }
    methods = {key: MethodEntry(key, installed.get(key), published_methods().get(key), told.get(key)) for key in keys}
    return Site(
        gate,
        ranked,
        average_boards(boards, lambda record: gate.recalls[record.identity]),
        methods,
        tuple(plugins().site_pages(gate.sound)),
        require,
    )


def started(record: RunRecord) -> str:
    """When a run started, see :func:`date_of`."""
    return date_of(record.measured.started)


def date_of(text: str) -> str:
    """A date of a record as ``YYYY-MM-DDTHH:MM:SSZ``; :data:`NEVER` where it is none."""
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        return NEVER
    if moment.tzinfo is not None:
        try:
            moment = moment.astimezone(UTC)
        except OverflowError:
            return NEVER
    return moment.strftime("%Y-%m-%dT%H:%M:%SZ") if moment.year >= 1970 else NEVER


def distinct(found: Iterable[Anomaly]) -> tuple[Anomaly, ...]:
    """Anomalies by id and place, each once."""
    return tuple(sorted(dict.fromkeys(found), key=lambda a: (a.id, a.paper, a.table, a.row, a.dataset, a.features)))


def _order(board: Board) -> tuple[bool, str, int, str, int]:
    """Real before simulated, main features before others, data sets in their usual order, aligned first."""
    track = board.track
    place = DATASETS.index(track.dataset) if track.dataset in DATASETS else len(DATASETS)
    features = {"main": "0", "cls": "1"}.get(track.features, f"2{track.features}")
    return board.simulated, features, place, board.protocol, board.protocol_version
