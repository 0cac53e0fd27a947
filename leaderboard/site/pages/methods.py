"""A page per method: its card, its options, its rows on every board, what was claimed for it and what was obtained."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from avbench.harness.records.record import About, ToldPreset
from avbench.leaderboard.claims import PRINTED, Claim, anomalies_of, claims, papers
from avbench.leaderboard.frame import MARKS
from avbench.leaderboard.ladder import LADDER
from avbench.leaderboard.ranking import RankedRow
from avbench.leaderboard.site import links
from avbench.leaderboard.site.model import RankedBoard, Site, distinct
from avbench.leaderboard.site.page import Page


@dataclass(frozen=True)
class Standing:
    """A row of the method on one board."""

    board: RankedBoard
    ranked: RankedRow


def pages(site: Site) -> Iterator[Page]:
    standings: dict[str, list[Standing]] = {slug: [] for slug in site.methods}
    simulated = {row.method_key for board in site.simulated for row in board.board.rows}
    for board in site.real:
        for group in board.groups:
            for ranked in group.rows:
                standings[ranked.row.method_key].append(Standing(board, ranked))
    for slug, entry in site.methods.items():
        found = _own_first([claim for claim in claims() if claim.method == slug])
        yield Page(
            links.method(slug),
            "method.html",
            entry.title,
            {
                "entry": entry,
                "standings": standings[slug],
                "simulated": slug in simulated,
                "claims": found,
                "anomalies": distinct(a for claim in found for a in anomalies_of(claim)),
                "anomalies_of": anomalies_of,
                "presets": presets(entry.about) if entry.about else [],
                "links": links,
                "marks": MARKS,
                "ladder": LADDER,
                "papers": papers(),
                "printed": PRINTED,
            },
            about=entry.about.summary if entry.about else f"{entry.title}: printed and obtained numbers.",
        )
    rows = [
        (entry, len(standings[slug]), sum(claim.method == slug for claim in claims()))
        for slug, entry in site.methods.items()
    ]
    yield Page("methods.html", "methods.html", "Methods", {"rows": rows, "links": links})


def _own_first(found: list[Claim]) -> list[Claim]:
    """What the method's own paper prints about the method itself, then its variants, then what others print."""
    return sorted(found, key=lambda claim: (not claim.own, claim.variant is not None, not claim.main))


def presets(about: About) -> list[tuple[str, ToldPreset]]:
    """Where presets hold, in words, and the presets; later ones win."""
    found = []
    for preset in about.presets:
        place = [x for x in (preset.dataset, preset.features, preset.protocol) if x]
        found.append((", ".join(place) or "everywhere", preset))
    return found
