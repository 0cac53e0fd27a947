"""Re-run rows with their ranks and intervals, from the evidence of their runs."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from avbench.harness.evaluation.evidence import TEST
from avbench.harness.records.marks import CONFLICT
from avbench.harness.records.record import RunRecord
from avbench.harness.records.results import ResultsFolder
from avbench.leaderboard.boards import FeatureGroup, RerunRow
from avbench.leaderboard.claims import Metric
from avbench.leaderboard.recalls import Recalls
from avbench.leaderboard.statistics import Interval, Standing, intervals, standings

RunRecalls = Callable[[RunRecord], Recalls]
"""Gives the recalls of a finished run, such as ``lambda record: recalls_of_run(record, folder)``."""


@dataclass(frozen=True)
class RankedRow:
    """A row with what the statistics say about it."""

    row: RerunRow
    standing: Standing
    intervals: Mapping[Metric, Interval]


def rank_rows(group: FeatureGroup, run_recalls: RunRecalls) -> tuple[RankedRow, ...]:
    """The rows of one feature group in their order, best HM first. One content of features means the same clips.

    Where records contradict each other on that, nothing is tested.
    """
    recalls = [recalls_of(row, run_recalls) for row in group.rows]
    return tuple(
        RankedRow(row, standing, intervals(found))
        for row, found, standing in zip(group.rows, recalls, standings(recalls), strict=True)
    )


def in_conflict(row: RerunRow) -> bool:
    """Whether runs of a row contradict others on the clips that the features have."""
    return any(mark.startswith(CONFLICT) for mark in row.marks)


def recalls_of(row: RerunRow, run_recalls: RunRecalls) -> Recalls:
    """Per-class recall of every run of a row; of none where they may be on other clips than the row's other runs."""
    if in_conflict(row):
        return Recalls.of_nothing()
    return Recalls.together([run_recalls(record) for record in row.records])


def recalls_of_run(record: RunRecord, folder: ResultsFolder) -> Recalls:
    """Per-class recall of a finished run. Raises :class:`RecordError` for one without sound evidence."""
    table = folder.evidence(record)[TEST]
    assert record.outcome is not None
    return Recalls.of(table, record.outcome.offset)
