"""What runs will take, by what earlier ones took. Knows no torch."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from statistics import median

from avbench.harness.records.planned import PlannedRun
from avbench.harness.records.record import Configuration, RunRecord
from avbench.harness.records.results import ResultsFolder, Unreadable

Task = tuple[str, str, bool]
"""Method, data set, and whether the features are simulated: those are small."""
Place = tuple[str, bool]
"""Data set, and whether the features are simulated."""


@dataclass(frozen=True)
class Estimates:
    """Medians over finished runs. What no run tells about is unknown: None."""

    seconds_per_unit: Mapping[tuple[Task, str], float] = field(default_factory=dict)
    """By task and device, or kind of device; the unit is a batch of stage 1 where a method has them, else a run."""
    bytes_per_run: Mapping[Place, float] = field(default_factory=dict)
    """Of a record and its evidence."""

    @classmethod
    def of(cls, folder: ResultsFolder) -> Estimates:
        """Those that the records of a results folder give; what cannot be read there says nothing."""
        records = [r for r in folder.records() if not isinstance(r, Unreadable) and r.finished]
        seconds: defaultdict[tuple[Task, str], list[float]] = defaultdict(list)
        sizes: defaultdict[Place, list[int]] = defaultdict(list)
        for record in records:
            task = _task(record.configuration, record.simulated)
            took = record.measured.seconds / _units(record.configuration)
            for device in {record.environment.device, _kind(record.environment.device)}:
                seconds[task, device].append(took)
            sizes[task[1:]] += _sizes(record, folder)
        return cls(
            {key: median(values) for key, values in seconds.items()},
            {key: median(values) for key, values in sizes.items() if values},
        )

    def seconds(self, run: PlannedRun, device: str) -> float | None:
        """Of one run. ``device``: as records name it, such as ``cuda (NVIDIA H100)``; one of its kind tells, too."""
        task = _task(run.configuration, run.simulated)
        for name in (device, _kind(device)):
            if (task, name) in self.seconds_per_unit:
                return self.seconds_per_unit[task, name] * _units(run.configuration)
        return None

    def bytes(self, run: PlannedRun) -> float | None:
        """Of the record and the evidence of one run."""
        return self.bytes_per_run.get(_task(run.configuration, run.simulated)[1:])

    def longest_first(self, runs: Sequence[PlannedRun], device: str) -> list[int]:
        """The places of runs in the order in which to begin them: unknown ones, which may be long, then the longest."""
        found = [self.seconds(run, device) for run in runs]
        return sorted(range(len(runs)), key=lambda i: (found[i] is not None, -(found[i] or 0.0), i))


def makespan(seconds: Iterable[float], workers: int) -> float:
    """How long ``workers`` need that take the longest of what is left each time: at most a third above the least."""
    ends = [0.0] * max(1, workers)
    for length in sorted(seconds, reverse=True):
        ends[ends.index(min(ends))] += length
    return max(ends)


def _task(c: Configuration, simulated: bool) -> Task:
    return c.method, c.dataset, simulated


def _kind(device: str) -> str:
    return device.partition(" ")[0].partition(":")[0]


def _units(c: Configuration) -> float:
    """Batches that stage 1 may take, by the options; 1 for a method without."""
    epochs, batches = c.options.get("epochs"), c.options.get("batches_per_epoch")
    return float(epochs * batches) if isinstance(epochs, int) and isinstance(batches, int) else 1.0


def _sizes(record: RunRecord, folder: ResultsFolder) -> list[int]:
    try:
        return [folder.path(record.configuration).stat().st_size + folder.evidence_path(record).stat().st_size]
    except OSError:
        return []
