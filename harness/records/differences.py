"""What differs between two records of one identity."""

from __future__ import annotations

from avbench.harness.records.record import RunRecord


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
