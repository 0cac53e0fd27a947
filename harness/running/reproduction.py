"""Repeating runs and judging what comes of it, each in a folder of its own."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from functools import partial
from typing import TYPE_CHECKING

from avbench.harness.evaluation.evidence import TEST
from avbench.harness.evaluation.noise import Decisions, deviation
from avbench.harness.evaluation.two_stages import EpochDone
from avbench.harness.isolation.choice import Isolation
from avbench.harness.isolation.start import require_possible
from avbench.harness.plugins.registry import plugins
from avbench.harness.printable import storable
from avbench.harness.records.planned import PlannedRun
from avbench.harness.records.record import RunRecord
from avbench.harness.records.reproduction import Noise, Outcome, Points, Reproduction
from avbench.harness.records.results import ResultsFolder
from avbench.harness.running.jobs import choose_device
from avbench.harness.running.numerics import require
from avbench.harness.running.runs import RunListener
from avbench.harness.running.session import complete

if TYPE_CHECKING:
    import torch

MAX_THREADS = 256
"""A record may name any number; so many are started at most."""


@dataclass(frozen=True)
class Repeater:
    """How runs are repeated."""

    originals: ResultsFolder
    into: ResultsFolder
    """Where the repetitions go: never where the originals lie."""
    by: str
    isolation: Isolation
    device: str | None = None
    """None: the kind of device that each record names."""
    jobs: int = 1

    def reproduce(
        self,
        runs: Sequence[tuple[RunRecord, PlannedRun]],
        siblings: Mapping[str, Sequence[float]],
        listener: RunListener = lambda _index, _done: None,
    ) -> Iterator[tuple[int, RunRecord, Reproduction]]:
        """Repeat every run; give its index, the repetition and the verdict, which is filed beside the original.

        ``siblings``: see :func:`hm_of_rows`. Runs are repeated with as many threads as they had, compiled where they
        were, and each step alone where it was: those that had the company of other seeds may have that of others.
        """
        import torch

        for record, _ in runs:
            require_possible(plugins().method(record.configuration.method), self.isolation)
        before = torch.get_num_threads()
        try:
            for (device, threads, alone), indices in self._alike([record for record, _ in runs]).items():
                torch.set_num_threads(threads)
                chosen = choose_device(device)
                for index in indices:
                    require(runs[index][0].configuration.numerics, chosen)
                for position, repeated, _ in complete(
                    [_as_compiled_there(*runs[index], chosen) for index in indices],
                    self.into,
                    [chosen],
                    self.jobs,
                    partial(_relay, listener, indices),
                    again=[True] * len(indices),
                    isolation=replace(self.isolation, hidden=(self.originals.root.absolute(),)),
                    in_step=False if alone else None,
                ):
                    index = indices[position]
                    verdict = self.verdict(runs[index][0], repeated, siblings)
                    self.originals.save_reproduction(runs[index][0], verdict)
                    yield index, repeated, verdict
        finally:
            torch.set_num_threads(before)

    def verdict(
        self, record: RunRecord, repeated: RunRecord, siblings: Mapping[str, Sequence[float]] = {}
    ) -> Reproduction:
        """What a repetition says of a run."""
        assert record.outcome is not None
        told: dict[str, object] = {
            "run": record.identity,
            "record": record.digest,
            "evidence": record.outcome.evidence,
            "isolation": repeated.measured.isolation,
            "by": storable(self.by)[:2_000],
            "when": datetime.now(UTC).isoformat(timespec="seconds"),
            "environment": repeated.environment,
            "seconds": repeated.measured.seconds,
        }
        if repeated.outcome is None:
            assert repeated.failure is not None
            failure = f"{repeated.failure.type}: {repeated.failure.message}"[:2_000]
            return Reproduction.model_validate({**told, "verdict": "not reproduced", "failure": failure})
        told |= {
            "repeated_evidence": repeated.outcome.evidence,
            "metrics": repeated.outcome.metrics,
            "difference": Points.between(record.outcome.metrics, repeated.outcome.metrics),
        }
        if repeated.outcome.evidence == record.outcome.evidence:
            return Reproduction.model_validate({**told, "verdict": "same bits"})
        noise = self._noise(record, repeated, siblings.get(record.configuration.row, ()))
        verdict: Outcome = "within noise" if noise.holds else "not reproduced"
        return Reproduction.model_validate({**told, "verdict": verdict, "noise": noise})

    def _noise(self, record: RunRecord, repeated: RunRecord, known: Sequence[float]) -> Noise:
        old, new = (
            Decisions(folder.evidence(run)[TEST], run.outcome.offset)
            for folder, run in ((self.originals, record), (self.into, repeated))
            if run.outcome is not None
        )
        return Noise.model_validate(asdict(deviation(known, old, new)))

    def _alike(self, records: Sequence[RunRecord]) -> dict[tuple[str, int, bool], list[int]]:
        """The runs that take place alike, by device, threads, and whether no other seed was in their steps."""
        found: dict[tuple[str, int, bool], list[int]] = defaultdict(list)
        for index, record in enumerate(records):
            where = record.environment
            kind = "cuda" if where.device.startswith("cuda") else "cpu"
            alone = record.measured.seeds_at_once == 1
            found[self.device or kind, min(where.threads, MAX_THREADS), alone].append(index)
        return found


def _as_compiled_there(record: RunRecord, run: PlannedRun, device: torch.device) -> PlannedRun:
    """On a device of another kind no bits come again, so nothing is compiled for their sake."""
    return run if record.environment.device.startswith(device.type) else replace(run, compile="auto")


def _relay(listener: RunListener, indices: Sequence[int], position: int, done: EpochDone) -> None:
    listener(indices[position], done)


def hm_of_rows(records: Sequence[RunRecord]) -> dict[str, list[float]]:
    """HM of the finished ones by row: what another seed may come to."""
    found: dict[str, list[float]] = defaultdict(list)
    for record in records:
        if record.outcome is not None:
            found[record.configuration.row].append(record.outcome.metrics.HM)
    return dict(found)
