"""HM over years: what was printed for each method and what was obtained, per track."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace

from avbench.harness.tracks import Track
from avbench.leaderboard.boards import RerunRow
from avbench.leaderboard.claims import COMPARABLE
from avbench.leaderboard.site.model import RankedBoard, Site, started
from avbench.leaderboard.site.page import File
from avbench.leaderboard.site.plots.canvas import ACCENT, CLAIM, Point, Shape
from avbench.leaderboard.site.plots.years import years

STYLES: Mapping[str, tuple[Shape, str]] = {"printed": ("diamond", CLAIM), COMPARABLE: ("dot", ACCENT)}
"""Of the sources of a number; any other protocol has the style below."""
OTHER_PROTOCOL: tuple[Shape, str] = ("ring", ACCENT)
FEWEST = 3
"""Methods of a track that is worth a plot."""


@dataclass(frozen=True)
class OfYear:
    """The HM of a method on a track, from one source: ``printed``, or the protocol under which it was re-run.

    Printed is the highest of its printed rows. Re-run is the row with the presets, of several the latest: the best of
    all variants and options would be chosen by the test.
    """

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


def of_years(site: Site) -> tuple[OfYear, ...]:
    """By track in the order of the boards, the best HM first. Methods whose year nobody knows are left out."""
    order = {track: number for number, track in reversed(list(enumerate(b.board.track for b in site.real)))}
    found: dict[tuple[Track, str, str], float] = {}
    for board in site.real:
        track = board.board.track
        for claimed in board.board.claimed:
            if "HM" in claimed.values:
                place = track, claimed.method, "printed"
                found[place] = max(found.get(place, 0.0), claimed.values["HM"])
        for key, row in _with_presets(board).items():
            found[track, key, board.board.protocol] = row.metrics["HM"].mean
    made = [
        OfYear(track, key, site.methods[key].title, year, source, hm)
        for (track, key, source), hm in found.items()
        if (year := site.methods[key].year) is not None
    ]
    return tuple(sorted(made, key=lambda one: (order[one.track], -one.HM, one.key, one.source)))


def _with_presets(board: RankedBoard) -> dict[str, RerunRow]:
    """By key of the method its row without variant or changed options: on the first content of features that has one,
    the latest."""
    found: dict[str, RerunRow] = {}
    for group in board.groups:
        here = [r.row for r in group.rows if r.row.as_named and not r.row.line["variant"]]
        latest = {row.method_key: row for row in sorted(here, key=lambda row: max(map(started, row.records)))}
        found = {**latest, **found}
    return found


def plots(found: tuple[OfYear, ...]) -> Iterator[tuple[Track, File]]:
    """One for each track with methods enough; all have one span of years."""
    if not found:
        return
    span = min(one.year for one in found), max(one.year for one in found)
    for track in dict.fromkeys(one.track for one in found):
        there = [one for one in found if one.track == track]
        if len({one.key for one in there}) >= FEWEST:
            label = f"HM over years on {track}: diamonds are printed, dots re-run as published, rings under others"
            named = {one.key: one for one in reversed(there)}.values()  # each name once: beside the best
            points = [one.point if one in named else replace(one.point, name="") for one in there]
            content = years(points, span, label)
            yield track, File(f"plots/years-{track.dataset}-{track.features}.svg", content)
