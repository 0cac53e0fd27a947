"""Rows on the plane of seen and unseen accuracy, under lines of equal HM."""

from __future__ import annotations

from collections.abc import Sequence

from avbench.leaderboard.site.plots.canvas import ACCENT, CLAIM, Canvas, Point, Shape, ceiling, legend, svg

ENTRIES: Sequence[tuple[Shape, str, str]] = (
    ("dot", ACCENT, "re-run"),
    ("ring", ACCENT, "re-run, features not verified"),
    ("diamond", CLAIM, "printed"),
)


def plane(points: Sequence[Point], label: str) -> str:
    """Points at (U, S) in percent, best first. Their shapes are those of :data:`ENTRIES`."""
    canvas = Canvas(480, 400, (0, ceiling(max(p.x for p in points))), (0, ceiling(max(p.y for p in points))))
    parts = [*canvas.axes("unseen classes, U (%)", "seen classes, S (%)"), *canvas.contours()]
    shapes = {p.shape for p in points}
    entries = [entry for entry in ENTRIES if entry[0] in shapes]
    parts += legend(canvas.left + 12, canvas.bottom - 8 - 18 * (len(entries) - 1), entries)
    return svg(canvas.width, canvas.height, label, [*parts, *canvas.points(points)])
