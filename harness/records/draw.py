"""Drawing runs to be repeated, so that whoever sent them can neither guess nor choose which. Knows no torch."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

from avbench.harness.records.record import RunRecord


def draw(records: Sequence[RunRecord], count: int, seed: int) -> list[RunRecord]:
    """A sample that depends on the seed and on which runs there are, not on their order.

    Runs are ordered by SHA-256 of seed and identity: who does not know the seed cannot tell one run from another.
    """
    ordered = sorted(records, key=lambda record: hashlib.sha256(f"{seed} {record.identity}".encode()).digest())
    return ordered[:count]
