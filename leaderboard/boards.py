"""Boards: claimed and re-run rows of one track under one protocol, side by side and never mixed. Pure data.

Numbers printed in papers stand only beside ``as-published`` runs, and only where the run used the genuine kind of
features with the options preset for that track. Results on simulated features have boards of their own.
"""

from __future__ import annotations

import hashlib
import statistics
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TypeVar

from pydantic import JsonValue

from avbench.harness.contract.encoder import Seen, gravest
from avbench.harness.evaluation.protocol import PROTOCOLS
from avbench.harness.records.record import Capabilities, Plugin, RunRecord, canonical_json
from avbench.harness.tracks import Track
from avbench.leaderboard.claims import (
    METRICS,
    STATED_BY_AUTHORS,
    Anomaly,
    Claim,
    Metric,
    Origin,
    anomalies_of,
    authority,
    published_methods,
)

COMPARABLE = "as-published"
"""The one protocol whose results may stand beside numbers printed in papers."""

Overrides = Callable[[RunRecord], Mapping[str, JsonValue] | None]
"""The options of a run that differ from the presets of its track and protocol, but for those that the variant sets
which the record names; None where the presets are unknown."""


@dataclass(frozen=True)
class Spread:
    """Mean over n runs. ``deviation``: sample standard deviation, None for one run."""

    mean: float
    deviation: float | None
    n: int

    @classmethod
    def of(cls, values: Sequence[float]) -> Spread:
        """Raises ``statistics.StatisticsError`` for no values."""
        return cls(statistics.fmean(values), statistics.stdev(values) if len(values) > 1 else None, len(values))


@dataclass(frozen=True)
class Series:
    """What makes rows of different tracks the same thing: the code, the protocol, and how its presets were changed."""

    method: str
    protocol: str
    protocol_version: int
    plugin: Plugin
    variant: str | None
    changes: str
    """Options that differ further, as ``name=value`` text; a hash of all options where presets are unknown."""
    numerics: str = ""
    """Precision and dtype that differ from float32, as ``name=value`` text."""

    @property
    def changed(self) -> str:
        """The variant and what was changed beyond it; empty for the presets."""
        return ", ".join(filter(None, (self.variant, self.changes)))

    @property
    def label(self) -> str:
        """The method, with what was changed."""
        what = ", ".join(filter(None, (self.changed, self.numerics)))
        return f"{self.method} ({what})" if what else self.method


@dataclass(frozen=True)
class RerunRow:
    """Runs of one configuration over seeds. ``records`` have an outcome each and are ordered by seed."""

    records: tuple[RunRecord, ...]
    overrides: Mapping[str, JsonValue] | None
    """Options that differ from the presets and the variant; None where the presets are unknown."""
    claims: tuple[Claim, ...]
    """Printed rows that this row may be compared with, the most authoritative first."""

    @property
    def first(self) -> RunRecord:
        return self.records[0]

    @cached_property
    def group(self) -> str:
        """Hash of the configuration without the seed."""
        return group_of(self.first)

    @property
    def method(self) -> str:
        return self.first.configuration.method

    @property
    def as_named(self) -> bool:
        """The options are known to be the presets, or those of the named variant, and the numerics are the default."""
        return self.overrides is not None and not self.overrides and not self.first.configuration.numerics.changed

    @property
    def preset(self) -> bool:
        """The options are known to be the presets of the track and protocol, and the numerics are the default."""
        return self.as_named and self.first.variant is None

    @property
    def capabilities(self) -> Capabilities:
        return self.first.capabilities

    @property
    def seeds(self) -> tuple[int, ...]:
        return tuple(record.configuration.seed for record in self.records)

    @cached_property
    def metrics(self) -> Mapping[Metric, Spread]:
        """Over seeds, in percent."""
        found = [record.outcome.metrics for record in self.records if record.outcome]
        return {metric: Spread.of([getattr(m, metric) for m in found]) for metric in METRICS}

    @cached_property
    def seconds(self) -> Mapping[str, Spread]:
        """Wall time of a run, both stages, by device and number of runs at once."""
        times: dict[str, list[float]] = defaultdict(list)
        for record in self.records:
            company = f"{n} runs at once, " if (n := record.measured.runs_at_once) > 1 else ""
            times[company + record.environment.device].append(record.measured.seconds)
        return {device: Spread.of(values) for device, values in sorted(times.items())}

    @property
    def complete(self) -> bool:
        """No clip or class was missing when the features were imported."""
        return not any(record.warnings for record in self.records)

    @property
    def parameters(self) -> int:
        return max(record.outcome.parameters for record in self.records if record.outcome)

    @cached_property
    def deviations(self) -> Mapping[Metric, tuple[float, Claim]]:
        """Obtained mean minus printed value in points, with the printed row; per metric the first that prints it."""
        found: dict[Metric, tuple[float, Claim]] = {}
        for claim in reversed(self.claims):
            for metric, printed in claim.values.items():
                found[metric] = (self.metrics[metric].mean - printed, claim)
        return found

    @cached_property
    def series(self) -> Series:
        c = self.first.configuration
        if self.overrides is None:
            changes = f"options {hashlib.sha256(canonical_json(c.options).encode()).hexdigest()[:8]}"
        else:
            changes = ", ".join(f"{name}={canonical_json(value)}" for name, value in sorted(self.overrides.items()))
        numerics = ", ".join(f"{name}={value}" for name, value in c.numerics.changed.items())
        return Series(c.method, c.protocol.name, c.protocol.version, c.plugin, self.first.variant, changes, numerics)


