"""Badges: two words of fact for a README, as others have them."""

from __future__ import annotations

from html import escape

from avbench.harness.printable import printable
from avbench.leaderboard.site.plots.canvas import ACCENT, INK, MUTED, svg

HEIGHT = 22
_LETTER = 6.6
LONGEST = 60


def badge(what: str, value: str, label: str, *, proven: bool) -> str:
    """``what`` on the left, ``value`` on the right; grey unless ``proven``. ``label``: the whole in words."""
    left, right = printable(what, LONGEST), printable(value, LONGEST)
    widths = [16 + _LETTER * len(words) for words in (left, right)]
    parts = [
        _box(0, widths[0], INK),
        _box(widths[0], widths[1], ACCENT if proven else MUTED),
        _white(8, left),
        _white(widths[0] + 8, right),
    ]
    return svg(sum(widths), HEIGHT, label, parts)


def _box(x: float, width: float, colour: str) -> str:
    return f'<rect x="{x:.1f}" y="0" width="{width:.1f}" height="{HEIGHT}" fill="{colour}"/>'


def _white(x: float, words: str) -> str:
    return f'<text x="{x:.1f}" y="15" font-size="12" fill="#ffffff">{escape(words)}</text>'
