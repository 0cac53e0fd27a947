"""Search: an index that ``search.js`` loads when asked for, and a page that lists all but the runs without scripts.

Runs are found by the beginning of their identity too, which their address holds.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from avbench.harness.printable import printable
from avbench.leaderboard.claims import papers
from avbench.leaderboard.site import links
from avbench.leaderboard.site.model import Site
from avbench.leaderboard.site.page import File, Page
from avbench.leaderboard.site.pages.datasets import TITLES
from avbench.leaderboard.site.scripted import call
from avbench.splits import DATASETS

LONGEST = 160
"""Characters of a title."""
MOST_WORDS = 600
"""Characters of the words beside it: a summary and a citation."""
OTHERS = {
    "averages.html": "Averages over tracks",
    "compare.html": "Compare rows",
    "defects.html": "Known defects of the field",
    "downloads.html": "Downloads",
    "submit.html": "Check and submit",
    "faq.html": "Questions and answers",
    "badges.html": "Badges",
    links.DEMO: "Simulated features",
}
KINDS = {"method": "Methods", "paper": "Papers", "data set": "Data sets", "board": "Boards", "page": "Pages"}
"""What the page without scripts lists, with its headings."""


@dataclass(frozen=True)
class Entry:
    """Something that can be found."""

    kind: str
    title: str
    href: str
    """From the root of the site."""
    words: str = ""
    """Also found by these."""


def pages(site: Site) -> Iterator[Page | File]:
    listed = list(_listed(site))
    index = [
        [entry.kind, printable(entry.title, LONGEST), entry.href, printable(entry.words, MOST_WORDS)]
        for entry in (*listed, *_runs(site))
    ]
    yield File("search-index.js", call("index", "all", index))
    by_kind = {heading: [e for e in listed if e.kind == kind] for kind, heading in KINDS.items()}
    yield Page("search.html", "search.html", "Search", {"by_kind": by_kind})


def _listed(site: Site) -> Iterator[Entry]:
    for key, entry in site.methods.items():
        told = f"{entry.about.summary} {entry.about.citation}" if entry.about else ""
        yield Entry("method", entry.title, links.method(key), f"{key} {entry.year or ''} {told}".rstrip())
    for slug, paper in papers().items():
        yield Entry(
            "paper", paper.name, links.paper(slug), f"{paper.title} {paper.venue} {paper.year or ''} {paper.authors}"
        )
    for name in DATASETS:
        yield Entry("data set", TITLES[name], links.dataset(name), name)
    for b in (ranked.board for ranked in site.real):
        yield Entry("board", f"{b.track}, {b.protocol} v{b.protocol_version}", links.board(b))
    for path, title in OTHERS.items():
        yield Entry("page", title, path)
    for page in site.more:
        yield Entry("page", page.title, f"more/{page.slug}.html")


def _runs(site: Site) -> Iterator[Entry]:
    for record in site.gate.sound:
        c = record.configuration
        simulated = ", simulated" if record.simulated or c.track.simulated else ""
        title = f"{c.method} on {c.track}, {c.protocol.name}, seed {c.seed}{simulated}"
        yield Entry("run", title, links.run(record), record.variant or "")
