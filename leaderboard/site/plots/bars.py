"""Rows in one dimension, with intervals."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from avbench.harness.printable import printable
from avbench.leaderboard.labels import LABEL_LIMIT, cut
from avbench.leaderboard.site.plots.canvas import ACCENT, CLAIM, INK, Canvas, ceiling, dot, mark, stroke, svg, text
from avbench.leaderboard.statistics import Interval

LONGEST = 64
"""Characters of the name of a bar."""


@dataclass(frozen=True)
class Bar:
    """One row of an interval plot, in percent. ``claimed``: somebody printed it."""

    label: str
    value: float
    interval: Interval | None = None
    claimed: bool = False


def bars(rows: Sequence[Bar], axis: str, label: str) -> str:
    """One line per row: a dot with its interval, if any, or a hollow diamond for a printed number. In percent."""
    names = [cut(printable(row.label, 10 * LABEL_LIMIT), LONGEST) for row in rows]
    longest = max(map(len, names))
    left, line = 20 + 6.6 * longest, 22
    top = ceiling(max(row.interval.high if row.interval else row.value for row in rows))
    frame = Canvas(left + 400, 60 + line * len(rows), (0, top), (0, 1), left=left, top=12)
    parts = frame.axes(axis, None)
    for number, (row, name) in enumerate(zip(rows, names, strict=True)):
        y = 12 + line * (number + 0.5)
        parts.append(text(left - 10, y + 4, name, INK, anchor="end"))
        x = frame.x(row.value)
        if row.claimed:
            parts.append(mark(x, y, "diamond", CLAIM))
        else:
            if row.interval:
                low, high = frame.x(row.interval.low), frame.x(row.interval.high)
                ends = f'x1="{low:.1f}" x2="{high:.1f}" y1="{y:.1f}" y2="{y:.1f}"'
                parts.append(f"<line {ends} {stroke(ACCENT, 2)}/>")
            parts.append(dot(x, y, ACCENT, 4))
    return svg(frame.width, frame.height, label, parts)
