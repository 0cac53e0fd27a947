"""One record by itself: every number recomputed from its evidence, its split and its protocol. Knows no torch.

What cannot be checked here: that the evidence came from the stated code, and that the features were the genuine ones.
The content hash of the features keeps results on other contents apart. What records say about each other is judged in
:mod:`avbench.harness.records.gate`, which most commands ask; ``run``, and ``analyse`` of named runs, ask here.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import asdict
from functools import cache

import numpy as np

from avbench.harness.errors import RecordError
from avbench.harness.evaluation.evidence import TEST, VALIDATION, Evidence
from avbench.harness.evaluation.metrics import evaluate, harmonic_mean
from avbench.harness.evaluation.protocol import PROTOCOLS, Protocol
from avbench.harness.records.plausibility import implausible
from avbench.harness.records.record import Outcome, RunRecord
from avbench.harness.records.results import ResultsFolder
from avbench.splits import DATASETS, PARTITIONS, Split, load_split

COMBINED = "combined"
"""The name of the combined scores among the branch offsets."""

MANY = 20
"""Fewer different answers say nothing about whether scores are continuous."""
CONTINUOUS = 0.99
"""Share of different scores among answers given once, from which on scores count as continuous."""
MAX_REPEATED = 0.05
"""Share of clips whose answer may be an exact copy of another's: some public clips are uploaded twice."""

PARTS = {TEST: ("test_seen", "test_unseen"), VALIDATION: ("val_seen", "val_unseen")}
"""Evidence table -> the seen and the unseen part of the split that it covers."""


def check(record: RunRecord, folder: ResultsFolder) -> list[str]:
    """Every reason not to believe a record; empty for a sound one. A failed run has no numbers to check."""
    try:
        tables = folder.evidence(record) if record.finished else {}
    except RecordError as error:
        return [str(error)]
    return check_tables(record, tables)


def check_tables(record: RunRecord, tables: Mapping[str, Evidence]) -> list[str]:
    """:func:`check` for a caller that has read the evidence already; a failed run has no tables."""
    c = record.configuration
    reasons = []
    if c.track.simulated and not record.simulated:
        reasons.append(f"features {c.features!r} are simulated, the record says they are not")
    protocol = PROTOCOLS.get(c.protocol.name)
    if protocol is None:
        reasons.append(f"unknown protocol {c.protocol.name!r}")
    elif protocol.version != c.protocol.version:
        reasons.append(f"protocol {protocol.name} has version {protocol.version}, the record {c.protocol.version}")
    split = find_split(record)
    if split is None:
        reasons.append(f"unknown split: no split of {c.dataset!r} for {c.features!r} has this fingerprint")
    if record.outcome is None or protocol is None or split is None or reasons:
        return reasons
    reasons.extend(_tables_and_names(record.outcome, protocol, tables))
    for name, table in tables.items():
        reasons.extend(_against_split(name, table, split, record))
        if (copies := repeated_clips(table)) > MAX_REPEATED * table.label.size:
            reasons.append(f"{name}: {copies} of {table.label.size} clips have the very scores of another clip")
    reasons.extend(implausible(record))
    if reasons:  # the numbers below would be of something else
        return reasons
    protocol = protocol.on(c.track)
    try:
        return [*_validation(record, record.outcome, protocol, tables), *_test(record, record.outcome, tables[TEST])]
    except RecordError as error:
        return [str(error)]


def find_split(record: RunRecord) -> Split | None:
    """The split of a record's data set with its fingerprint. Features named after a partition must follow that one."""
    c = record.configuration
    if c.dataset not in DATASETS:
        return None
    own = c.track.partition
    partitions = PARTITIONS if own is None else (own,)
    splits = (load_split(c.dataset, partition) for partition in partitions)
    return next((split for split in splits if split.fingerprint == c.split_fingerprint), None)


