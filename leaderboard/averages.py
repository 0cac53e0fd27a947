"""Averages over tracks: only over what was run under one protocol, with the same code and the same changed options."""

from __future__ import annotations

import statistics
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from avbench.harness.tracks import Track
from avbench.leaderboard.boards import Board, RerunRow
from avbench.leaderboard.claims import METRICS, Metric
from avbench.leaderboard.frame import marks_over
from avbench.leaderboard.ranking import RunRecalls, recalls_of
from avbench.leaderboard.statistics import Interval, average_interval


@dataclass(frozen=True)
class Average:
    """One series over the tracks of an average board."""

    method: str
    label: str
    rows: Mapping[Track, RerunRow]
    metrics: Mapping[Metric, float] | None
    """Mean over tracks of the means over seeds; None where a track is missing: such a mean compares with nothing."""
    interval: Interval | None
    """Of the mean HM, over classes and seeds; None where there is no mean, or a track has too few seeds."""

    @property
    def marks(self) -> tuple[str, ...]:
        """Those of its rows, with the data sets where one is not on all."""
        return marks_over((track.dataset, row.marks) for track, row in self.rows.items())

    @property
    def seeds(self) -> str:
        """Seeds on each track, such as ``5``, or ``3-5`` where tracks differ."""
        counts = sorted({len(row.seeds) for row in self.rows.values()})
        return str(counts[0]) if len(counts) == 1 else f"{counts[0]}-{counts[-1]}"

    @property
    def method_key(self) -> str:
        return next(iter(self.rows.values())).method_key


@dataclass(frozen=True)
class AverageBoard:
    """All series on the data sets that were run with one feature set under one protocol, best mean HM first."""

    features: str
    protocol: str
    protocol_version: int
    simulated: bool
    tracks: tuple[Track, ...]
    averages: tuple[Average, ...]


def average_boards(boards: Iterable[Board], run_recalls: RunRecalls) -> tuple[AverageBoard, ...]:
    """Averages over the data sets of each feature set and protocol, from each board's first feature group.

    ``run_recalls``: the recalls of a run, for the intervals.
    """
    found: dict[tuple[bool, str, str, int], list[Board]] = defaultdict(list)
    for board in boards:
        if board.groups:
            found[board.simulated, board.track.features, board.protocol, board.protocol_version].append(board)
    return tuple(
        AverageBoard(
            features, protocol, version, simulated, tuple(b.track for b in members), _averages(members, run_recalls)
        )
        for (simulated, features, protocol, version), members in sorted(found.items())
    )


def _averages(boards: list[Board], run_recalls: RunRecalls) -> tuple[Average, ...]:
    """A series with two rows on one board has no average: which of them to take would be a choice by result."""
    rows: dict[tuple[object, ...], dict[Track, list[RerunRow]]] = defaultdict(lambda: defaultdict(list))
    for board in boards:
        for row in board.groups[0].rows:
            rows[row.series][board.track].append(row)
    found = []
    for members in rows.values():
        if any(len(same) > 1 for same in members.values()):
            continue
        by_track = {track: only for track, (only,) in members.items()}
        first = next(iter(by_track.values()))
        whole = len(by_track) == len(boards)
        metrics = _mean(by_track.values()) if whole else None
        recalls = [recalls_of(row, run_recalls) for row in by_track.values()] if whole else []
        interval = average_interval(recalls, "HM") if recalls else None
        found.append(Average(first.method, first.label, by_track, metrics, interval))
    return tuple(sorted(found, key=lambda a: (-a.metrics["HM"] if a.metrics else 1.0, a.label)))


def _mean(rows: Iterable[RerunRow]) -> Mapping[Metric, float]:
    members = tuple(rows)
    return {metric: statistics.fmean(row.metrics[metric].mean for row in members) for metric in METRICS}