@dataclass(frozen=True)
class ClaimedRow:
    """One published result of a method on a track, with every place that prints the same numbers."""

    method: str
    title: str
    origin: Origin
    values: Mapping[Metric, float]
    claims: tuple[Claim, ...]
    """The most authoritative first."""

    @cached_property
    def anomalies(self) -> Mapping[Metric, tuple[Anomaly, ...]]:
        """Known faults by cell."""
        found: dict[Metric, list[Anomaly]] = defaultdict(list)
        for anomaly in (a for claim in self.claims for a in anomalies_of(claim)):
            for metric in anomaly.metrics:
                found[metric].append(anomaly)
        return {metric: tuple(dict.fromkeys(items)) for metric, items in found.items()}

    @property
    def papers(self) -> tuple[str, ...]:
        """Slugs of the papers, without repetition."""
        return tuple(dict.fromkeys(claim.paper for claim in self.claims))


@dataclass(frozen=True)
class FeatureGroup:
    """The re-run rows on one content of a track's features, best HM first. Other contents are other groups."""

    feature_hash: str
    verified: bool
    """The hash is known to be that of the genuine features."""
    rows: tuple[RerunRow, ...]

    @property
    def encoders_met(self) -> Seen:
        """What the encoders of these features had met before the track: what any record declares, the gravest."""
        declared = {record.encoders_met for row in self.rows for record in row.records} - {"not declared"}
        return gravest(declared)


@dataclass(frozen=True)
class Board:
    """One track under one protocol."""

    track: Track
    protocol: str
    protocol_version: int
    simulated: bool
    claimed: tuple[ClaimedRow, ...]
    """Best HM first; empty unless the protocol is the comparable one and the features are real."""
    groups: tuple[FeatureGroup, ...]
    """The verified features first, then those with more runs; empty where nothing was run."""

    @property
    def rows(self) -> tuple[RerunRow, ...]:
        """Rows of all groups."""
        return tuple(row for group in self.groups for row in group.rows)


