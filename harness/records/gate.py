"""The one gate: what of a set of records may stand on a board, and why the rest may not. Knows no torch.

Everything is checked that can be known without training. Each record is judged by itself
(:mod:`avbench.harness.records.verification`), by what the installed methods say, and beside the others; so is what
repetitions of it came to (:mod:`avbench.harness.records.reproduction`). There is no
vote, and dates, which anybody can write, decide nothing: complete features of a public archive are right by the split;
where others contradict each other all stay, with a mark, and ``accept`` lets in nothing that contradicts what is filed.
``verify``, ``accept``, ``build`` and ``publish`` ask here, so they agree.
"""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from avbench.harness.errors import RecordError
from avbench.harness.evaluation.evidence import TEST, VALIDATION, Evidence
from avbench.harness.printable import printable
from avbench.harness.records.likeness import Answers, alike, answers_of, was_trained
from avbench.harness.records.record import RunRecord, canonical_json
from avbench.harness.records.reproduction import Reproduction, decisive
from avbench.harness.records.reproduction import contradictions as reproduction_contradictions
from avbench.harness.records.results import ResultsFolder, Unreadable
from avbench.harness.records.verification import check_tables
from avbench.splits import PARTITIONS

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


SAME_SEEDS = "the same for every seed"
"""Mark of a run whose method gives one result whatever the seed."""
ALIKE_SEEDS = "nearly the same for several seeds"
"""Mark of a run that answers as another seed of its row does, but for a few clips: they are not separate seeds."""
OTHER_PRESETS = "tells other presets than another run of its code"
"""Mark of a run of which nobody can tell whether its options were chosen: of one code, the presets are the same."""
CONFLICT = "in conflict"
"""Beginning of the mark of a run that contradicts another, where nobody can tell who is right."""


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


@dataclass(frozen=True)
class Dispute:
    """Runs on one content of a track's features that are at odds about what it holds. Nobody can tell who is right."""

    track: str
    feature_hash: str
    sides: tuple[tuple[str, ...], ...]
    """Identities of the runs that agree with each other."""

    def in_words(self) -> str:
        sides = (
            f"{len(runs)} run{'s' * (len(runs) > 1)} ({', '.join(run[:8] for run in runs[:_NAMED])}"
            f"{', ...' * (len(runs) > _NAMED)})"
            for runs in self.sides
        )
        return (
            f"{self.track}, features {self.feature_hash[:8]}: {' and '.join(sides)} "
            "state the same features, but have other clips or warnings; none of their rows is tested or compared"
        )


_NAMED = 5
"""Runs of one side that are named."""


