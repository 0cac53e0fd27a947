"""HM against what it costs."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from avbench.leaderboard.site.plots.canvas import Canvas, Point, ceiling, svg


def cost(points: Sequence[Point], axis: str, tick: Callable[[float], str], label: str) -> str:
    """Points at (cost, HM in percent), best first. Costs are above 0, on a logarithmic axis; ``tick``: their text."""
    costs = [point.x for point in points]
    room = 2 if max(costs) > 2 * min(costs) else 5
    canvas = Canvas(
        480, 300, (min(costs) / room, max(costs) * room), (0, ceiling(max(p.y for p in points))), log_x=True
    )
    parts = canvas.axes(axis, "HM (%)", tick)
    return svg(canvas.width, canvas.height, label, [*parts, *canvas.points(points)])
