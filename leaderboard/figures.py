"""The figures of papers that can be drawn from runs, each with its command."""

from __future__ import annotations

from functools import cache

from avbench.harness.records.record import Name
from avbench.leaderboard.claims import Row, read_rows


class PaperFigure(Row):
    """A row of ``data/figures.csv``."""

    paper: Name
    figure: str
    title: str
    """What it shows, in our words."""
    command: str
    """What draws it; RUN stands for the identity of a run."""


@cache
def paper_figures() -> tuple[PaperFigure, ...]:
    return tuple(read_rows("figures.csv", PaperFigure))