@dataclass(frozen=True)
class Verdicts:
    """What the gate says of records, by identity. A record without reasons is sound."""

    reasons: Mapping[str, Reasons]
    marks: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    """What must be said beside a sound record's number, such as "identical to avca"."""
    conflicts: Mapping[str, str] = field(default_factory=dict)
    """Sound records that contradict others, of which nobody can tell here who is right. They are marked too."""
    reproductions: Mapping[str, Reproduction] = field(default_factory=dict)
    """The one that counts, of each sound record that was repeated."""
    refused: Mapping[str, Reasons] = field(default_factory=dict)
    """Why reproductions beside a record do not count, of any record."""
    disputes: tuple[Dispute, ...] = ()
    """The conflicts, by track and features."""


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
    refused, conflicts = _other_clips(standing)
    reasons |= {identity: (reason,) for identity, reason in refused.items()}
    repeated = _repeated_seeds([f for f in standing if not reasons[f.record.identity]])
    reasons |= {identity: (reason,) for identity, reason in repeated.items()}
    sound = [f for f in standing if not reasons[f.record.identity]]
    conflicts = {f.record.identity: conflicts[f.record.identity] for f in sound if f.record.identity in conflicts}
    return Verdicts(
        reasons,
        _marks(sound, conflicts),
        conflicts,
        {f.record.identity: one for f in sound if (one := decisive(f.reproductions))},
        {identity: f.refused for identity, f in by_identity.items() if f.refused},
        _disputes([f for f in sound if f.record.identity in conflicts]),
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


def _other_clips(findings: Sequence[Finding]) -> tuple[dict[str, str], dict[str, str]]:
    """Records that state the same features, but were evaluated on other clips: what is refused, and what conflicts.

    One that has all clips of a public archive and nothing to warn of is right, and the others are refused. Where there
    is none, nobody can tell: a date is only what a record says of itself, and a majority is easily made.
    """
    groups: dict[tuple[str, str], list[Finding]] = defaultdict(list)
    for f in findings:
        groups[str(f.record.configuration.track), f.record.configuration.feature_hash].append(f)
    refused: dict[str, str] = {}
    conflicts: dict[str, str] = {}
    for members in groups.values():
        kinds: dict[tuple[object, ...], Finding] = {}
        for f in members:
            kinds.setdefault(_evaluated(f), f)
        whole = next((f for f in members if _is_whole(f.record)), None)
        for f in members if len(kinds) > 1 else ():
            if whole is None:
                other = next(o for kind, o in kinds.items() if kind != _evaluated(f))
                conflicts[f.record.identity] = (
                    f"run {other.record.identity[:12]} states the same features, but has other clips or warnings"
                )
            elif _evaluated(f) != _evaluated(whole):
                refused[f.record.identity] = (
                    f"states the features of run {whole.record.identity[:12]}, which is complete, "
                    "but has other clips or warnings"
                )
    return refused, conflicts


def _disputes(conflicting: Iterable[Finding]) -> tuple[Dispute, ...]:
    sides: dict[tuple[str, str], dict[tuple[object, ...], list[str]]] = defaultdict(lambda: defaultdict(list))
    for f in conflicting:
        c = f.record.configuration
        sides[str(c.track), c.feature_hash][_evaluated(f)].append(f.record.identity)
    return tuple(Dispute(*place, tuple(map(tuple, runs.values()))) for place, runs in sides.items())


def _evaluated(finding: Finding) -> tuple[object, ...]:
    """On what a run was evaluated, as far as its record tells."""
    return finding.clips, finding.record.simulated, tuple(finding.record.warnings)


def _is_whole(record: RunRecord) -> bool:
    """Whether the record passed as one on all clips of a public archive."""
    return record.configuration.features in PARTITIONS and not record.simulated and not record.warnings


def _repeated_seeds(findings: Sequence[Finding]) -> dict[str, str]:
    """Seeds with the answers of another seed, where that cannot be: something was trained, or only some repeat.

    Of those that repeat, one stays.
    """
    found: dict[str, str] = {}
    for members in _rows(findings).values():
        members.sort(key=lambda f: f.record.configuration.seed)
        different: list[Finding] = []
        repeated: dict[str, str] = {}
        for f in members:
            twin = next((other for other in different if _is_copy(f, other)), None)
            if twin is None:
                different.append(f)
            else:
                repeated[f.record.identity] = (
                    f"has the evidence of seed {twin.record.configuration.seed} of the same configuration"
                    f"{'' if _evidence(f) == _evidence(twin) else ', but for very few clips'}"
                )
        if len(different) > 1 or any(was_trained(f.record) for f in members):
            found |= repeated
    return found


def _is_copy(one: Finding, other: Finding) -> bool:
    """Whether two runs have one evidence, or answers so much alike as two trained ones do not come to."""
    trained = was_trained(one.record) or was_trained(other.record)
    return _are_alike(one, other) if trained else _evidence(one) == _evidence(other)


def _are_alike(one: Finding, other: Finding) -> bool:
    """Whether two runs have nearly the same answers, whatever they say of training."""
    return _evidence(one) == _evidence(other) or (one.clips == other.clips and alike(one.answers, other.answers))


def copied(new: Finding, filed: Iterable[Finding]) -> Finding | None:
    """A run of another package's method on the same track of which a run is a copy.

    Methods of one distribution may come to the same: then both say so on the board.
    """
    c = new.record.configuration
    return next(
        (
            f
            for f in filed
            if f.record.configuration.track == c.track
            and f.record.configuration.method != c.method
            and f.record.configuration.plugin.distribution != c.plugin.distribution
            and not f.reasons
            and f.record.finished
            and _is_copy(new, f)
        ),
        None,
    )


def _evidence(finding: Finding) -> str:
    return finding.record.outcome.evidence if finding.record.outcome is not None else ""


def _rows(findings: Sequence[Finding]) -> dict[str, list[Finding]]:
    """Records that differ in the seed alone."""
    rows: dict[str, list[Finding]] = defaultdict(list)
    for f in findings:
        rows[canonical_json(f.record.configuration.model_dump(mode="json", exclude={"seed"}))].append(f)
    return rows


def _marks(findings: Sequence[Finding], conflicts: Mapping[str, str]) -> dict[str, tuple[str, ...]]:
    """What is said beside numbers: by the methods, of conflicts, and of equal evidence.

    Two rows of a board with one evidence both stay and say so, and so does a row whose seeds change nothing, or little:
    where nothing is trained this is as it should be, but whether nothing was is only what a record says of itself.
    """
    marks: dict[str, list[str]] = defaultdict(list)
    rows = list(_rows(findings).values())
    for members in rows:
        mark = SAME_SEEDS if len({_evidence(f) for f in members}) == 1 else ALIKE_SEEDS
        for f in members:
            if any(_are_alike(f, other) for other in members if other is not f):
                marks[f.record.identity].append(mark)
    for identity, told in _identical(rows).items():
        marks[identity] += told
    doubtful = _telling_other_presets(findings)
    for f in findings:
        if f.record.identity in doubtful:
            marks[f.record.identity].append(OTHER_PRESETS)
        if f.record.identity in conflicts:
            marks[f.record.identity].append(f"{CONFLICT}: {conflicts[f.record.identity]}")
        marks[f.record.identity] += f.marks
    return {identity: tuple(found) for identity, found in marks.items() if found}


def _identical(rows: Sequence[Sequence[Finding]]) -> dict[str, list[str]]:
    """Marks of runs whose evidence runs of other rows have too. A row is said to be identical to another only where
    all its runs are; else its mark tells how many of them, and only those bear it."""
    having: dict[tuple[str, str], list[tuple[int, RunRecord]]] = defaultdict(list)
    for number, members in enumerate(rows):
        for f in members:
            having[_evidence(f), f.record.configuration.protocol.name].append((number, f.record))
    marks: dict[str, list[str]] = defaultdict(list)
    for number, members in enumerate(rows):
        equal: dict[str, list[str]] = defaultdict(list)  # runs of this row, by the name of the other one
        for f in members:
            others = having[_evidence(f), f.record.configuration.protocol.name]
            for name in {_named(f.record, other) for at, other in others if at != number}:
                equal[name].append(f.record.identity)
        whole = sorted(name for name, runs in equal.items() if len(runs) == len(members))
        for f in members if whole else ():
            marks[f.record.identity].append(f"identical to {', '.join(whole)}")
        for name in sorted(equal.keys() - set(whole)):
            for identity in equal[name]:
                marks[identity].append(f"{len(equal[name])} of {len(members)} runs identical to {name}")
    return marks


def _telling_other_presets(findings: Iterable[Finding]) -> set[str]:
    """Runs of one code that do not tell the same presets, by which boards judge where the method is not installed."""
    told: dict[tuple[object, ...], dict[str, list[str]]] = defaultdict(lambda: defaultdict(list))
    for f in findings:
        if f.record.about is not None and f.record.about.options:
            c, about = f.record.configuration, f.record.about.model_dump(mode="json")
            presets = canonical_json([[(o["name"], o["default"]) for o in about["options"]], about["presets"]])
            told[c.method, c.plugin][presets].append(f.record.identity)
    return {run for kinds in told.values() if len(kinds) > 1 for runs in kinds.values() for run in runs}


def _named(record: RunRecord, other: RunRecord) -> str:
    """Another run, as seen from one: by its method and variant, or by what else differs. Without semicolons, which part
    marks."""
    c, o = record.configuration, other.configuration
    if c.method != o.method or (other.variant and other.variant != record.variant):
        what = other.variant
    elif c.options != o.options:
        differing = (f"{name}={canonical_json(v)}" for name, v in o.options.items() if c.options.get(name) != v)
        what = ", ".join(differing) or "other options"
    else:
        return (
            f"{o.method} {o.plugin.version} with other code" if c.plugin != o.plugin else f"another run of {o.method}"
        )
    return f"{o.method} ({printable(what, 100).replace(';', ',')})" if what else o.method
