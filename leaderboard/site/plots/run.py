"""The plots on the page of a run: its seen-unseen curve and its validation."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from avbench.harness.evaluation.accuracy import Doubles, harmonic_mean
from avbench.leaderboard.site.plots.canvas import ACCENT, CLAIM, INK, Canvas, ceiling, dot, svg, text

MAX_POINTS = 240
"""Points of a line: more cannot be seen."""


def seen_unseen(seen: Doubles, unseen: Doubles, chosen: tuple[float, float], label: str) -> str:
    """The seen-unseen curve with the operating point (S, U) of the chosen offset. Accuracies in percent."""
    top_s, top_u = (ceiling(max(float(v.max()), c)) for v, c in zip((seen, unseen), chosen, strict=True))
    frame = Canvas(420, 320, (0, top_u), (0, top_s))
    parts = frame.axes("unseen classes, U (%)", "seen classes, S (%)")
    parts += frame.contours()
    keep = _sampled(len(seen))
    parts.append(frame.line(unseen[keep], seen[keep], ACCENT, width=2))
    s, u = chosen
    parts.append(dot(frame.x(u), frame.y(s), CLAIM, 5))
    right = frame.x(u) > frame.x(top_u) - 130
    parts.append(
        text(
            frame.x(u) + (-9 if right else 9),
            frame.y(s) + (18 if right else -8),  # the curve falls: below it on the left, above it on the right
            f"S {s:.1f}, U {u:.1f}, HM {harmonic_mean(s, u):.1f}",
            INK,
            anchor="end" if right else "start",
        )
    )
    return svg(frame.width, frame.height, label, parts)


def history(values: Sequence[float], chosen: int, label: str) -> str:
    """Validation HM in percent after each epoch; ``chosen``: the epoch (from 1) that was kept."""
    hm = np.array(values)
    frame = Canvas(420, 240, (1, max(len(hm), 3)), (0, ceiling(float(hm.max()))))
    parts = frame.axes("epoch", "validation HM (%)")
    keep = np.union1d(_sampled(len(hm)), [chosen - 1])
    parts.append(frame.line(keep + 1.0, hm[keep], ACCENT, width=2))
    x, y = frame.x(chosen), frame.y(float(hm[chosen - 1]))
    parts.append(dot(x, y, CLAIM, 5))
    right = x > frame.width - 130
    words = f"epoch {chosen}: {hm[chosen - 1]:.2f}"
    parts.append(text(x + (-9 if right else 9), y - 8, words, INK, anchor="end" if right else "start"))
    return svg(frame.width, frame.height, label, parts)


def _sampled(count: int) -> np.ndarray:
    return np.unique(np.linspace(0, count - 1, min(count, MAX_POINTS)).round().astype(int))
