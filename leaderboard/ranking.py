"""Re-run rows with their ranks and intervals, from the evidence of their runs."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from avbench.harness.evidence import Evidence
from avbench.harness.records import RunRecord
from avbench.leaderboard.boards import FeatureGroup, RerunRow
from avbench.leaderboard.claims import Metric
from avbench.leaderboard.statistics import Interval, Recalls, Standing, intervals, standings

TestEvidence = Callable[[RunRecord], Evidence]
"""Gives the test evidence of a finished run, such as ``lambda record: folder.evidence(record)[TEST]``."""


@dataclass(frozen=True)
class RankedRow:
    """A row with what the statistics say about it."""

    row: RerunRow
    standing: Standing
    intervals: Mapping[Metric, Interval]


def rank_rows(group: FeatureGroup, test_evidence: TestEvidence) -> tuple[RankedRow, ...]:
    """The rows of one feature group in their order, best HM first. One content of features means the same clips."""
    recalls = [recalls_of(row, test_evidence) for row in group.rows]
    return tuple(
        RankedRow(row, standing, intervals(found))
        for row, found, standing in zip(group.rows, recalls, standings(recalls), strict=True)
    )


def recalls_of(row: RerunRow, test_evidence: TestEvidence) -> Recalls:
    """Per-class recall of every run of a row."""
    return Recalls.of([(test_evidence(r), r.outcome.offset) for r in row.records if r.outcome])
