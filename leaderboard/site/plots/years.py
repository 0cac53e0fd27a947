"""HM over years."""

from __future__ import annotations

from collections.abc import Sequence

from avbench.leaderboard.site.plots.canvas import Canvas, Point, ceiling, svg


def years(points: Sequence[Point], span: tuple[int, int], label: str) -> str:
    """Points at (year, HM in percent). ``span``: the first and last year of the axis."""
    canvas = Canvas(400, 250, (span[0] - 0.6, span[1] + 0.6), (0, ceiling(max(p.y for p in points))))
    parts = canvas.axes("year of the method", "HM (%)")
    return svg(canvas.width, canvas.height, label, [*parts, *canvas.points(points)])
