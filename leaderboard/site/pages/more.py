"""Pages that installed packages add to the site."""

from __future__ import annotations

from collections.abc import Iterator

from avbench.leaderboard.site.model import Site
from avbench.leaderboard.site.page import Page


def pages(site: Site) -> Iterator[Page]:
    for page in site.more:
        yield Page(f"more/{page.slug}.html", "more.html", page.title, {"body": page.body})
