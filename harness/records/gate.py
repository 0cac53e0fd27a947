"""The one gate: what of a set of records may stand on a board, and why the rest may not. Knows no torch.

Everything is checked that can be known without training. Each record is judged by itself and by what the installed
methods say (:mod:`avbench.harness.records.finding`), and here beside the others; so is what repetitions of it came to
(:mod:`avbench.harness.records.reproduction`). There is no vote, and dates, which anybody can write, decide nothing:
complete features of a public archive are right by the split; where others contradict each other all stay, with a mark
(:mod:`avbench.harness.records.marks`), and ``accept`` lets in nothing that contradicts what is filed.

``verify``, ``accept``, ``show``, ``table``, ``compare``, ``export``, ``reproduce``, ``analyse sensitivity`` and
``build``, whose site ``publish`` pushes, ask here, so they agree.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from avbench.harness.records.finding import Declared, Finding, Reasons, find_in, rows_of
from avbench.harness.records.likeness import was_trained
from avbench.harness.records.marks import marks_of
from avbench.harness.records.record import RunRecord
from avbench.harness.records.reproduction import Reproduction, decisive
from avbench.harness.records.results import ResultsFolder
from avbench.splits import PARTITIONS


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
        marks_of(sound, conflicts),
        conflicts,
        {f.record.identity: one for f in sound if (one := decisive(f.reproductions))},
        {identity: f.refused for identity, f in by_identity.items() if f.refused},
        _disputes([f for f in sound if f.record.identity in conflicts]),
    )


def judge_folder(folder: ResultsFolder, records: Iterable[RunRecord], declared: Declared) -> Verdicts:
    """Judge the records of a folder."""
    return judge(find_in(folder, record, declared) for record in records)


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
            kinds.setdefault(f.evaluated, f)
        whole = next((f for f in members if _is_whole(f.record)), None)
        for f in members if len(kinds) > 1 else ():
            if whole is None:
                other = next(o for kind, o in kinds.items() if kind != f.evaluated)
                conflicts[f.record.identity] = (
                    f"run {other.record.identity[:12]} states the same features, but has other clips or warnings"
                )
            elif f.evaluated != whole.evaluated:
                refused[f.record.identity] = (
                    f"states the features of run {whole.record.identity[:12]}, which is complete, "
                    "but has other clips or warnings"
                )
    return refused, conflicts


def _disputes(conflicting: Iterable[Finding]) -> tuple[Dispute, ...]:
    sides: dict[tuple[str, str], dict[tuple[object, ...], list[str]]] = defaultdict(lambda: defaultdict(list))
    for f in conflicting:
        c = f.record.configuration
        sides[str(c.track), c.feature_hash][f.evaluated].append(f.record.identity)
    return tuple(Dispute(*place, tuple(map(tuple, runs.values()))) for place, runs in sides.items())


def _is_whole(record: RunRecord) -> bool:
    """Whether the record passed as one on all clips of a public archive."""
    return record.configuration.features in PARTITIONS and not record.simulated and not record.warnings


def _repeated_seeds(findings: Sequence[Finding]) -> dict[str, str]:
    """Seeds with the answers of another seed, where that cannot be: something was trained, or only some repeat.

    Of those that repeat, one stays.
    """
    found: dict[str, str] = {}
    for members in rows_of(findings):
        members.sort(key=lambda f: f.record.configuration.seed)
        different: list[Finding] = []
        repeated: dict[str, str] = {}
        for f in members:
            twin = next((other for other in different if f.is_copy_of(other)), None)
            if twin is None:
                different.append(f)
            else:
                repeated[f.record.identity] = (
                    f"has the evidence of seed {twin.record.configuration.seed} of the same configuration"
                    f"{'' if f.evidence == twin.evidence else ', but for very few clips'}"
                )
        if len(different) > 1 or any(was_trained(f.record) for f in members):
            found |= repeated
    return found


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
            and new.is_copy_of(f)
        ),
        None,
    )
