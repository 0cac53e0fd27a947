"""A run by itself: what its files and the installed methods say of it. Knows no torch.

Runs are judged beside each other in :mod:`avbench.harness.records.gate`.
"""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field

import numpy as np

from avbench.harness.errors import RecordError
from avbench.harness.evaluation.evidence import TEST, VALIDATION, Evidence
from avbench.harness.printable import printable
from avbench.harness.records.likeness import Answers, alike, answers_of, was_trained
from avbench.harness.records.record import RunRecord
from avbench.harness.records.reproduction import Reproduction
from avbench.harness.records.reproduction import contradictions as reproduction_contradictions
from avbench.harness.records.results import ResultsFolder, Unreadable
from avbench.harness.records.verification import check_tables

Reasons = tuple[str, ...]


@dataclass(frozen=True)
class Said:
    """What the installed methods say of a record."""

    against: Reasons = ()
    """What contradicts it."""
    marks: Reasons = ()
    """What must be said beside its number."""


Declared = Callable[[RunRecord], Said]


def nothing_declared(_record: RunRecord) -> Said:
    """For a place where no methods are installed."""
    return Said()


@dataclass(frozen=True, eq=False)
class Finding:
    """One record by itself."""

    record: RunRecord
    reasons: Reasons
    clips: str = ""
    """Hash of how many clips of which class were evaluated, in test and validation."""
    marks: Reasons = ()
    answers: Answers = field(default_factory=lambda: np.zeros(0, np.int32))
    """A sample of what the method answered on the test clips."""
    reproductions: tuple[Reproduction, ...] = ()
    """Those beside the record that speak of it, claims among them."""
    refused: Reasons = ()
    """Why others beside it do not count. They cost the run nothing."""

    @property
    def evidence(self) -> str:
        """Hash of the run's evidence; empty for a failed run."""
        return self.record.outcome.evidence if self.record.outcome is not None else ""

    @property
    def evaluated(self) -> tuple[object, ...]:
        """On what the run was evaluated, as far as its record tells."""
        return self.clips, self.record.simulated, tuple(self.record.warnings)

    def is_copy_of(self, other: Finding) -> bool:
        """Whether two runs have one evidence, or answers so much alike as two trained ones do not come to."""
        trained = was_trained(self.record) or was_trained(other.record)
        return self.is_like(other) if trained else self.evidence == other.evidence

    def is_like(self, other: Finding) -> bool:
        """Whether two runs have nearly the same answers, whatever they say of training."""
        return self.evidence == other.evidence or (self.clips == other.clips and alike(self.answers, other.answers))


def find(
    record: RunRecord,
    tables: Mapping[str, Evidence],
    declared: Declared,
    reproductions: Iterable[Reproduction | Unreadable] = (),
) -> Finding:
    """Judge a record by itself, with its evidence and what lies beside it."""
    said = declared(record)
    reasons = (*check_tables(record, tables), *said.against)
    told, refused = sorted_out(reproductions, record)
    if reasons or TEST not in tables:
        return Finding(record, reasons, reproductions=told, refused=refused)
    return Finding(record, (), _clips(tables), said.marks, answers_of(tables[TEST]), told, refused)


def find_in(folder: ResultsFolder, record: RunRecord, declared: Declared) -> Finding:
    """The same, with the evidence of a folder. A failed run has no numbers to check."""
    try:
        tables = folder.evidence(record) if record.finished else {}
        return find(record, tables, declared, folder.reproductions(record))
    except RecordError as error:
        return Finding(record, (str(error),))


def sorted_out(
    reproductions: Iterable[Reproduction | Unreadable], record: RunRecord
) -> tuple[tuple[Reproduction, ...], Reasons]:
    """Those that speak of a record, and why the others do not count: unreadable, stale, foreign or forged ones."""
    told, refused = [], []
    for found in reproductions:
        if isinstance(found, Unreadable):
            refused.append(found.reason)
        elif wrong := list(reproduction_contradictions(found, record)):
            refused += [f"reproduction by {printable(found.by, 60)}: {reason}" for reason in wrong]
        else:
            told.append(found)
    return tuple(told), tuple(refused)


def rows_of(findings: Iterable[Finding]) -> list[list[Finding]]:
    """Those whose records differ in the seed alone, together."""
    rows: dict[str, list[Finding]] = defaultdict(list)
    for f in findings:
        rows[f.record.configuration.row].append(f)
    return list(rows.values())


def _clips(tables: Mapping[str, Evidence]) -> str:
    digest = hashlib.sha256()
    for name in (TEST, VALIDATION):
        if name in tables:
            digest.update(tables[name].classes.tobytes() + tables[name].class_clips.tobytes())
    return digest.hexdigest()
