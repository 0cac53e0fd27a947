"""Whether what a record tells of its run can be: dates, times, memory, versions, epochs, parts of the code.

Every bound is one that no genuine run can meet. Knows no torch.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

from avbench.harness.records.record import Environment, Outcome, RunRecord, hash_of_code

EARLIEST = datetime(2020, 1, 1, tzinfo=UTC)
MOST_MEMORY = 2**47
"""Bytes that a process can address; so many parameters at most can be trained."""
VERSIONS = {"python": ((3, 11), (9, 999)), "torch": ((2, 4), (9, 999))}
"""The oldest version that avbench runs on, and one that is far away."""
_VERSION = re.compile(r"(\d{1,3})\.(\d{1,3})(?!\d)")


def implausible(record: RunRecord) -> Iterator[str]:
    """What cannot be, one sentence each."""
    yield from _times(record)
    yield from _versions(record.environment)
    if record.code and hash_of_code(record.code) != record.configuration.plugin.source_hash:
        yield "the source hash does not follow from the parts of the code"
    if record.outcome is not None:
        yield from _sizes(record, record.outcome)


def _times(record: RunRecord) -> Iterator[str]:
    measured, latest = record.measured, datetime.now(UTC) + timedelta(days=1)
    try:
        started = datetime.fromisoformat(measured.started)
        started = started if started.tzinfo else started.replace(tzinfo=UTC)
        if not EARLIEST <= started <= latest:
            yield f"it started at {measured.started}: before {EARLIEST.year}, or in the future"
        elif started + timedelta(seconds=measured.seconds) > latest:
            yield f"it took {measured.seconds:g} seconds from {measured.started} on and ended in the future"
    except (ValueError, OverflowError):
        yield f"it started at {measured.started!r}, which is no date"
    if measured.seconds_stage_1 + measured.seconds_stage_2 > measured.seconds + 1:
        yield "its stages took longer than the run"
    if record.finished and not measured.seconds:
        yield "it took no time"


def _versions(environment: Environment) -> Iterator[str]:
    for name, (oldest, newest) in VERSIONS.items():
        stated = str(getattr(environment, name))
        found = _VERSION.match(stated)
        if found is None or not oldest <= (int(found[1]), int(found[2])) <= newest:
            yield f"{name} has no version {stated[:40]!r} that avbench runs on"


def _sizes(record: RunRecord, outcome: Outcome) -> Iterator[str]:
    memory = record.measured.peak_memory_bytes
    if memory > MOST_MEMORY:
        yield f"it took {memory:,} bytes of memory, more than a process can address"
    if outcome.parameters > (memory or MOST_MEMORY):
        yield f"it trained {outcome.parameters:,} parameters in {memory:,} bytes of memory"
    epochs = record.configuration.options.get("epochs")
    if isinstance(epochs, int) and len(outcome.validation) > epochs:
        yield f"it has {len(outcome.validation)} epochs of validation, its options allow {epochs}"
