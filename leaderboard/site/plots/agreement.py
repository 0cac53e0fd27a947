"""Printed numbers against what was obtained."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import product

import numpy as np

from avbench.leaderboard.site.plots.canvas import (
    ACCENT,
    CLAIM,
    INK,
    MUTED,
    Canvas,
    Point,
    Shape,
    ceiling,
    legend,
    svg,
)

STYLES: Sequence[tuple[Shape, str]] = tuple(
    product(("ring", "diamond", "square", "triangle", "dot"), (ACCENT, CLAIM, INK))
)
"""By paper, in the order of the papers; begun anew after the last."""


def styles(names: Sequence[str]) -> Mapping[str, tuple[Shape, str]]:
    """A shape and a colour for each name."""
    return {name: STYLES[number % len(STYLES)] for number, name in enumerate(names)}


def agreement(points: Sequence[Point], by: Mapping[str, tuple[Shape, str]], label: str) -> str:
    """Points at (printed, obtained) in percent, around the line where both are equal. ``by``: what shapes mean."""
    top = ceiling(max(max(p.x, p.y) for p in points))
    canvas = Canvas(620, 440, (0, top), (0, top), beside=156)
    parts = canvas.axes("printed (%)", "obtained here (%)")
    parts.append(canvas.line(np.array([0, top]), np.array([0, top]), MUTED))
    parts += legend(canvas.right + 16, canvas.top + 14, [(*style, name) for name, style in by.items()])
    return svg(canvas.width, canvas.height, label, [*parts, *canvas.points(points)])
