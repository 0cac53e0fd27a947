"""HM over years: what was printed for each method and what was obtained, per track."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace

from avbench.harness.tracks import Track
from avbench.leaderboard.claims import COMPARABLE
from avbench.leaderboard.site.model import Site
from avbench.leaderboard.site.page import File
from avbench.leaderboard.site.plots.canvas import ACCENT, CLAIM, Point, Shape
from avbench.leaderboard.site.plots.years import years

STYLES: Mapping[str, tuple[Shape, str]] = {"printed": ("diamond", CLAIM), COMPARABLE: ("dot", ACCENT)}
"""Of the sources of a number; any other protocol has the style below."""
OTHER_PROTOCOL: tuple[Shape, str] = ("ring", ACCENT)
FEWEST = 3
"""Methods of a track that is worth a plot."""


@dataclass(frozen=True)
class Best:
    """The best HM of a method on a track, from one source: ``printed``, or the protocol under which it was re-run."""

    track: Track
    key: str
    """Of the method."""
    title: str
    year: int
    source: str
    HM: float

    @property
    def point(self) -> Point:
        shape, colour = STYLES.get(self.source, OTHER_PROTOCOL)
        told = f"{self.title}, {self.year}, {self.source}: HM {self.HM:.2f}"
        return Point(self.year, self.HM, told, self.title.partition(" (")[0], shape=shape, colour=colour)


def bests(site: Site) -> tuple[Best, ...]:
    """By track in the order of the boards, the best HM first. Methods whose year nobody knows are left out."""
    order = {track: number for number, track in reversed(list(enumerate(b.board.track for b in site.real)))}
    found: dict[tuple[Track, str, str], float] = {}
    for board in site.real:
        track = board.board.track
        for claimed in board.board.claimed:
            if "HM" in claimed.values:
                place = track, claimed.method, "printed"
                found[place] = max(found.get(place, 0.0), claimed.values["HM"])
        for group in board.groups:
            for ranked in group.rows:
                place = track, ranked.row.method_key, board.board.protocol
                found[place] = max(found.get(place, 0.0), ranked.row.metrics["HM"].mean)
    made = [
        Best(track, key, site.methods[key].title, year, source, hm)
        for (track, key, source), hm in found.items()
        if (year := site.methods[key].year) is not None
    ]
    return tuple(sorted(made, key=lambda best: (order[best.track], -best.HM, best.key, best.source)))


def plots(found: tuple[Best, ...]) -> Iterator[tuple[Track, File]]:
    """One for each track with methods enough; all have one span of years."""
    if not found:
        return
    span = min(best.year for best in found), max(best.year for best in found)
    for track in dict.fromkeys(best.track for best in found):
        there = [best for best in found if best.track == track]
        if len({best.key for best in there}) >= FEWEST:
            label = f"HM over years on {track}: diamonds are printed, dots re-run as published, rings under others"
            named = {best.key: best for best in reversed(there)}.values()  # each name once: beside the best
            points = [best.point if best in named else replace(best.point, name="") for best in there]
            content = years(points, span, label)
            yield track, File(f"plots/years-{track.dataset}-{track.features}.svg", content)
