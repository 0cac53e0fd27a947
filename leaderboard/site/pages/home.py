"""The first page: what this is, who leads, whether the lead is real, who says so, how to re-run it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from avbench.harness.evaluation.protocol import PROTOCOLS
from avbench.leaderboard.boards import ClaimedRow
from avbench.leaderboard.claims import anomalies, claims, papers
from avbench.leaderboard.estimates import LEVEL
from avbench.leaderboard.frame import MARKS
from avbench.leaderboard.ladder import LADDER, REQUIRED
from avbench.leaderboard.recalls import FEWEST_SEEDS
from avbench.leaderboard.site import links, over_years
from avbench.leaderboard.site.model import RankedBoard, Site
from avbench.leaderboard.site.obtained import agreement_plot, summaries
from avbench.leaderboard.site.page import File, Page
from avbench.splits import PARTITIONS


@dataclass(frozen=True)
class Lead:
    """One track under one protocol, in a line."""

    board: RankedBoard
    href: str
    claimed: ClaimedRow | None
    """The best printed row, where printed numbers may stand on this board."""

    @property
    def verdict(self) -> str:
        """Whether the lead is real, in words."""
        leader = self.board.leader
        if leader is None:
            return "nothing re-run yet"
        rows = self.board.groups[0].rows
        if len(rows) == 1:
            return "only one row"
        if leader.standing.alone:
            return "yes"
        if not leader.standing.enough:
            return f"no: it has fewer than {FEWEST_SEEDS} seeds"
        few = sum(not row.standing.enough for row in rows)
        why = f", {few} of them with fewer than {FEWEST_SEEDS} seeds" if few else ""
        return f"no: {leader.standing.worst - 1} more cannot be told apart from it{why}"


def pages(site: Site) -> Iterator[Page | File]:
    leads = [
        Lead(b, links.board(b.board), next((row for row in b.board.claimed if "HM" in row.values), None))
        for b in site.real
    ]
    obtained = summaries(site, claims())
    agreement = agreement_plot("plots/printed-obtained.svg", [cell for paper in obtained for cell in paper.cells])
    if agreement:
        yield agreement
    of_years = over_years.of_years(site)
    years = list(over_years.plots(of_years))
    yield from (file for _, file in years)
    shown = [(track, file) for track, file in years if track.features in PARTITIONS]
    yield Page(
        "index.html",
        "home.html",
        "Audio-visual generalised zero-shot learning",
        {
            "leads": leads,
            "site": site,
            "obtained": obtained,
            "agreement": agreement,
            "of_years": of_years,
            "years": shown,
            "more_years": [item for item in years if item not in shown],
            "runs": sum(not record.simulated for record in site.gate.sound),
            "simulated": sum(record.simulated for record in site.gate.sound),
            "links": links,
            "marks": MARKS,
            "ladder": LADDER,
            "require": " or ".join(sorted(REQUIRED[site.require])) if site.require else None,
            "protocols": PROTOCOLS.values(),
            "printed": len(claims()),
            "faults": len(anomalies()),
            "sources": len({claim.paper for claim in claims()}),
            "papers": papers(),
            "level": LEVEL,
        },
    )
