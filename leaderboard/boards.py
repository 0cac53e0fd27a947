"""Boards: claimed and re-run rows of one track under one protocol, side by side and never mixed. Pure data.

Numbers printed in papers stand only beside ``as-published`` runs, and only where the run used the genuine kind of
features with the options preset for that track. Results on simulated features have boards of their own.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from statistics import fmean
from types import MappingProxyType
from typing import Any

import pandas as pd

from avbench.harness.contract.encoder import Seen, gravest
from avbench.harness.evaluation.protocol import PROTOCOLS
from avbench.harness.plugins.presets import Overrides
from avbench.harness.records.record import Capabilities, RunRecord
from avbench.harness.records.reproduction import Reproduction
from avbench.harness.tracks import Track
from avbench.leaderboard.claims import (
    COMPARABLE,
    METRICS,
    STATED_BY_AUTHORS,
    Anomaly,
    Claim,
    Metric,
    Origin,
    Trusted,
    anomalies_of,
    authority,
    claim_for,
    method_key,
    published_methods,
)
from avbench.leaderboard.frame import (
    BOARD,
    INCOMPLETE,
    NOT_VERIFIED,
    SERIES,
    SIMULATED,
    finished_by_row,
    plain_rows,
    results_frame,
    rows_frame,
)
from avbench.leaderboard.ladder import Rung, rung


@dataclass(frozen=True)
class Spread:
    """Mean over n runs. ``deviation``: sample standard deviation, None for one run."""

    mean: float
    deviation: float | None
    n: int

    @classmethod
    def of(cls, line: Mapping[str, Any], name: str) -> Spread:
        """Of one column of a row."""
        return cls(line[name], line[f"{name}_deviation"], line["seeds"])


@dataclass(frozen=True)
class RerunRow:
    """Runs of one configuration over seeds. ``records`` have an outcome each and are ordered by seed."""

    records: tuple[RunRecord, ...]
    line: Mapping[str, Any]
    """This row of :func:`avbench.leaderboard.frame.rows_frame`."""
    claims: tuple[Claim, ...]
    """Printed rows that this row may be compared with, the most authoritative first."""
    comparable: bool = False
    """It may be compared with printed rows of its method: where they are of the same variant, with the same options."""

    @property
    def first(self) -> RunRecord:
        return self.records[0]

    @property
    def group(self) -> str:
        """Hash of the configuration without the seed."""
        return str(self.line["group"])

    @property
    def method(self) -> str:
        return self.first.configuration.method

    @property
    def method_key(self) -> str:
        """What tells the method from all others, also from one that uses the name of a published one."""
        return method_key(self.method, self.first.configuration.plugin.distribution)

    @property
    def label(self) -> str:
        """The method, with what was changed and what else tells it from others."""
        return str(self.line["label"])

    @property
    def marks(self) -> tuple[str, ...]:
        """What a reader must know beside the numbers."""
        return tuple(filter(None, self.line["marks"].split("; ")))

    @property
    def rung(self) -> Rung | None:
        """Whether its runs were repeated, and what came of it; None where that is not known."""
        return rung(self.line)

    @property
    def series(self) -> tuple[Any, ...]:
        """What makes rows of different tracks the same thing."""
        return tuple(self.line[name] for name in SERIES)

    @property
    def changed(self) -> str:
        """The variant and what was changed beyond it; empty for the presets."""
        return ", ".join(filter(None, (self.line["variant"], self.line["changes"])))

    @property
    def as_named(self) -> bool:
        """The options are known to be the presets, or those of the named variant, and the numerics are the default."""
        return not self.line["changes"] and not self.line["numerics"]

    @property
    def capabilities(self) -> Capabilities:
        return self.first.capabilities

    @property
    def own_files(self) -> tuple[str, ...]:
        """The names of the files beside its package that the method read."""
        return self.first.own_files

    @property
    def texts(self) -> Sequence[str]:
        """The text vectors that the method reads by name, where a track has several kinds per class."""
        return self.first.about.texts if self.first.about else ()

    @property
    def seeds(self) -> tuple[int, ...]:
        return tuple(record.configuration.seed for record in self.records)

    @cached_property
    def metrics(self) -> Mapping[Metric, Spread]:
        """Over seeds, in percent."""
        return {metric: Spread.of(self.line, metric) for metric in METRICS}

    @cached_property
    def seconds(self) -> Mapping[str, float]:
        """Mean wall time of a run, both stages, by device and number of runs at once."""
        times: dict[str, list[float]] = defaultdict(list)
        for record in self.records:
            company = f"{n} runs at once, " if (n := record.measured.runs_at_once) > 1 else ""
            company += f"{n} seeds in one step, " if (n := record.measured.seeds_at_once) > 1 else ""
            company += "compiled, " if record.measured.compiled else ""
            times[company + record.environment.device].append(record.measured.seconds)
        return {device: fmean(values) for device, values in sorted(times.items())}

    @property
    def parameters(self) -> int:
        return int(self.line["parameters"])

    @cached_property
    def deviations(self) -> Mapping[Metric, tuple[float, Claim]]:
        """Obtained mean minus printed value in points, with the printed row; per metric the first that prints it."""
        found: dict[Metric, tuple[float, Claim]] = {}
        for claim in reversed(self.claims):
            for metric, printed in claim.values.items():
                found[metric] = (self.metrics[metric].mean - printed, claim)
        return found


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
    source: str
    """Where they come from, in the words of who stored them; empty where no record says it."""
    rows: tuple[RerunRow, ...]

    @property
    def encoders_met(self) -> Seen:
        """What the encoders of these features had met before the track: the gravest of what the records say."""
        return gravest(record.encoders_met for row in self.rows for record in row.records)


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
    """The verified features first, then those with more runs; empty where nothing was run. Only rows on verified ones
    stand above printed rows."""

    @property
    def rows(self) -> tuple[RerunRow, ...]:
        """Rows of all groups."""
        return tuple(row for group in self.groups for row in group.rows)


def build_boards(
    records: Iterable[RunRecord],
    claims: Sequence[Claim],
    overrides: Overrides,
    trusted: Trusted | None = None,
    marks: Mapping[str, Sequence[str]] = MappingProxyType({}),
    reproductions: Mapping[str, Reproduction] | None = None,
) -> tuple[Board, ...]:
    """All boards that have a row, real tracks first. Failed runs have no row.

    ``trusted``: :func:`trusted_features` unless given. ``marks`` and ``reproductions``: of the gate, by identity.
    """
    everything = list(records)
    runs = results_frame(everything, overrides, marks, trusted, reproductions)
    rows = rows_frame(runs)
    members = finished_by_row(runs).groups
    printed: dict[Track, list[Claim]] = defaultdict(list)
    for claim in claims:
        if claim.main and claim.variant is None:
            printed[claim.track].append(claim)

    def rerun(line: Mapping[str, Any]) -> RerunRow:
        row = RerunRow(tuple(everything[at] for at in members[line["simulated"], line["group"]]), line, ())
        if not _comparable(row):
            return row
        full = row.as_named and line["variant"] is None
        found = claim_for(row.method, row.first.configuration.track, claims) if full else ()
        return replace(row, comparable=True, claims=found)

    def group(content: str, part: pd.DataFrame) -> FeatureGroup:
        ordered = tuple(
            map(rerun, plain_rows(part.sort_values(["HM", "method", "group"], ascending=[False, True, True])))
        )
        source = next((row.first.features_source for row in ordered if row.first.features_source), "")
        return FeatureGroup(content, not any(NOT_VERIFIED in row.marks for row in ordered), source, ordered)

    boards = {}
    for _, part in rows.groupby(BOARD):
        place = plain_rows(part.head(1))[0]
        track, protocol, simulated = Track(place["dataset"], place["features"]), place["protocol"], place["simulated"]
        found = [group(str(content), same) for content, same in part.groupby("feature_hash")]
        found.sort(key=lambda g: (not g.verified, -sum(len(row.records) for row in g.rows), g.feature_hash))
        comparable = printed[track] if protocol == COMPARABLE and not simulated else ()
        board = Board(track, protocol, place["protocol_version"], simulated, claimed_rows(comparable), tuple(found))
        boards[simulated, track, protocol, board.protocol_version] = board
    for track, there in printed.items():
        if not any(key[:3] == (False, track, COMPARABLE) for key in boards):
            board = Board(track, COMPARABLE, PROTOCOLS[COMPARABLE].version, False, claimed_rows(there), ())
            boards[False, track, COMPARABLE, board.protocol_version] = board
    return tuple(boards[key] for key in sorted(boards))


def reruns_of(claim: Claim, boards: Iterable[Board]) -> tuple[RerunRow, ...]:
    """Re-run rows to show beside a printed one: the full method with preset options, or exactly the variant."""
    return tuple(
        row
        for board in boards
        if board.track == claim.track
        for row in board.rows
        if row.comparable and row.method == claim.method and row.first.variant == claim.variant and row.as_named
    )


def _comparable(row: RerunRow) -> bool:
    """Whether printed numbers of the method may be held against a row.

    The method must be the one that was published, not a namesake, and the features the genuine ones: known by their
    content, or of the public archive, whose import checks every list of clips. Marks say which.
    """
    c = row.first.configuration
    genuine = NOT_VERIFIED not in row.marks or c.track.partition is not None
    return (
        c.protocol.name == COMPARABLE
        and genuine
        and not {SIMULATED, INCOMPLETE} & set(row.marks)
        and row.method_key == row.method
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


def _agree(claim: Claim, other: Claim) -> bool:
    common = claim.values.keys() & other.values.keys()
    return (
        claim.method == other.method
        and (claim.origin in STATED_BY_AUTHORS) == (other.origin in STATED_BY_AUTHORS)
        and bool(common)
        and all(claim.values[metric] == other.values[metric] for metric in common)
    )
