"""The ladder of trust: what a board says of a row beside its numbers, from the repetitions of its runs."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import pandas as pd

from avbench.harness.records.reproduction import Reproduction, Required, Status

LADDER: Mapping[Status, str] = {
    "not reproduced": "a repetition came to something else, by more than seeds differ, or failed",
    "reproduced blind": (
        "repeated by those who keep this board, where the method had no network, no labels and no files but its own "
        "package's"
    ),
    "reproduced": "repeated by those who keep this board, where the method could have reached the answers",
    "verified only": "every number follows from the evidence; nobody who keeps this board has repeated a run",
}
"""What a row may be, and what that means. A row is the first of these that any of its runs is."""
VERIFIED: Status = "verified only"
REQUIRED: Mapping[Required, frozenset[Status]] = {
    "reproduced": frozenset({"reproduced", "reproduced blind"}),
    "blind": frozenset({"reproduced blind"}),
}
"""What a board may ask of its rows."""


@dataclass(frozen=True)
class Rung:
    """Where a row stands on the ladder."""

    status: Status
    seeds: int
    """Of its runs, how many have this status."""
    of: int
    """Its runs."""
    difference: float | None
    """Repeated minus recorded HM in points, the largest of these runs; None where none was repeated to an end."""

    @property
    def place(self) -> int:
        """For sorting: the best first."""
        return ("reproduced blind", "reproduced", "verified only", "not reproduced").index(self.status)

    @property
    def detail(self) -> str:
        """Such as ``2 of 5 seeds``, with the difference where there is one to tell."""
        if self.status == VERIFIED:
            return ""
        seeds = f"{self.seeds} of {self.of} {'seed' if self.of == 1 else 'seeds'}"
        if self.difference is None:
            return f"{seeds}, the repetition failed" if self.status == "not reproduced" else seeds
        told = f"{self.difference:+.2f}".replace("-", "\N{MINUS SIGN}")
        return seeds if self.status != "not reproduced" and not self.difference else f"{seeds}, HM {told}"

    def __str__(self) -> str:
        """Such as ``reproduced blind (2 of 5 seeds)``."""
        return f"{self.status} ({self.detail})" if self.detail else self.status


def of_run(identity: str, reproductions: Mapping[str, Reproduction] | None) -> dict[str, Any]:
    """The columns of a run; without ``reproductions``, as where records came without their folder, nothing is known."""
    if reproductions is None:
        return {"reproduction": None, "reproduction_difference": None}
    found = reproductions.get(identity)
    return {
        "reproduction": found.status if found else VERIFIED,
        "reproduction_difference": found.difference.HM if found and found.difference else None,
    }


def of_rows(by_row: Any) -> pd.DataFrame:
    """The columns of rows, from the runs of each: see :class:`Rung`."""
    statuses, differences = (by_row[name].agg(list) for name in ("reproduction", "reproduction_difference"))
    rows = [_of_row(*told) for told in zip(statuses, differences, strict=True)]
    columns = ["reproduction", "reproduced_seeds", "reproduction_difference"]
    return pd.DataFrame(rows, statuses.index, columns, dtype=object)


def rung(line: Mapping[str, Any]) -> Rung | None:
    """Where a line of a frame of rows stands; None where it is not known."""
    if line["reproduction"] is None:
        return None
    return Rung(line["reproduction"], int(line["reproduced_seeds"]), line["seeds"], line["reproduction_difference"])


def _of_row(statuses: Iterable[Status | None], differences: Iterable[float | None]) -> dict[str, Any]:
    told = list(zip(statuses, differences, strict=True))
    found = [status for status in LADDER if any(status == one for one, _ in told)]
    status = found[0] if found else None
    same = [difference for one, difference in told if one == status and not pd.isna(difference)]
    return {
        "reproduction": status,
        "reproduced_seeds": sum(one == status for one, _ in told) if status not in (None, VERIFIED) else 0,
        "reproduction_difference": max(same, key=abs, default=None),
    }
