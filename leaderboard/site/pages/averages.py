"""Averages over the data sets of a feature set, only over what was run under one protocol with the same code."""

from __future__ import annotations

from collections.abc import Iterator

from avbench.leaderboard.claims import METRICS
from avbench.leaderboard.frame import MARKS
from avbench.leaderboard.site import links
from avbench.leaderboard.site.model import Site
from avbench.leaderboard.site.page import Page


def pages(site: Site) -> Iterator[Page]:
    averages = [board for board in site.averages if not board.simulated]
    yield Page(
        "averages.html",
        "averages.html",
        "Averages over tracks",
        {"averages": averages, "links": links, "metrics": METRICS, "marks": MARKS},
    )
