"""Axes, marks and text of all plots."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from html import escape
from itertools import product
from typing import Any, Literal, TypeVar

import numpy as np

from avbench.harness.evaluation.accuracy import Doubles, harmonic_mean
from avbench.harness.printable import printable

Numbers = TypeVar("Numbers", float, Doubles)
Shape = Literal["dot", "ring", "diamond", "square", "triangle"]

INK, MUTED, RULE, ACCENT, CLAIM = "#1d2126", "#5c636b", "#dcd8cf", "#0a5c5c", "#8a4b12"
_CLASSES = {INK: "ink", MUTED: "muted", RULE: "rule", ACCENT: "accent", CLAIM: "claim"}
LONGEST_TITLE = 120
_LETTER = 6.2
"""Width of a letter of a name beside a point."""


@dataclass(frozen=True)
class Point:
    """One point of a plot."""

    x: float
    y: float
    title: str
    """What it is, with its numbers."""
    name: str = ""
    """Stands beside the point where there is room; none where empty."""
    href: str = ""
    """Where the row is that tells the same; from the page that shows the plot."""
    shape: Shape = "dot"
    colour: str = ACCENT


class Canvas:
    """A plotting area, with ``beside`` pixels to its right. Axes are linear; ``log_x``: the horizontal one is
    logarithmic, its range is above 0."""

    def __init__(
        self,
        width: float,
        height: float,
        x_range: tuple[float, float],
        y_range: tuple[float, float],
        left: float = 52,
        top: float = 14,
        beside: float = 16,
        log_x: bool = False,
    ) -> None:
        self.width, self.height = width, height
        self.x_range, self.y_range = x_range, y_range
        self.left, self.right, self.top, self.bottom = left, width - beside, top, height - 44
        self._scale: Callable[[Any], Any] = np.log10 if log_x else lambda value: value
        self._x_ticks = _log_ticks if log_x else ticks

    def x(self, value: Numbers) -> Numbers:
        low, high = map(self._scale, self.x_range)
        pixels: Numbers = self.left + (self._scale(value) - low) / (high - low) * (self.right - self.left)
        return pixels

    def y(self, value: Numbers) -> Numbers:
        low, high = self.y_range
        return self.bottom - (value - low) / (high - low) * (self.bottom - self.top)

    def line(self, xs: Doubles, ys: Doubles, colour: str, width: float = 1, dashed: bool = False) -> str:
        places = zip(self.x(xs).tolist(), self.y(ys).tolist(), strict=True)
        points = " ".join(f"{x:.1f},{y:.1f}" for x, y in places)
        dash = ' stroke-dasharray="3 3"' if dashed else ""
        return f'<polyline points="{points}" fill="none"{dash} {stroke(colour, width)}/>'

    def axes(
        self, x_label: str, y_label: str | None, x_tick: Callable[[float], str] = lambda value: f"{value:g}"
    ) -> list[str]:
        """Ticks and labels; a ``y_label`` of None leaves the vertical axis out. ``x_tick``: the text of a tick."""
        parts = []
        for tick in self._x_ticks(*self.x_range):
            x = self.x(tick)
            parts.append(f'<line x1="{x:.1f}" x2="{x:.1f}" y1="{self.top}" y2="{self.bottom}" {stroke(RULE, 1)}/>')
            parts.append(text(x, self.bottom + 16, x_tick(tick), MUTED, anchor="middle", size=11))
        middle = (self.left + self.right) / 2
        parts.append(text(middle, self.height - 8, x_label, MUTED, anchor="middle"))
        if y_label is None:
            return parts
        for tick in ticks(*self.y_range):
            y = self.y(tick)
            parts.append(f'<line x1="{self.left}" x2="{self.right}" y1="{y:.1f}" y2="{y:.1f}" {stroke(RULE, 1)}/>')
            parts.append(text(self.left - 7, y + 4, f"{tick:g}", MUTED, anchor="end", size=11))
        middle = (self.top + self.bottom) / 2
        parts.append(
            f'<text x="14" y="{middle:.1f}" transform="rotate(-90 14 {middle:.1f})" text-anchor="middle" '
            f'font-size="12" {fill(MUTED)}>{escape(y_label)}</text>'
        )
        return parts

    def contours(self) -> list[str]:
        """Lines of equal HM on a plane of U (horizontal) and S (vertical), both from 0."""
        top_u, top_s = self.x_range[1], self.y_range[1]
        parts = []
        for level in ticks(0, float(harmonic_mean(top_s, top_u)))[1:]:
            x = np.linspace(level / 2 * 1.001, top_u, 40)
            y = level * x / (2 * x - level)
            inside = (y <= top_s) & (y >= 0)
            parts.append(self.line(x[inside], y[inside], MUTED, dashed=True))
            parts.append(text(self.right, self.y(float(y[-1])) - 4, f"HM {level:g}", MUTED, anchor="end", size=10))
        return parts

    def points(self, points: Sequence[Point]) -> list[str]:
        """Marks with their titles, and the names for which there is room, the first points first."""
        return [*(self._point(point) for point in points), *self._names(points)]

    def _point(self, point: Point) -> str:
        x, y = self.x(point.x), self.y(point.y)
        href = f' data-href="{escape(point.href)}"' if point.href else ""
        drawn = mark(x, y, point.shape, point.colour)
        title = f"<title>{escape(printable(point.title, LONGEST_TITLE))}</title>"
        return f'<g class="point" data-at="{x:.1f} {y:.1f}"{href}>{drawn}{title}</g>'

    def _names(self, points: Sequence[Point]) -> list[str]:
        taken = [(self.x(p.x) - 4, self.y(p.y) - 4, self.x(p.x) + 4, self.y(p.y) + 4) for p in points]
        parts = []
        for point in points:
            name, x, y = printable(point.name, 24), self.x(point.x), self.y(point.y)
            width = _LETTER * len(name)
            for side, up in product(("start", "end"), (4, -6, 14)):
                left = x + 8 if side == "start" else x - 8 - width
                box = (left, y + up - 9, left + width, y + up + 2)
                inside = box[0] >= self.left and box[2] <= self.right and self.top <= box[1] <= box[3] <= self.bottom
                if name and inside and not any(_overlap(box, other) for other in taken):
                    taken.append(box)
                    parts.append(text(x + 8 if side == "start" else x - 8, y + up, name, INK, side, 11))
                    break
        return parts


def svg(width: float, height: float, label: str, parts: Iterable[str]) -> str:
    name = escape(printable(label))
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width:.0f} {height:.0f}" width="{width:.0f}" '
        f'height="{height:.0f}" role="img" aria-label="{name}" '
        f'font-family="system-ui, sans-serif">{"".join(parts)}</svg>\n'
    )


def text(x: float, y: float, content: str, colour: str, anchor: str = "start", size: int = 12) -> str:
    place = f'x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}" font-size="{size}"'
    return f"<text {place} {fill(colour)}>{escape(content)}</text>"


def mark(x: float, y: float, shape: Shape, colour: str) -> str:
    """A shape at a place in pixels. Shapes differ, not only colours: colour alone tells nothing to many readers."""
    if shape == "dot":
        return dot(x, y, colour, 4)
    if shape == "ring":
        return f'<circle cx="{x:.1f}" cy="{y:.1f}" r="4" fill="none" {stroke(colour, 1.5)}/>'
    corners = {
        "diamond": ((-5, 0), (0, -5), (5, 0), (0, 5)),
        "square": ((-4, -4), (4, -4), (4, 4), (-4, 4)),
        "triangle": ((-4, 4), (0, -5), (4, 4)),
    }[shape]
    places = " ".join(f"{x + dx:.1f},{y + dy:.1f}" for dx, dy in corners)
    return f'<polygon points="{places}" fill="none" {stroke(colour, 1.5)}/>'


def legend(x: float, y: float, entries: Iterable[tuple[Shape, str, str]]) -> list[str]:
    """One shape, its colour and its meaning a line, from the top."""
    parts = []
    for number, (shape, colour, meaning) in enumerate(entries):
        at = y + 18 * number
        parts += [mark(x, at - 4, shape, colour), text(x + 12, at, meaning, INK, size=11)]
    return parts


def dot(x: float, y: float, colour: str, radius: float) -> str:
    return f'<circle cx="{x:.1f}" cy="{y:.1f}" r="{radius:g}" {fill(colour)}/>'


def stroke(colour: str, width: float) -> str:
    return f'stroke="{colour}" stroke-width="{width:g}" class="s-{_CLASSES[colour]}"'


def fill(colour: str) -> str:
    return f'fill="{colour}" class="f-{_CLASSES[colour]}"'


def ticks(low: float, high: float) -> list[float]:
    """About five round numbers from low to high."""
    rough = (high - low) / 5
    power = 10.0 ** np.floor(np.log10(rough))
    step = next(float(m * power) for m in (1, 2, 5, 10) if m * power >= rough)
    step = max(step, 1.0) if float(low).is_integer() and high - low >= 2 else step
    first = int(np.ceil(low / step))
    return [round(number * step, 6) for number in range(first, int(high / step + 1e-9) + 1)]


def ceiling(value: float) -> float:
    """A little above a percentage, so that nothing touches the frame."""
    return min(max(value * 1.08, 1.0), 104.0)


def _log_ticks(low: float, high: float) -> list[float]:
    """Powers of ten within the range, with 2 and 5 times those where they are few."""
    exponents = range(int(np.floor(np.log10(low))), int(np.ceil(np.log10(high))) + 1)
    steps = (1,) if np.log10(high / low) > 3 else (1, 2, 5)
    found = [step * 10.0**exponent for exponent in exponents for step in steps]
    return [value for value in found if low <= value <= high]


def _overlap(a: tuple[float, ...], b: tuple[float, ...]) -> bool:
    return a[0] < b[2] and b[0] < a[2] and a[1] < b[3] and b[1] < a[3]
