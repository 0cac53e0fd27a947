"""Where every number of the site can be had as a file."""

from __future__ import annotations

from collections.abc import Iterator

from avbench.leaderboard.site import exports, links
from avbench.leaderboard.site.model import Site
from avbench.leaderboard.site.page import Page


def pages(site: Site) -> Iterator[Page]:
    boards = [b.board for b in site.real]
    yield Page(
        "downloads.html", "downloads.html", "Downloads", {"files": exports.FILES, "boards": boards, "links": links}
    )
