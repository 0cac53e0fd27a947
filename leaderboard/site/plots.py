"""Plots as SVG text: readable alone (light colours as attributes) and in a page (classes that the style sheet themes).

No script, no style element, no external font: the same markup stands in the page and in the file to download.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from html import escape

import numpy as np

from avbench.harness.evaluation.accuracy import Doubles, harmonic_mean
from avbench.harness.printable import printable
from avbench.leaderboard.labels import LABEL_LIMIT, cut
from avbench.leaderboard.statistics import Interval

MAX_POINTS = 240
"""Points of a line: more cannot be seen."""
LONGEST = 64
"""Characters of the name of a bar."""

_INK, _MUTED, _RULE, _ACCENT, _CLAIM = "#1d2126", "#5c636b", "#dcd8cf", "#0a5c5c", "#8a4b12"
_CLASSES = {_INK: "ink", _MUTED: "muted", _RULE: "rule", _ACCENT: "accent", _CLAIM: "claim"}


@dataclass(frozen=True)
class Bar:
    """One row of an interval plot, in percent. ``claimed``: somebody printed it."""

    label: str
    value: float
    interval: Interval | None = None
    claimed: bool = False


def seen_unseen(seen: Doubles, unseen: Doubles, chosen: tuple[float, float], label: str) -> str:
    """The seen-unseen curve with the operating point (S, U) of the chosen offset. Accuracies in percent."""
    top_s, top_u = (_ceiling(max(float(v.max()), c)) for v, c in zip((seen, unseen), chosen, strict=True))
    frame = _Frame(420, 320, (0, top_u), (0, top_s))
    parts = frame.axes("unseen classes, U (%)", "seen classes, S (%)")
    for level in _ticks(0, float(harmonic_mean(top_s, top_u)))[1:-1]:
        x = np.linspace(level / 2 * 1.001, top_u, 80)
        y = level * x / (2 * x - level)
        inside = (y <= top_s) & (y >= 0)
        parts.append(frame.line(x[inside], y[inside], _RULE, dashed=True))
        parts.append(_text(frame.right, frame.y(float(y[-1])) - 4, f"HM {level:g}", _MUTED, anchor="end", size=10))
    keep = _sampled(len(seen))
    parts.append(frame.line(unseen[keep], seen[keep], _ACCENT, width=2))
    s, u = chosen
    parts.append(_dot(frame.x(u), frame.y(s), _CLAIM, 5))
    right = frame.x(u) > frame.x(top_u) - 130
    parts.append(
        _text(
            frame.x(u) + (-9 if right else 9),
            frame.y(s) + (18 if right else -8),  # the curve falls: below it on the left, above it on the right
            f"S {s:.1f}, U {u:.1f}, HM {harmonic_mean(s, u):.1f}",
            _INK,
            anchor="end" if right else "start",
        )
    )
    return _svg(frame.width, frame.height, label, parts)


def history(values: Sequence[float], chosen: int, label: str) -> str:
    """Validation HM in percent after each epoch; ``chosen``: the epoch (from 1) that was kept."""
    hm = np.array(values)
    frame = _Frame(420, 240, (1, max(len(hm), 3)), (0, _ceiling(float(hm.max()))))
    parts = frame.axes("epoch", "validation HM (%)")
    keep = np.union1d(_sampled(len(hm)), [chosen - 1])
    parts.append(frame.line(keep + 1.0, hm[keep], _ACCENT, width=2))
    x, y = frame.x(chosen), frame.y(float(hm[chosen - 1]))
    parts.append(_dot(x, y, _CLAIM, 5))
    right = x > frame.width - 130
    text = f"epoch {chosen}: {hm[chosen - 1]:.2f}"
    parts.append(_text(x + (-9 if right else 9), y - 8, text, _INK, anchor="end" if right else "start"))
    return _svg(frame.width, frame.height, label, parts)


def bars(rows: Sequence[Bar], axis: str, label: str) -> str:
    """One line per row: a dot with its interval, if any, or a hollow diamond for a printed number. In percent."""
    names = [cut(printable(row.label, 10 * LABEL_LIMIT), LONGEST) for row in rows]
    longest = max(map(len, names))
    left, line = 20 + 6.6 * longest, 22
    top = _ceiling(max(row.interval.high if row.interval else row.value for row in rows))
    frame = _Frame(left + 400, 60 + line * len(rows), (0, top), (0, 1), left=left, top=12)
    parts = frame.axes(axis, None)
    for number, (row, name) in enumerate(zip(rows, names, strict=True)):
        y = 12 + line * (number + 0.5)
        parts.append(_text(left - 10, y + 4, name, _INK, anchor="end"))
        x = frame.x(row.value)
        if row.claimed:
            points = f"{x - 5:.1f},{y:.1f} {x:.1f},{y - 5:.1f} {x + 5:.1f},{y:.1f} {x:.1f},{y + 5:.1f}"
            parts.append(f'<polygon points="{points}" fill="none" {_stroke(_CLAIM, 1.5)}/>')
        else:
            if row.interval:
                low, high = frame.x(row.interval.low), frame.x(row.interval.high)
                ends = f'x1="{low:.1f}" x2="{high:.1f}" y1="{y:.1f}" y2="{y:.1f}"'
                parts.append(f"<line {ends} {_stroke(_ACCENT, 2)}/>")
            parts.append(_dot(x, y, _ACCENT, 4))
    return _svg(frame.width, frame.height, label, parts)


class _Frame:
    """A plotting area with linear axes."""

    def __init__(
        self,
        width: float,
        height: float,
        x_range: tuple[float, float],
        y_range: tuple[float, float],
        left: float = 52,
        top: float = 14,
    ) -> None:
        self.width, self.height = width, height
        self.x_range, self.y_range = x_range, y_range
        self.left, self.right, self.top, self.bottom = left, width - 16, top, height - 44

    def x(self, value: float) -> float:
        low, high = self.x_range
        return self.left + (value - low) / (high - low) * (self.right - self.left)

    def y(self, value: float) -> float:
        low, high = self.y_range
        return self.bottom - (value - low) / (high - low) * (self.bottom - self.top)

    def line(self, xs: Doubles, ys: Doubles, colour: str, width: float = 1, dashed: bool = False) -> str:
        points = " ".join(f"{self.x(x):.1f},{self.y(y):.1f}" for x, y in zip(xs.tolist(), ys.tolist(), strict=True))
        dash = ' stroke-dasharray="3 3"' if dashed else ""
        return f'<polyline points="{points}" fill="none"{dash} {_stroke(colour, width)}/>'

    def axes(self, x_label: str, y_label: str | None) -> list[str]:
        """Ticks and labels; a ``y_label`` of None leaves the vertical axis out."""
        parts = []
        for tick in _ticks(*self.x_range):
            x = self.x(tick)
            parts.append(f'<line x1="{x:.1f}" x2="{x:.1f}" y1="{self.top}" y2="{self.bottom}" {_stroke(_RULE, 1)}/>')
            parts.append(_text(x, self.bottom + 16, f"{tick:g}", _MUTED, anchor="middle", size=11))
        middle = (self.left + self.right) / 2
        parts.append(_text(middle, self.height - 8, x_label, _MUTED, anchor="middle"))
        if y_label is None:
            return parts
        for tick in _ticks(*self.y_range):
            y = self.y(tick)
            parts.append(f'<line x1="{self.left}" x2="{self.right}" y1="{y:.1f}" y2="{y:.1f}" {_stroke(_RULE, 1)}/>')
            parts.append(_text(self.left - 7, y + 4, f"{tick:g}", _MUTED, anchor="end", size=11))
        middle = (self.top + self.bottom) / 2
        parts.append(
            f'<text x="14" y="{middle:.1f}" transform="rotate(-90 14 {middle:.1f})" text-anchor="middle" '
            f'font-size="12" {_fill(_MUTED)}>{escape(y_label)}</text>'
        )
        return parts


def _svg(width: float, height: float, label: str, parts: Iterable[str]) -> str:
    name = escape(printable(label))
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width:.0f} {height:.0f}" width="{width:.0f}" '
        f'height="{height:.0f}" role="img" aria-label="{name}" '
        f'font-family="system-ui, sans-serif">{"".join(parts)}</svg>\n'
    )


def _text(x: float, y: float, text: str, colour: str, anchor: str = "start", size: int = 12) -> str:
    return (
        f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}" font-size="{size}" {_fill(colour)}>{escape(text)}</text>'
    )


def _dot(x: float, y: float, colour: str, radius: float) -> str:
    return f'<circle cx="{x:.1f}" cy="{y:.1f}" r="{radius:g}" {_fill(colour)}/>'


def _stroke(colour: str, width: float) -> str:
    return f'stroke="{colour}" stroke-width="{width:g}" class="s-{_CLASSES[colour]}"'


def _fill(colour: str) -> str:
    return f'fill="{colour}" class="f-{_CLASSES[colour]}"'


def _ticks(low: float, high: float) -> list[float]:
    """About five round numbers from low to high."""
    rough = (high - low) / 5
    power = 10.0 ** np.floor(np.log10(rough))
    step = next(float(m * power) for m in (1, 2, 5, 10) if m * power >= rough)
    step = max(step, 1.0) if float(low).is_integer() and high - low >= 2 else step
    first = int(np.ceil(low / step))
    return [round(number * step, 6) for number in range(first, int(high / step + 1e-9) + 1)]


def _ceiling(value: float) -> float:
    """A little above a percentage, so that nothing touches the frame."""
    return min(max(value * 1.08, 1.0), 104.0)


def _sampled(count: int) -> np.ndarray:
    return np.unique(np.linspace(0, count - 1, min(count, MAX_POINTS)).round().astype(int))