def build_boards(
    records: Iterable[RunRecord],
    claims: Sequence[Claim],
    overrides: Overrides,
    trusted: frozenset[tuple[Track, str]] = frozenset(),
) -> tuple[Board, ...]:
    """All boards that have a row, real tracks first. Failed runs have no row.

    ``trusted``: tracks with the content hash of their genuine features.
    """
    finished: dict[tuple[bool, Track, str, int], list[RunRecord]] = defaultdict(list)
    for record in records:
        if record.finished:
            c = record.configuration
            simulated = record.simulated or c.track.simulated
            finished[simulated, c.track, c.protocol.name, c.protocol.version].append(record)
    printed: dict[Track, list[Claim]] = defaultdict(list)
    for claim in claims:
        if claim.main and claim.variant is None:
            printed[claim.track].append(claim)

    keys = set(finished)
    for track in printed:
        if not any(key[:3] == (False, track, COMPARABLE) for key in keys):
            keys.add((False, track, COMPARABLE, PROTOCOLS[COMPARABLE].version))
    boards = []
    for key in sorted(keys):
        simulated, track, protocol, version = key
        comparable = printed.get(track, []) if protocol == COMPARABLE and not simulated else []
        rows = [rerun_row(group, comparable, overrides) for group in _grouped(finished.get(key, []), group_of).values()]
        groups = _feature_groups(rows, track, trusted)
        boards.append(Board(track, protocol, version, simulated, claimed_rows(comparable), groups))
    return tuple(boards)


def rerun_row(records: Sequence[RunRecord], claims: Sequence[Claim], overrides: Overrides) -> RerunRow:
    """The row of finished runs of one group. ``claims``: main-table rows of the track, where they may be compared."""
    ordered = tuple(sorted(records, key=lambda r: r.configuration.seed))
    row = RerunRow(ordered, overrides(ordered[0]), claims=())
    if not (row.preset and row.complete):
        return row
    found = [c for c in claims if c.method == row.method and c.origin in STATED_BY_AUTHORS]
    return replace(row, claims=tuple(sorted(found, key=authority)))


def reruns_of(claim: Claim, boards: Iterable[Board]) -> tuple[RerunRow, ...]:
    """Re-run rows to show beside a printed one: the full method with preset options, or exactly the variant."""
    return tuple(
        row
        for board in boards
        if board.track == claim.track and board.protocol == COMPARABLE and not board.simulated
        for row in board.rows
        if row.method == claim.method and row.first.variant == claim.variant and row.as_named
    )


def claimed_rows(claims: Iterable[Claim]) -> tuple[ClaimedRow, ...]:
    """Published rows of one track, best HM first. Printings that agree where both print a number share a row."""
    merged: list[list[Claim]] = []
    for claim in sorted(claims, key=authority):
        for row in merged:
            if all(_agree(claim, other) for other in row):
                row.append(claim)
                break
        else:
            merged.append([claim])
    rows = [
        ClaimedRow(
            method=row[0].method,
            title=published_methods()[row[0].method].title,
            origin=row[0].origin,
            values={metric: value for claim in reversed(row) for metric, value in claim.values.items()},
            claims=tuple(row),
        )
        for row in merged
    ]
    return tuple(sorted(rows, key=lambda row: (-row.values.get("HM", -1.0), row.method)))


def group_of(record: RunRecord) -> str:
    """Hash of everything that decides a result but the seed."""
    content = record.configuration.model_dump(mode="json", exclude={"seed"})
    return hashlib.sha256(canonical_json(content).encode()).hexdigest()


def _agree(claim: Claim, other: Claim) -> bool:
    common = claim.values.keys() & other.values.keys()
    return (
        claim.method == other.method
        and (claim.origin in STATED_BY_AUTHORS) == (other.origin in STATED_BY_AUTHORS)
        and bool(common)
        and all(claim.values[metric] == other.values[metric] for metric in common)
    )


_Item = TypeVar("_Item")


def _feature_groups(
    rows: Sequence[RerunRow], track: Track, trusted: frozenset[tuple[Track, str]]
) -> tuple[FeatureGroup, ...]:
    groups = [
        FeatureGroup(content, (track, content) in trusted, tuple(sorted(members, key=_rank_key)))
        for content, members in _grouped(rows, lambda row: row.first.configuration.feature_hash).items()
    ]
    return tuple(
        sorted(groups, key=lambda g: (not g.verified, -sum(len(row.records) for row in g.rows), g.feature_hash))
    )


def _rank_key(row: RerunRow) -> tuple[float, str, str]:
    return -row.metrics["HM"].mean, row.method, row.group


def _grouped(items: Iterable[_Item], key: Callable[[_Item], str]) -> dict[str, list[_Item]]:
    found: dict[str, list[_Item]] = defaultdict(list)
    for item in items:
        found[key(item)].append(item)
    return found