def _tables_and_names(outcome: Outcome, protocol: Protocol, tables: Mapping[str, Evidence]) -> Iterator[str]:
    """Whether the evidence has the tables that the outcome speaks of."""
    branches = outcome.branch_offsets.keys()
    if branches and not (protocol.averaged_offset and COMBINED in branches and len(branches) > 1):
        yield f"protocol {protocol.name} does not average the offsets of {', '.join(sorted(branches))}"
    expected = {TEST, VALIDATION} | {f"{VALIDATION}.{name}" for name in branches if name != COMBINED}
    if tables.keys() != expected:
        yield (
            f"the evidence has the tables {', '.join(sorted(tables)) or 'none'}; "
            f"the record needs {', '.join(sorted(expected))}"
        )


def _against_split(name: str, table: Evidence, split: Split, record: RunRecord) -> Iterator[str]:
    """Whether a table has the search spaces of the split and, but for simulated features, its very labels.

    Evidence lies by side and class, so the counts of the split are its label vector. Whatever features lack was said
    when they came in: without warnings they have all clips.
    """
    parts = PARTS[TEST if name == TEST else VALIDATION]
    for part, space in zip(parts, (table.seen_classes, table.unseen_classes), strict=True):
        expected = _clips_by_class(split.dataset, split.partition, part)
        if space.tolist() != list(expected):
            yield f"{name}: the search space of {part} is not the split's {len(expected)} classes (it has {space.size})"
            return
    if not in_canonical_order(table):
        yield f"{name}: clips are not in the order of evidence, seen before unseen and then by class; run it again"
        return
    if record.simulated:
        return
    whole = {i: n for part in parts for i, n in _clips_by_class(split.dataset, split.partition, part).items()}
    counted = zip(table.classes.tolist(), table.class_clips.tolist(), strict=True)
    wrong = [
        f"{split.classes[i].name} {clips} of {'some' if whole[i] is None else whole[i]}"
        for i, clips in counted
        if not _may_be(clips, whole[i], complete=not record.warnings)
    ]
    if wrong:
        shown = ", ".join(wrong[:3]) + (", ..." if len(wrong) > 3 else "")
        yield f"{name}: clips differ from the split in {len(wrong)} classes: {shown}"
        return
    if record.warnings:
        yield from _warned(name, parts, table, split, record)


def _may_be(clips: int, public: int | None, *, complete: bool) -> bool:
    """Whether so many clips of a class can be evaluated. ``public``: how many there are; None where no list says."""
    if public is None:
        return clips > 0 or not complete
    return clips == public if complete else clips <= public


def _warned(name: str, parts: tuple[str, str], table: Evidence, split: Split, record: RunRecord) -> Iterator[str]:
    """Whether the clips that a part lacks are those that the import warned of."""
    for part, is_seen in zip(parts, (True, False), strict=True):
        clips = int((table.is_seen == is_seen).sum())
        public = split.parts[part].videos
        if public is not None and clips != public:
            words = f"{part}: {clips:,} clips, the split has {public:,}, so "
            if not any(warning.startswith(words) for warning in record.warnings):
                yield f"{name}: {part} has {clips:,} of {public:,} clips, and no warning of the import says so"


def in_canonical_order(table: Evidence) -> bool:
    """Whether the clips of seen classes come before those of unseen ones, and each side in the order of class ids."""
    place = table.label + np.where(table.is_seen, 0, int(table.classes[-1]) + 1)
    return bool((np.diff(place) >= 0).all())


