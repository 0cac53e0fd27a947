"""The one page of results on simulated features: they say nothing about real data and stand beside none of it."""

from __future__ import annotations

from collections.abc import Iterator

from avbench.leaderboard.claims import METRICS
from avbench.leaderboard.frame import MARKS
from avbench.leaderboard.site import links
from avbench.leaderboard.site.exports import board_files
from avbench.leaderboard.site.model import Site
from avbench.leaderboard.site.page import File, Page
from avbench.leaderboard.site.pages.boards import plot_files, table_context
from avbench.leaderboard.statistics import TEST_IN_WORDS


def pages(site: Site) -> Iterator[Page | File]:
    tables = [table_context(ranked) for ranked in site.simulated]
    for ranked, table in zip(site.simulated, tables, strict=True):
        yield from plot_files(table)
        yield from board_files(ranked)
    averages = [board for board in site.averages if board.simulated]
    shared = {"links": links, "metrics": METRICS, "marks": MARKS, "test_in_words": TEST_IN_WORDS}
    yield Page(links.DEMO, "demo.html", "Simulated features", {"tables": tables, "averages": averages, **shared})
