"""The plots of a board: HM with intervals, seen against unseen accuracy, HM against cost."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

from avbench.leaderboard.boards import ClaimedRow
from avbench.leaderboard.ranking import RankedRow
from avbench.leaderboard.site import links
from avbench.leaderboard.site.model import RankedBoard
from avbench.leaderboard.site.page import File
from avbench.leaderboard.site.plots.bars import Bar, bars
from avbench.leaderboard.site.plots.canvas import CLAIM, Point, Shape
from avbench.leaderboard.site.plots.cost import cost
from avbench.leaderboard.site.plots.plane import plane
from avbench.leaderboard.site.text import duration

MAX_BARS = 30
"""Rows of a plot of intervals."""
MAX_POINTS = 300
"""Rows of the other plots, re-run and printed apart."""


@dataclass(frozen=True)
class BoardPlot:
    """A plot as a file, with what stands under it."""

    file: File
    caption: str


def bar_plot(ranked: RankedBoard) -> File | None:
    """HM of the best rows with intervals, and of printed rows; None where there is no row.

    On a board with printed rows, those on features that are not verified stand below all others.
    """
    shown = [_bar(row) for group in ranked.above[:1] for row in group.rows]
    for claimed in ranked.board.claimed:
        if "HM" in claimed.values:
            marks = ", ".join(dict.fromkeys(a.id for a in claimed.anomalies.get("HM", ())))
            label = f"{claimed.title}, claimed{f' [{marks}]' if marks else ''}"
            shown.append(Bar(label, claimed.values["HM"], claimed=True))
    shown = sorted(shown, key=lambda bar: -bar.value)[:MAX_BARS]
    if not ranked.above:
        shown += [_bar(row) for group in ranked.below[:1] for row in group.rows][:MAX_BARS]
    if not shown:
        return None
    label = f"HM {_place(ranked)}: dots with intervals were re-run, diamonds are printed numbers, * bears marks"
    return File(f"{links.board_stem(ranked.board)}-hm.svg", bars(shown, "HM (%)", label))


def more_plots(ranked: RankedBoard) -> Iterator[BoardPlot]:
    """The plane of S and U, and HM against time and parameters of what was re-run."""
    stem, place = links.board_stem(ranked.board), _place(ranked)
    rows = [row for group in ranked.groups[:1] for row in group.rows][:MAX_POINTS]
    printed = list(_printed(ranked))
    shape: Shape = "dot" if ranked.board.simulated or ranked.above else "ring"
    points = [replace(_on_plane(row), shape=shape) for row in rows]
    if points or printed:
        content = plane([*points, *printed], f"Seen and unseen accuracy {place}")
        caption = "Seen and unseen accuracy; dashed lines join equal HM. Two methods of one HM may buy it differently."
        yield BoardPlot(File(f"{stem}-plane.svg", content), caption)
    timed = [(row, next(iter(row.row.seconds.values()))) for row in rows]
    points = [_at_cost(row, seconds, duration(seconds)) for row, seconds in timed if seconds > 0]
    if points:
        content = cost(points, "time of a run", duration, f"HM against time {place}")
        caption = "HM against the mean time of a run. Devices differ: the table names them."
        yield BoardPlot(File(f"{stem}-time.svg", content), caption)
    points = [_at_cost(row, n, f"{n:,} parameters") for row in rows if (n := row.row.parameters) > 0]
    if points:
        content = cost(points, "trained parameters", lambda n: f"{n:,.0f}", f"HM against parameters {place}")
        yield BoardPlot(File(f"{stem}-parameters.svg", content), "HM against the number of trained parameters.")


def _place(ranked: RankedBoard) -> str:
    return f"on {ranked.board.track} under {ranked.board.protocol}"


def _bar(ranked: RankedRow) -> Bar:
    label = f"{ranked.row.label} *" if ranked.row.marks else ranked.row.label
    return Bar(label, ranked.row.metrics["HM"].mean, ranked.intervals.get("HM"))


def _on_plane(ranked: RankedRow) -> Point:
    s, u, hm = (ranked.row.metrics[metric].mean for metric in ("S", "U", "HM"))
    return _point(ranked, u, s, f"S {s:.2f}, U {u:.2f}, HM {hm:.2f}")


def _at_cost(ranked: RankedRow, x: float, told: str) -> Point:
    hm = ranked.row.metrics["HM"].mean
    return _point(ranked, x, hm, f"HM {hm:.2f}, {told}")


def _point(ranked: RankedRow, x: float, y: float, told: str) -> Point:
    row = ranked.row
    return Point(x, y, f"{row.label}: {told}{' *' if row.marks else ''}", row.label, f"#{links.row_anchor(row)}")


def _printed(ranked: RankedBoard) -> Iterator[Point]:
    shown: list[tuple[int, ClaimedRow]] = list(enumerate(ranked.board.claimed, start=1))[:MAX_POINTS]
    for number, claimed in shown:
        if claimed.values.keys() >= {"S", "U"}:
            s, u = claimed.values["S"], claimed.values["U"]
            hm = f", HM {claimed.values['HM']:.2f}" if "HM" in claimed.values else ""
            title = f"{claimed.title}, printed: S {s:.2f}, U {u:.2f}{hm}"
            anchor = f"#{links.claim_anchor(number)}"
            yield Point(u, s, title, claimed.title, anchor, shape="diamond", colour=CLAIM)