def repeated_clips(table: Evidence) -> int:
    """Clips that are exact copies of another one's answer, although scores are continuous; 0 where they are not."""
    scores = np.sort(table.seen_score.view(np.uint32).astype(np.uint64) << 32 | table.unseen_score.view(np.uint32))
    if (scores[1:] != scores[:-1]).all():  # as nearly always, which is told much sooner this way
        return 0
    answers = [table.seen_class, table.seen_score.view(np.int32), table.unseen_class, table.unseen_score.view(np.int32)]
    pairs = np.stack(answers, axis=1).view(np.int64)  # two numbers in one: they sort several times as fast as rows
    order = np.lexsort((pairs[:, 1], pairs[:, 0]))
    starts = np.flatnonzero(np.append(True, (np.diff(pairs[order], axis=0) != 0).any(axis=1)))
    counts = np.diff(starts, append=len(order))
    single = table.seen_score[order[starts[counts == 1]]]
    if len(single) < MANY or len(np.unique(single)) < CONTINUOUS * len(single):
        return 0
    return int((counts - 1).sum())


@cache
def _clips_by_class(dataset: str, partition: str, part: str) -> Mapping[int, int | None]:
    """Clips of each class of a part by ascending class id; None where no public list says."""
    return {c.id: c.videos[part] for c in load_split(dataset, partition).classes_of(part)}


def _validation(
    record: RunRecord, outcome: Outcome, protocol: Protocol, tables: Mapping[str, Evidence]
) -> Iterator[str]:
    """Whether epoch and offset follow from the validation evidence by the protocol's rules."""
    history = outcome.validation
    if not history:
        yield "there is no validation history"
        return
    for number, epoch in enumerate(history, start=1):
        if not _same(harmonic_mean(epoch.S, epoch.U), epoch.HM):
            yield f"validation epoch {number}: HM {epoch.HM:.4f} does not follow from S and U"
    best = 0
    for index, epoch in enumerate(history):
        if protocol.replaces(epoch.HM, history[best].HM):
            best = index
    if outcome.epochs != best + 1:
        yield f"epoch {best + 1} has the best validation HM, the record uses {outcome.epochs}"
        return
    combined = _offset(record, protocol, tables[VALIDATION])
    found = {
        name: _offset(record, protocol, tables[f"{VALIDATION}.{name}"])
        for name in outcome.branch_offsets
        if name != COMBINED
    }
    if outcome.branch_offsets:
        found[COMBINED] = combined
        for name, value in found.items():
            if not _same_offset(value, outcome.branch_offsets[name]):
                yield f"offset of {name} is {outcome.branch_offsets[name]!r}, the validation evidence gives {value!r}"
    expected = sum(found.values()) / len(found) if found else combined
    if not _same_offset(expected, outcome.offset):
        yield f"offset is {outcome.offset!r}, the validation evidence gives {expected!r}"
    if not _same_offset(combined, history[best].offset):
        yield f"offset of validation epoch {best + 1} is {history[best].offset!r}, its evidence gives {combined!r}"
    metrics = evaluate(tables[VALIDATION], combined, allow_empty=bool(record.warnings))
    for metric in ("S", "U", "HM"):
        stated, value = getattr(history[best], metric), getattr(metrics, metric)
        if not _same(stated, value):
            yield f"validation {metric} is stated as {stated:.4f}, the evidence gives {value:.4f}"


def _test(record: RunRecord, outcome: Outcome, table: Evidence) -> Iterator[str]:
    """Whether every metric follows from the test evidence and the offset."""
    metrics = evaluate(table, outcome.offset, allow_empty=bool(record.warnings))
    for metric, value in asdict(metrics).items():
        stated = getattr(outcome.metrics, metric)
        if not _same(stated, value):
            yield f"{metric} is stated as {stated:.4f}, the evidence gives {value:.4f}"


def _offset(record: RunRecord, protocol: Protocol, table: Evidence) -> float:
    if not record.capabilities.calibrated_stacking:
        return 0.0
    return protocol.find_offset(table, allow_empty=bool(record.warnings)).value


def _same(stated: float, value: float) -> bool:
    return math.isclose(stated, value, rel_tol=0, abs_tol=1e-6)


def _same_offset(stated: float, value: float) -> bool:
    return math.isclose(stated, value, rel_tol=1e-9, abs_tol=1e-12)
