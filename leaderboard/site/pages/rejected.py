"""What the evidence gate kept off the boards, and why; and runs that failed."""

from __future__ import annotations

from collections.abc import Iterator

from avbench.leaderboard.site import links
from avbench.leaderboard.site.model import Site
from avbench.leaderboard.site.page import Page


def pages(site: Site) -> Iterator[Page]:
    yield Page("rejected.html", "rejected.html", "Records left out", {"gate": site.gate, "links": links})
