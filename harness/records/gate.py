"""The one gate: what of a set of records may stand on a board, and why the rest may not. Knows no torch.

Everything is checked that can be known without training. Each record is judged by itself
(:mod:`avbench.harness.records.verification`), by what the installed methods say, and beside the others; so is what
repetitions of it came to (:mod:`avbench.harness.records.reproduction`). There is no
vote: features of a public archive are compared with the split, others with the earliest filed run on the same content.
``verify``, ``accept``, ``build`` and ``publish`` ask here, so they agree.
"""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from avbench.harness.errors import RecordError
from avbench.harness.evaluation.evidence import TEST, VALIDATION, Evidence
from avbench.harness.printable import printable
from avbench.harness.records.record import RunRecord, canonical_json
from avbench.harness.records.reproduction import Reproduction, decisive
from avbench.harness.records.reproduction import contradictions as reproduction_contradictions
from avbench.harness.records.results import ResultsFolder, Unreadable
from avbench.harness.records.verification import check_tables
from avbench.splits import PARTITIONS

Reasons = tuple[str, ...]
Declared = Callable[[RunRecord], Sequence[str]]
"""What contradicts a record in what the installed methods say of themselves."""


def nothing_declared(_record: RunRecord) -> Reasons:
    """For a place where no methods are installed."""
    return ()


SAME_SEEDS = "the same for every seed"
"""Mark of a run whose method gives one result whatever the seed."""


@dataclass(frozen=True)
class Finding:
    """One record by itself."""

    record: RunRecord
    reasons: Reasons
    clips: str = ""
    """Hash of how many clips of which class were evaluated, in test and validation."""
    reproductions: tuple[Reproduction, ...] = ()
    """Those beside the record that speak of it, claims among them."""
    refused: Reasons = ()
    """Why others beside it do not count. They cost the run nothing."""


@dataclass(frozen=True)
class Verdicts:
    """What the gate says of records, by identity. A record without reasons is sound."""

    reasons: Mapping[str, Reasons]
    marks: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    """What must be said beside a sound record's number, such as "identical to avca"."""
    reproductions: Mapping[str, Reproduction] = field(default_factory=dict)
    """The one that counts, of each sound record that was repeated."""
    refused: Mapping[str, Reasons] = field(default_factory=dict)
    """Why reproductions beside a record do not count, of any record."""


def find(
    record: RunRecord,
    tables: Mapping[str, Evidence],
    declared: Declared,
    reproductions: Iterable[Reproduction | Unreadable] = (),
) -> Finding:
    """Judge a record by itself, with its evidence and what lies beside it."""
    reasons = (*check_tables(record, tables), *declared(record))
    told, refused = sorted_out(reproductions, record)
    return Finding(record, reasons, "" if reasons else _clips(tables), told, refused)


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


def find_in(folder: ResultsFolder, record: RunRecord, declared: Declared) -> Finding:
    """The same, with the evidence of a folder. A failed run has no numbers to check."""
    try:
        tables = folder.evidence(record) if record.finished else {}
        return find(record, tables, declared, folder.reproductions(record))
    except RecordError as error:
        return Finding(record, (str(error),))


def judge(findings: Iterable[Finding]) -> Verdicts:
    """Judge records beside each other."""
    by_identity = {f.record.identity: f for f in findings}
    reasons = {identity: f.reasons for identity, f in by_identity.items()}
    standing = [f for f in by_identity.values() if f.record.outcome is not None and not f.reasons]
    for contradictions in (_other_clips, _repeated_seeds):
        found = contradictions([f for f in standing if not reasons[f.record.identity]])
        reasons |= {identity: (reason,) for identity, reason in found.items()}
    sound = [f for f in standing if not reasons[f.record.identity]]
    return Verdicts(
        reasons,
        _marks([f.record for f in sound]),
        {f.record.identity: one for f in sound if (one := decisive(f.reproductions))},
        {identity: f.refused for identity, f in by_identity.items() if f.refused},
    )


def judge_folder(folder: ResultsFolder, records: Iterable[RunRecord], declared: Declared) -> Verdicts:
    """Judge the records of a folder."""
    return judge(find_in(folder, record, declared) for record in records)


