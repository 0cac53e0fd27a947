"""A page per paper: its tables as printed, with re-run numbers beside them where they exist."""

from __future__ import annotations

import shlex
from collections.abc import Iterator
from itertools import groupby

from avbench.leaderboard.claims import PRINTED, Claim, anomalies_of, claims, papers, remarks
from avbench.leaderboard.figures import paper_figures
from avbench.leaderboard.frame import MARKS
from avbench.leaderboard.ladder import LADDER
from avbench.leaderboard.ranking import RankedRow
from avbench.leaderboard.reproduction.printed import printed_tables
from avbench.leaderboard.site import links
from avbench.leaderboard.site.model import Site, distinct
from avbench.leaderboard.site.obtained import agreement_plot, cells_of
from avbench.leaderboard.site.page import File, Page

Line = tuple[Claim, RankedRow | None]


def pages(site: Site) -> Iterator[Page | File]:
    by_paper = {slug: [claim for claim in claims() if claim.paper == slug] for slug in papers()}
    for slug, paper in papers().items():
        found = by_paper[slug]
        tables: list[tuple[str, list[Line]]] = [
            (table, [(claim, site.reruns.get(claim.key)) for claim in rows])
            for table, rows in groupby(found, key=lambda claim: claim.table)
        ]
        anchors = {claim.key: links.printed_anchor(number) for number, claim in enumerate(found, start=1)}
        cells = list(cells_of(site, found))
        plot = agreement_plot(f"papers/{slug}-obtained.svg", cells, [f"#{anchors[c.claim.key]}" for c in cells])
        if plot:
            yield plot
        yield Page(
            links.paper(slug),
            "paper.html",
            paper.name,
            {
                "paper": paper,
                "tables": tables,
                "entries": {table.entry.table: table.entry for table in printed_tables() if table.paper == slug},
                "figures": [figure for figure in paper_figures() if figure.paper == slug],
                "command": lambda *words: shlex.join(["avbench", "reproduce", *words]),
                "anchors": anchors,
                "plot": plot,
                "ladder": LADDER,
                "anomalies": distinct(a for claim in found for a in anomalies_of(claim)),
                "anomalies_of": anomalies_of,
                "remarks": [remark for remark in remarks() if slug in remark.papers],
                "printed": PRINTED,
                "links": links,
                "marks": MARKS,
            },
            about=f"{paper.title}: its printed tables, and what the same methods gave here.",
        )
    rows = [(paper, len(by_paper[slug])) for slug, paper in papers().items()]
    yield Page("papers.html", "papers.html", "Papers", {"rows": rows, "links": links})
