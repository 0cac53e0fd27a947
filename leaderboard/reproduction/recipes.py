"""How each printed row is run here: its method and variant, or why it cannot be run. Knows no torch."""

from __future__ import annotations

from dataclasses import dataclass
from fnmatch import fnmatchcase
from functools import cache

from avbench.harness.plugins.registry import Plugins, plugins
from avbench.harness.records.record import Name
from avbench.leaderboard.claims import Claim, Row, method_key, published_methods, read_rows


class Reading(Row):
    """A row of ``data/readings.csv``: what must be known of printed rows to run them, or why they cannot be run.

    What a row is called here stands beside its numbers (``method`` and ``variant`` of ``data/claims.csv``), and the
    options of a variant with the methods.
    """

    paper: Name
    table: str
    """A table, or a pattern such as ``table-[23]``."""
    row: str
    """A row, or a pattern of several."""
    runs: bool
    note: str
    """What the paper leaves open and how it is read here; where nothing can be run, why."""

    def speaks_of(self, claim: Claim) -> bool:
        return self.paper == claim.paper and fnmatchcase(claim.table, self.table) and fnmatchcase(claim.row, self.row)


@dataclass(frozen=True)
class Recipe:
    """What is run for a printed row, on whatever features."""

    method: str
    variant: str | None
    notes: tuple[str, ...]
    """What the paper leaves open, and how it is read here."""


@cache
def readings() -> tuple[Reading, ...]:
    return read_rows("readings.csv", Reading)


def recipe(claim: Claim, known: Plugins | None = None) -> Recipe | str:
    """How a printed row is run with the installed methods (``known`` unless those of this process), or why not."""
    known = known or plugins()
    said = [reading for reading in readings() if reading.speaks_of(claim)]
    if refused := next((reading for reading in said if not reading.runs), None):
        return refused.note
    registered = known.methods.get(claim.method)
    if registered is None:
        return f"no method {published_methods()[claim.method].title} is installed"
    if method_key(claim.method, registered.distribution) != claim.method:
        return f"the method {claim.method} of {registered.distribution} only has the name of the published one"
    if claim.variant and claim.variant not in {v.name for v in known.variants_of(claim.method)}:
        return f"the method {claim.method} has no variant {claim.variant}"
    return Recipe(claim.method, claim.variant, tuple(reading.note for reading in said))