def differences(one: RunRecord, other: RunRecord) -> str:
    """In words, what differs between two records of one identity."""
    a, b = (record.model_dump(mode="json") for record in (one, other))
    told = []
    for part in ("outcome", "environment", "capabilities", "measured"):
        old, new = a[part] or {}, b[part] or {}
        if part == "outcome":
            old, new = ({**(o.get("metrics") or {}), **o} for o in (old, new))
        told += [
            f"{name} {_short(old.get(name))} / {_short(new.get(name))}"
            for name in dict.fromkeys([*old, *new])
            if name not in ("metrics", "validation", "branch_offsets") and old.get(name) != new.get(name)
        ]
    told += [name for name in ("variant", "simulated", "warnings", "code") if a[name] != b[name]]
    return "; ".join(told) or "nothing that decides"


def _short(value: object) -> str:
    return f"{value:.6g}" if isinstance(value, float) else str(value)[:40]


def _clips(tables: Mapping[str, Evidence]) -> str:
    digest = hashlib.sha256()
    for name in (TEST, VALIDATION):
        if name in tables:
            digest.update(tables[name].classes.tobytes() + tables[name].class_clips.tobytes())
    return digest.hexdigest()


def _other_clips(findings: Sequence[Finding]) -> dict[str, str]:
    """Records that state the same features as an earlier one, but were evaluated on other clips.

    Where one has all clips of the split and nothing to warn of, it is right whenever it was filed.
    """
    groups: dict[tuple[str, str], list[Finding]] = defaultdict(list)
    for f in findings:
        groups[str(f.record.configuration.track), f.record.configuration.feature_hash].append(f)
    found: dict[str, str] = {}
    for members in groups.values():
        first = min(members, key=lambda f: (not _is_whole(f.record), *_filed(f.record)))
        for f in members:
            same = f.record.simulated == first.record.simulated and f.record.warnings == first.record.warnings
            if f.clips != first.clips or not same:
                found[f.record.identity] = (
                    "states the features of run "
                    f"{first.record.identity[:12]}, which is complete or older, but has other clips or warnings"
                )
    return found


def _is_whole(record: RunRecord) -> bool:
    """Whether the record passed as one on all clips of a public archive."""
    return record.configuration.features in PARTITIONS and not record.simulated and not record.warnings


def _filed(record: RunRecord) -> tuple[str, int, str]:
    return record.measured.started, record.configuration.seed, record.identity


def _repeated_seeds(findings: Sequence[Finding]) -> dict[str, str]:
    """Seeds whose evidence is that of another seed, where it cannot be: parameters are trained, or only some repeat."""
    found: dict[str, str] = {}
    for members in _rows([f.record for f in findings]).values():
        seeds: dict[str, list[RunRecord]] = defaultdict(list)
        for record in sorted(members, key=lambda r: r.configuration.seed):
            assert record.outcome is not None
            seeds[record.outcome.evidence].append(record)
        for copies in seeds.values():
            outcome = copies[0].outcome
            if len(copies) > 1 and outcome is not None and (outcome.parameters > 0 or len(seeds) > 1):
                text = f"has the evidence of seed {copies[0].configuration.seed} of the same configuration"
                found |= {record.identity: text for record in copies[1:]}
    return found


def _rows(records: Sequence[RunRecord]) -> dict[str, list[RunRecord]]:
    """Records that differ in the seed alone."""
    rows: dict[str, list[RunRecord]] = defaultdict(list)
    for record in records:
        rows[canonical_json(record.configuration.model_dump(mode="json", exclude={"seed"}))].append(record)
    return rows


def _marks(records: Sequence[RunRecord]) -> dict[str, tuple[str, ...]]:
    """Equal evidence: two rows of a board both stay and say so; under all seeds of a row, that seeds change nothing."""
    marks: dict[str, list[str]] = defaultdict(list)
    same: dict[tuple[str, str], list[tuple[str, RunRecord]]] = defaultdict(list)
    for row, members in _rows(records).items():
        hashes = {record.outcome.evidence for record in members if record.outcome is not None}
        if len(members) > 1 and len(hashes) == 1:
            for record in members:
                marks[record.identity].append(SAME_SEEDS)
        for record in members:
            assert record.outcome is not None
            same[record.outcome.evidence, record.configuration.protocol.name].append((row, record))
    for equal in same.values():
        for row, record in equal:
            others = {_named(record, other) for other_row, other in equal if other_row != row}
            if others:
                marks[record.identity].append(f"identical to {', '.join(sorted(others))}")
    return {identity: tuple(found) for identity, found in marks.items()}


def _named(record: RunRecord, other: RunRecord) -> str:
    """Another run, as seen from one: by its method, or by what else differs."""
    c, o = record.configuration, other.configuration
    if c.method != o.method:
        return o.method
    if c.options != o.options:
        return f"{o.method} with other options"
    return f"{o.method} {o.plugin.version} with other code" if c.plugin != o.plugin else f"another run of {o.method}"
