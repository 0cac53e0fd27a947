"""Printed cells with what was obtained for them here, and their plot."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from statistics import median

from avbench.leaderboard.claims import PRINTED, Claim, Metric, papers
from avbench.leaderboard.ranking import RankedRow
from avbench.leaderboard.site.model import Site
from avbench.leaderboard.site.page import File
from avbench.leaderboard.site.plots.agreement import agreement, styles
from avbench.leaderboard.site.plots.canvas import Point


@dataclass(frozen=True)
class Cell:
    """One printed number and the re-run beside it, in percent."""

    claim: Claim
    metric: Metric
    ranked: RankedRow

    @property
    def printed(self) -> float:
        return self.claim.values[self.metric]

    @property
    def obtained(self) -> float:
        return self.ranked.row.metrics[self.metric].mean

    @property
    def difference(self) -> float:
        """Obtained minus printed, in points."""
        return self.obtained - self.printed

    @property
    def within(self) -> bool | None:
        """Whether the printed number lies in the interval of the re-run; None where it has none."""
        interval = self.ranked.intervals.get(self.metric)
        return interval.low <= self.printed <= interval.high if interval else None


@dataclass(frozen=True)
class PaperSummary:
    """How the cells of one paper came out."""

    paper: str
    printed: int
    """Cells that it prints."""
    cells: tuple[Cell, ...]
    """Those with a re-run."""

    @property
    def median_difference(self) -> float | None:
        """Of the absolute differences, in points."""
        return median(abs(cell.difference) for cell in self.cells) if self.cells else None

    @property
    def within(self) -> tuple[int, int]:
        """Cells whose printed number lies in the interval, and cells with an interval."""
        told = [cell.within for cell in self.cells if cell.within is not None]
        return sum(told), len(told)


def cells_of(site: Site, found: Iterable[Claim]) -> Iterator[Cell]:
    """The cells of printed rows that have a re-run."""
    for claim in found:
        if ranked := site.reruns.get(claim.key):
            yield from (Cell(claim, metric, ranked) for metric in PRINTED if metric in claim.values)


def summaries(site: Site, found: Sequence[Claim]) -> tuple[PaperSummary, ...]:
    """One for each paper that prints any row, in the order of the papers."""
    made = []
    for slug in papers():
        own = [claim for claim in found if claim.paper == slug]
        if own:
            made.append(PaperSummary(slug, sum(len(c.values) for c in own), tuple(cells_of(site, own))))
    return tuple(made)


def agreement_plot(path: str, cells: Sequence[Cell], hrefs: Sequence[str] = ()) -> File | None:
    """One point a cell, by paper; None without any. ``hrefs``: of each cell's row, from the page that has it."""
    if not cells:
        return None
    names = papers()
    there = dict.fromkeys(cell.claim.paper for cell in cells)
    by = styles([names[slug].name for slug in there])
    points = []
    for number, cell in enumerate(cells):
        name = names[cell.claim.paper].name
        title = (
            f"{name}, {cell.claim.table}, {cell.claim.row}, {cell.claim.track}, {cell.metric}: "
            f"printed {cell.printed:.2f}, obtained {cell.obtained:.2f}"
        )
        shape, colour = by[name]
        href = hrefs[number] if hrefs else ""
        points.append(Point(cell.printed, cell.obtained, title, href=href, shape=shape, colour=colour))
    return File(path, agreement(points, by, "Printed numbers against what was obtained here, one point a cell"))
