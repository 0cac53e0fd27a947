"""The result of an analysis: its data, how it is drawn, and a line of numbers."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, get_args

from avbench.harness.atomic import write_bytes
from avbench.harness.errors import UsageError
from avbench.harness.picture import picture, require_drawable

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

Theme = Literal["light", "dark"]
THEMES: tuple[Theme, ...] = get_args(Theme)
COLOURS = ("#4477aa", "#ee6677", "#228833", "#ccbb44", "#66ccee", "#aa3377", "#bbbbbb", "#ee8866", "#44bb99")
"""Told apart by readers who see few colours, on light and on dark ground."""
SEQUENTIAL = "viridis"


@dataclass(frozen=True)
class Analysis:
    """What one analysis found."""

    frame: pd.DataFrame
    """One row per fact, with plain columns."""
    line: str
    """What the data say in one line."""
    draw: Callable[[Figure], None]
    size: tuple[float, float] = (6.4, 4.0)
    """Of the figure, in inches."""
    simulated: bool = False


@dataclass(frozen=True)
class Wanted:
    """The files that an analysis is to be written to."""

    csv: Path | None = None
    json: Path | None = None
    svg: Path | None = None
    theme: Theme = "light"

    def require_possible(self) -> None:
        """Raise :class:`UsageError` for what could not be written, before anything is computed."""
        for kind, path in (("csv", self.csv), ("json", self.json), ("svg", self.svg)):
            if path is not None and path.suffix != f".{kind}":
                raise UsageError(f"--{kind} {path}: name a .{kind} file")
        if self.svg is not None:
            require_drawable(self.svg)

    def write(self, found: Analysis) -> list[Path]:
        """Write the data and the picture: equal results give equal bytes."""
        from avbench.leaderboard.frame import csv_text, json_text

        if self.csv is not None:
            write_bytes(self.csv, csv_text(found.frame).encode())
        if self.json is not None:
            write_bytes(self.json, (json_text(found.frame) + "\n").encode())
        if self.svg is not None:
            with picture(self.svg, found.size, style(self.theme)) as figure:
                found.draw(figure)
                if found.simulated:
                    figure.suptitle("simulated features: says nothing about real data", fontsize="x-small")
        return [path for path in (self.csv, self.json, self.svg) if path is not None]


def style(theme: Theme) -> Mapping[str, Any]:
    """Settings of matplotlib: the one style of all figures."""
    from cycler import cycler

    ink, ground, grid = {"light": ("#222222", "white", "#dddddd"), "dark": ("#dddddd", "#1b1b1f", "#44444a")}[theme]
    inked = ("text.color", "axes.labelcolor", "axes.edgecolor", "xtick.color", "ytick.color")
    grounds = ("figure.facecolor", "axes.facecolor", "savefig.facecolor", "legend.facecolor")
    return {
        **dict.fromkeys(inked, ink),
        **dict.fromkeys(grounds, ground),
        "grid.color": grid,
        "legend.edgecolor": grid,
        "axes.prop_cycle": cycler(color=COLOURS),
        "axes.spines.top": False,
        "axes.spines.right": False,
        "axes.titlesize": "medium",
        "font.size": 9,
        "text.parse_math": False,
    }


def one_row(figure: Figure, count: int) -> list[Axes]:
    """So many panels side by side."""
    found: list[Axes] = list(figure.subplots(1, count, squeeze=False)[0])
    return found
