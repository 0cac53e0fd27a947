"""The tables that papers print, their rows in the printed order, and which numbers are quoted from another paper."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from functools import cache, cached_property

from avbench.harness.errors import UsageError, unknown
from avbench.harness.records.record import Name
from avbench.leaderboard.claims import PRINTED, Claim, Metric, Row, claims, papers, read_rows
from avbench.leaderboard.figures import paper_figures


class TableEntry(Row):
    """A row of ``data/tables.csv``."""

    paper: Name
    table: str
    title: str
    """What it shows, in our words."""
    instead: str
    """The command that shows what a table holds which prints no accuracies; empty for all others."""


@dataclass(frozen=True)
class PrintedTable:
    """One table of a paper."""

    entry: TableEntry
    claims: tuple[Claim, ...]
    """In the printed order."""

    @property
    def paper(self) -> str:
        return self.entry.paper

    @property
    def name(self) -> str:
        return f"{self.paper} {self.entry.table}"

    @property
    def rows(self) -> tuple[str, ...]:
        """Names of the rows, in their order."""
        return tuple(dict.fromkeys(claim.row for claim in self.claims))

    @cached_property
    def _tracks_apart(self) -> bool:
        """A row has several feature sets of one data set, so these are columns of their own."""
        places = [(claim.row, claim.dataset) for claim in self.claims]
        return len(set(places)) < len(places)

    def column(self, claim: Claim) -> str:
        """The group of columns that a printed row stands in: its data set, or its track."""
        return str(claim.track) if self._tracks_apart else claim.dataset

    @property
    def columns(self) -> tuple[str, ...]:
        return tuple(dict.fromkeys(map(self.column, self.claims)))

    @property
    def metrics(self) -> tuple[Metric, ...]:
        """Those that it prints."""
        return tuple(metric for metric in PRINTED if any(metric in claim.values for claim in self.claims))


@cache
def printed_tables() -> tuple[PrintedTable, ...]:
    """All tables of all papers, in the order of the papers and of their tables."""
    found: dict[tuple[str, str], list[Claim]] = {}
    for claim in claims():
        found.setdefault((claim.paper, claim.table), []).append(claim)
    entries = read_rows("tables.csv", TableEntry)
    return tuple(PrintedTable(entry, tuple(found.get((entry.paper, entry.table), ()))) for entry in entries)


def find_tables(paper: str | None, table: str | None = None) -> tuple[PrintedTable, ...]:
    """The tables of a paper, or one of them: by its name, or by its number alone. Without a paper all there are.

    Raises :class:`UsageError`, with a suggestion, for a paper or table that is not known, and with its command for a
    figure.
    """
    known = printed_tables()
    if paper is None:
        return known
    of_paper = {t.entry.table: t for t in known if t.paper == paper}
    if not of_paper:
        if paper in papers():
            raise UsageError(f"no printed rows of {paper} are known; those of {', '.join(_with_tables())} are")
        raise unknown("paper", paper, _with_tables())
    if table is None:
        return tuple(of_paper.values())
    found = of_paper.get(table) or of_paper.get(f"table-{table}")
    if found is None:
        for figure in paper_figures():
            if (figure.paper, figure.figure) == (paper, table):
                raise UsageError(f"{paper} {table} ({figure.title}) is a figure: see '{figure.command}'")
        raise unknown(f"table of {paper}", table, of_paper)
    return (found,)


def select_rows(tables: Sequence[PrintedTable], patterns: Sequence[str]) -> list[PrintedTable]:
    """The tables with only the rows of these names, or of names such as ``Hyper*``, in any case of letters.

    Tables without such a row are left out. Raises :class:`UsageError` for a name that no table has.
    """
    if not patterns:
        return list(tables)
    every = dict.fromkeys(row for table in tables for row in table.rows)
    wanted: set[str] = set()
    for pattern in patterns:
        found = {row for row in every if fnmatchcase(row.casefold(), pattern.casefold())}
        if not found:
            raise unknown(f"row of {', '.join(table.name for table in tables)}", pattern, every)
        wanted |= found
    chosen = (PrintedTable(t.entry, tuple(c for c in t.claims if c.row in wanted)) for t in tables)
    return [table for table in chosen if table.claims]


def require_accuracies(table: PrintedTable) -> None:
    """Raise :class:`UsageError` for a table that prints something else."""
    if table.entry.instead:
        raise UsageError(
            f"{table.name} ({table.entry.title}) prints no accuracies, so nothing is trained for it: "
            f"see '{table.entry.instead}'"
        )


def quoted_from(claim: Claim) -> Claim | None:
    """Where a row was printed before with the same numbers; None for what a paper obtained itself."""
    if claim.own or claim.origin == "re-run":
        return None
    order = list(papers())

    def place(other: Claim) -> tuple[int, int]:
        return papers()[other.paper].year or 9999, order.index(other.paper)

    earlier = (
        other
        for other in _printed_numbers().get((claim.method, claim.variant, str(claim.track)), ())
        if place(other) < place(claim) and _agree(claim.values, other.values)
    )
    return min(earlier, key=lambda other: (not other.own, place(other)), default=None)


@cache
def _printed_numbers() -> Mapping[tuple[str, str | None, str], Sequence[Claim]]:
    found: dict[tuple[str, str | None, str], list[Claim]] = {}
    for claim in claims():
        if claim.origin != "re-run":
            found.setdefault((claim.method, claim.variant, str(claim.track)), []).append(claim)
    return found


def _agree(one: Mapping[Metric, float], other: Mapping[Metric, float]) -> bool:
    common = one.keys() & other.keys()
    return bool(common) and all(one[metric] == other[metric] for metric in common)


def _with_tables() -> Iterable[str]:
    return dict.fromkeys(table.paper for table in printed_tables())
