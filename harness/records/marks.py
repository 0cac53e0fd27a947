"""Marks: what is said beside the numbers of sound runs. Knows no torch."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence

from avbench.harness.printable import printable
from avbench.harness.records.finding import Finding, rows_of
from avbench.harness.records.record import RunRecord, canonical_json

SAME_SEEDS = "the same for every seed"
"""Mark of a run whose method gives one result whatever the seed."""
ALIKE_SEEDS = "nearly the same for several seeds"
"""Mark of a run that answers as another seed of its row does, but for a few clips: they are not separate seeds."""
OTHER_PRESETS = "tells other presets than another run of its code"
"""Mark of a run of which nobody can tell whether its options were chosen: of one code, the presets are the same."""
CONFLICT = "in conflict"
"""Beginning of the mark of a run that contradicts another, where nobody can tell who is right."""


def marks_of(findings: Sequence[Finding], conflicts: Mapping[str, str]) -> dict[str, tuple[str, ...]]:
    """What is said beside numbers: by the methods, of conflicts, and of equal evidence.

    Two rows of a board with one evidence both stay and say so, and so does a row whose seeds change nothing, or little:
    where nothing is trained this is as it should be, but whether nothing was is only what a record says of itself.
    """
    marks: dict[str, list[str]] = defaultdict(list)
    rows = rows_of(findings)
    for members in rows:
        mark = SAME_SEEDS if len({f.evidence for f in members}) == 1 else ALIKE_SEEDS
        for f in members:
            if any(f.is_like(other) for other in members if other is not f):
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
            having[f.evidence, f.record.configuration.protocol.name].append((number, f.record))
    marks: dict[str, list[str]] = defaultdict(list)
    for number, members in enumerate(rows):
        equal: dict[str, list[str]] = defaultdict(list)  # runs of this row, by the name of the other one
        for f in members:
            others = having[f.evidence, f.record.configuration.protocol.name]
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
