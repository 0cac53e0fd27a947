"""What came of a reproduction: beside each printed number the mean of the re-run, its interval and the difference."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean
from typing import TYPE_CHECKING

from avbench.harness.records.record import RunRecord
from avbench.leaderboard.claims import Anomaly, Claim, Metric, anomalies_of
from avbench.leaderboard.frame import FEW_SEEDS, NO_PRESET, OFF_PRESET, results_frame, rows_frame
from avbench.leaderboard.ranking import RunRecalls
from avbench.leaderboard.recalls import Recalls
from avbench.leaderboard.reproduction.printed import PrintedTable
from avbench.leaderboard.statistics import Interval, intervals

if TYPE_CHECKING:
    from avbench.leaderboard.reproduction.plan import Trial

_TOLD_OTHERWISE = (OFF_PRESET, NO_PRESET, FEW_SEEDS)
"""Marks that say nothing here: a recipe decides the options, the title tells the budget, and lines tell the seeds."""


@dataclass(frozen=True)
class Cell:
    """One printed number and what was obtained in its place, in percent. ``mean``: over seeds; ``interval``: of the
    mean, over classes and seeds. None where nothing was obtained, or too few seeds for an interval."""

    metric: Metric
    printed: float
    faults: tuple[Anomaly, ...]
    """Known faults of the printed number."""
    mean: float | None = None
    interval: Interval | None = None

    @property
    def difference(self) -> float | None:
        """Re-run minus printed, in points."""
        return None if self.mean is None else self.mean - self.printed

    @property
    def difference_interval(self) -> Interval | None:
        """Of the difference. The printed number is taken as it stands: papers state no spread."""
        i = self.interval
        return i and Interval(i.low - self.printed, i.high - self.printed)


@dataclass(frozen=True)
class Reproduced:
    """A printed row beside its re-run."""

    trial: Trial
    finished: tuple[RunRecord, ...]
    """Sound runs, by seed."""
    lacking: int
    """Runs that failed or do not verify."""
    marks: tuple[str, ...]
    """What a reader must know beside the numbers of the re-run."""
    cells: Mapping[Metric, Cell]

    @property
    def claim(self) -> Claim:
        return self.trial.claim

    @property
    def remarks(self) -> tuple[str, ...]:
        """What a reader must know of the row and of its re-run."""
        lacking = f"{self.lacking} of {len(self.trial.runs)} runs failed or do not verify"
        return (*self.trial.prospect.remarks, *([lacking] if self.lacking else ()), *self.marks)


@dataclass(frozen=True)
class ReproducedTable:
    """A printed table beside its re-run."""

    table: PrintedTable
    rows: tuple[Reproduced, ...]
    """In the printed order: a row of the paper has one on each track."""

    @property
    def within(self) -> tuple[int, int]:
        """How many printed numbers lie in the interval of their re-run, of how many that have one."""
        tested = [c for row in self.rows for c in row.cells.values() if c.interval]
        return sum(c.interval.low <= c.printed <= c.interval.high for c in tested if c.interval), len(tested)


def reproduced(
    tables: Sequence[tuple[PrintedTable, Sequence[Trial]]],
    sound: Sequence[RunRecord],
    run_recalls: RunRecalls,
    gate_marks: Mapping[str, Sequence[str]],
) -> list[ReproducedTable]:
    """The tables with what the finished runs ``sound`` of their trials gave; ``gate_marks`` by identity of a run."""
    by_identity = {record.identity: record for record in sound}
    marks = _marks_by_run(sound, gate_marks)
    return [
        ReproducedTable(table, tuple(_reproduced(trial, by_identity, marks, run_recalls) for trial in made))
        for table, made in tables
    ]


def _reproduced(
    trial: Trial, sound: Mapping[str, RunRecord], marks: Mapping[str, Sequence[str]], run_recalls: RunRecalls
) -> Reproduced:
    finished = tuple(sound[run.configuration.identity] for run in trial.runs if run.configuration.identity in sound)
    borne = dict.fromkeys(mark for record in finished for mark in marks[record.identity])
    found: Mapping[Metric, Interval] = {}
    if finished:
        found = intervals(Recalls.together([run_recalls(record) for record in finished]))
    cells = {
        metric: Cell(metric, printed, _faults(trial.claim, metric), _mean(finished, metric), found.get(metric))
        for metric, printed in trial.claim.values.items()
    }
    return Reproduced(trial, finished, len(trial.runs) - len(finished), tuple(borne), cells)


def _mean(finished: Sequence[RunRecord], metric: Metric) -> float | None:
    values = [getattr(record.outcome.metrics, metric) for record in finished if record.outcome]
    return fmean(values) if values else None


def _faults(claim: Claim, metric: Metric) -> tuple[Anomaly, ...]:
    return tuple(anomaly for anomaly in anomalies_of(claim) if metric in anomaly.metrics)


def _marks_by_run(sound: Sequence[RunRecord], gate_marks: Mapping[str, Sequence[str]]) -> Mapping[str, Sequence[str]]:
    """The marks of each run's row, by identity of the run."""
    runs = results_frame(sound, gate_marks=gate_marks)
    rows = rows_frame(runs) if len(runs) else runs
    of_group = dict(zip(rows["group"], rows["marks"], strict=True))
    return {
        identity: [mark for mark in of_group[group].split("; ") if mark and mark not in _TOLD_OTHERWISE]
        for identity, group in zip(runs["identity"], runs["group"], strict=True)
    }
