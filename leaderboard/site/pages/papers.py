"""A page per paper: its tables as printed, with re-run numbers beside them where they exist."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import groupby

from avbench.leaderboard.boards import RerunRow, reruns_of
from avbench.leaderboard.claims import PRINTED, Claim, anomalies_of, claims, papers, remarks
from avbench.leaderboard.frame import MARKS
from avbench.leaderboard.site import links
from avbench.leaderboard.site.model import Site, distinct
from avbench.leaderboard.site.page import Page

Line = tuple[Claim, tuple[RerunRow, ...]]


def pages(site: Site) -> Iterator[Page]:
    boards = [b.board for b in site.real]
    by_paper = {slug: [claim for claim in claims() if claim.paper == slug] for slug in papers()}
    for slug, paper in papers().items():
        found = by_paper[slug]
        tables: list[tuple[str, list[Line]]] = [
            (table, [(claim, reruns_of(claim, boards)) for claim in rows])
            for table, rows in groupby(found, key=lambda claim: claim.table)
        ]
        yield Page(
            links.paper(slug),
            "paper.html",
            paper.name,
            {
                "paper": paper,
                "tables": tables,
                "anomalies": distinct(a for claim in found for a in anomalies_of(claim)),
                "anomalies_of": anomalies_of,
                "remarks": [remark for remark in remarks() if slug in remark.papers],
                "printed": PRINTED,
                "links": links,
                "marks": MARKS,
            },
        )
    rows = [(paper, len(by_paper[slug])) for slug, paper in papers().items()]
    yield Page("papers.html", "papers.html", "Papers", {"rows": rows, "links": links})
