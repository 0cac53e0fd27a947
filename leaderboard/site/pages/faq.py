"""Questions that readers, authors and submitters ask."""

from __future__ import annotations

from collections.abc import Iterator

from avbench.leaderboard.recalls import FEWEST_SEEDS
from avbench.leaderboard.site.model import Site
from avbench.leaderboard.site.page import Page


def pages(site: Site) -> Iterator[Page]:
    yield Page(
        "faq.html",
        "faq.html",
        "Questions and answers",
        {"fewest_seeds": FEWEST_SEEDS},
        about="Why numbers differ from the papers, what a lead means, what the marks mean, and how to add a method.",
    )
