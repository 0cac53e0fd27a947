"""Result tables as text, Markdown, LaTeX, CSV and JSON: one frame of lines for command line, closing table and site."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Literal

import pandas as pd
from tabulate import tabulate

from avbench.harness.plugins.presets import Overrides
from avbench.harness.records.record import RunRecord
from avbench.leaderboard.boards import Board, RerunRow, build_boards
from avbench.leaderboard.claims import METRICS, PRINTED, Claim
from avbench.leaderboard.frame import (
    BOARD,
    FEW_SEEDS,
    NO_PRESET,
    NOT_VERIFIED,
    OFF_PRESET,
    SIMULATED,
    csv_text,
    json_text,
    marks_over,
)
from avbench.leaderboard.labels import NO_VALUE
from avbench.leaderboard.ladder import VERIFIED
from avbench.splits import DATASETS

Format = Literal["text", "markdown", "latex", "csv", "json"]
FORMATS: tuple[Format, ...] = ("text", "markdown", "latex", "csv", "json")

COLUMNS = [
    *BOARD[1:3], "simulated", *BOARD[3:], "method", "changes", "source", "distribution", "version", "feature_hash",
    "features_verified", "features_source", "seeds",
    *(f"{metric}{what}" for metric in METRICS for what in ("", "_deviation")), "val_HM",
    "val_HM_deviation", "parameters", "seconds", "device", "label", "marks",
    "reproduction", "reproduced_seeds", "reproduction_difference",
]  # fmt: skip
"""Of :func:`compared`."""
HEADS = ["method", "protocol", "source", "runs"]
"""Columns of every line of a sheet, before the numbers."""
WORDS = 60
"""Characters of a line of words on a terminal."""
RUN = "run"
"""The source of numbers that were run; that of printed ones names the papers."""


def summary_table(records: Iterable[RunRecord], claims: Sequence[Claim], overrides: Overrides) -> str:
    """What was obtained, as text, with the printed numbers where the protocol allows the comparison."""
    return render(compared(build_boards(records, claims, overrides)), "text")


def compared(boards: Iterable[Board]) -> pd.DataFrame:
    """The re-run rows of all boards, each followed by the printed numbers that it may be compared with."""
    lines: list[dict[str, Any]] = []
    for board in boards:
        for group in board.groups:
            for row in group.rows:
                lines.append(run_line(row, group.verified))
                if row.claims:
                    lines.append(_claim_line(row))
    return frame_of(lines, COLUMNS)


def frame_of(lines: Sequence[Mapping[str, Any]], columns: Sequence[str]) -> pd.DataFrame:
    """Lines of boards as a frame for :func:`render`, of Python's own values: what a printed row lacks is None."""
    return pd.DataFrame(lines, columns=list(columns), dtype=object)


def place_of(board: Board) -> dict[str, Any]:
    """The columns that name a board."""
    place = (board.simulated, board.track.dataset, board.track.features, board.protocol, board.protocol_version)
    return dict(zip(BOARD, place, strict=True))


def run_line(row: RerunRow, verified: bool) -> dict[str, Any]:
    """A re-run row of a board as it stands in tables and downloads."""
    return {**row.line, "changes": row.changed, "source": RUN, "features_verified": verified}


def _claim_line(row: RerunRow) -> dict[str, Any]:
    claims = {metric: row.deviations[metric][1] for metric in PRINTED if metric in row.deviations}
    return {
        **{name: row.line[name] for name in (*BOARD, "method", "label")},
        "changes": "",
        "marks": "",
        "source": "claimed, " + ", ".join(dict.fromkeys(claim.paper for claim in claims.values())),
        **{metric: claim.values[metric] for metric, claim in claims.items()},
    }


def render(lines: pd.DataFrame, format: Format, validation: bool = False) -> str:
    """Lines of boards, with or without the HM on validation. CSV and JSON have every column, a row per track."""
    if format == "csv":
        return csv_text(lines)
    if format == "json":
        return json_text(lines)
    columns = (*PRINTED, "val_HM") if validation else PRINTED
    found = sheets(lines, columns, every_mark=format == "latex")  # its title is a comment, which nobody prints
    return "\n\n".join(map(_RENDER[format], found)) or "No finished run."


def differences_text(rows: pd.DataFrame) -> str:
    """The rows of ``results compare`` as text."""
    track = rows["dataset"] + "/" + rows["features"]
    means = rows[["first_mean", "second_mean"]].map("{:.2f}".format)
    points = rows[["difference", "low", "high"]].map("{:+.2f}".format, na_action="ignore")
    tested = rows["p"].notna()
    shown = {
        "track": track.where(~rows["simulated"], track + " (simulated)"),
        **rows[["protocol", "first", "second", "metric"]],
        **means,
        "difference": points["difference"],
        "interval": (points["low"] + " to " + points["high"]).where(tested, "too few seeds"),
        "p": rows["p"].map("{:.4f}".format, na_action="ignore").where(tested, ""),
    }
    heads = ["track", "protocol", "first", "second", "", "first", "second", "difference", "95% interval", "p"]
    told = dict.fromkeys(
        f"{label}: {marks}"
        for side in ("first", "second")
        for label, marks in zip(rows[side], rows[f"{side}_marks"], strict=True)
        if marks
    )
    return "\n".join([_grid(pd.DataFrame(shown), heads, "simple", left=5), *(["", *told] if told else [])])


@dataclass(frozen=True)
class Sheet:
    """The lines of one feature set."""

    features: str
    simulated: bool
    datasets: tuple[str, ...]
    lines: pd.DataFrame
    """Those of :func:`compared` on these features."""
    metrics: tuple[str, ...]
    told: tuple[str, ...]
    """Marks that need no brackets: something else tells them."""
    notes: tuple[str, ...]
    """Marks of the features that every re-run line bears."""

    @cached_property
    def table(self) -> pd.DataFrame:
        """All text. Columns have two levels: data set (empty for :data:`HEADS`) and name; each data set has the
        metrics."""
        return _side_by_side(self.lines, self.datasets, self.metrics, self.told)

    def block(self, dataset: str) -> pd.DataFrame:
        """The same of one data set, with its own order, runs and marks."""
        return _side_by_side(self.lines[self.lines["dataset"] == dataset], [dataset], self.metrics, self.told)

    @property
    def title(self) -> str:
        notes = ["simulated: says nothing about real data" if note == SIMULATED else note for note in self.notes]
        return f"{self.features} features" + (f" ({'; '.join(notes)})" if notes else "")


def sheets(lines: pd.DataFrame, metrics: Sequence[str] = PRINTED, *, every_mark: bool = False) -> Iterator[Sheet]:
    """One sheet per feature set, real features first: a line per method and protocol, data sets side by side.

    By protocol; what was run on more data sets first, then the better mean HM, with the printed numbers that it may be
    compared with below it; other printed numbers follow. What was run on features that are not verified comes last,
    never among printed numbers. Marks stand in brackets behind the label, with the data sets where
    they do not hold on all of the line: with ``every_mark`` all of them, else those that neither the title nor the
    label nor the number of runs tells.
    """
    for (simulated, features), part in lines.groupby(["simulated", "features"]):
        found = [*(d for d in DATASETS if d in set(part["dataset"])), *sorted(set(part["dataset"]) - set(DATASETS))]
        borne = [marks.split("; ") for marks in part.loc[part["source"] == RUN, "marks"]]
        notes = [mark for mark in (SIMULATED, NOT_VERIFIED) if borne and all(mark in marks for marks in borne)]
        hidden = part["label"].str.contains(f"={NO_VALUE}", regex=False).any()  # it leaves out what all rows changed
        told = () if every_mark else (FEW_SEEDS, NO_PRESET, *(() if hidden else (OFF_PRESET,)), *notes)
        yield Sheet(str(features), bool(simulated), tuple(found), part, tuple(metrics), told, tuple(notes))


def _side_by_side(
    part: pd.DataFrame, datasets: Sequence[str], metrics: Sequence[str], told: Sequence[str]
) -> pd.DataFrame:
    series = ["protocol", "protocol_version", "unverified", "label"]
    numbers = {name: "float64" for metric in metrics for name in (metric, f"{metric}_deviation")}
    part = part.astype({**numbers, "seeds": "Int64"}).assign(claimed=part["source"] != RUN)
    part["unverified"] = part["marks"].str.split("; ").map(lambda marks: NOT_VERIFIED in marks)
    borne = zip(part["dataset"], part["marks"], part["reproduction"], strict=True)
    part["borne"] = pd.Series(
        [(at, _borne(marks, status, told)) for at, marks, status in borne], part.index, dtype=object
    )
    part["printing"] = part.groupby([*series, "claimed", "dataset"]).cumcount()  # papers may print several
    part["alone"] = part.groupby(series)["claimed"].transform("min")
    own = part[part["claimed"] == part["alone"]].groupby(series)["HM"].agg(["size", "mean"])
    part = part.join(-own, on=series).sort_values(
        ["protocol", "protocol_version", "unverified", "alone", "size", "mean", "label", "claimed", "printing"],
        kind="stable",
    )
    by_line = part.groupby([*series, "claimed", "printing"], sort=False)
    runs = by_line["seeds"].agg(["min", "max"]).astype("string").fillna("")  # such as 3, or 1-3 where tracks differ
    found = {
        ("", "method"): by_line["label"].first() + by_line["borne"].agg(_in_brackets),
        ("", "protocol"): by_line["protocol"].first(),
        ("", "source"): by_line["source"].agg(lambda sources: ", ".join(dict.fromkeys(sources))),
        ("", "runs"): runs["min"].where(runs["min"] == runs["max"], runs["min"] + "-" + runs["max"]),
    }
    for dataset in datasets:
        here = part[part["dataset"] == dataset].set_index([*series, "claimed", "printing"])
        for name in metrics:
            cells = map(_number, here[name], here[f"{name}_deviation"])
            found[dataset, name] = pd.Series(list(cells), here.index, dtype=str)
    return pd.DataFrame(found, index=by_line.size().index).fillna("")


def _number(mean: float | None, deviation: float | None) -> str:
    if pd.isna(mean):
        return ""
    return f"{mean:.2f}" + ("" if pd.isna(deviation) else f" ± {deviation:.2f}")


def _borne(marks: str, status: str | None, told: Sequence[str]) -> list[str]:
    """What a row of one board has behind its label: its marks, and what repetitions came to, where there were any."""
    repeated = [] if pd.isna(status) or status == VERIFIED else [str(status)]
    return [mark for mark in dict.fromkeys(marks.split("; ")) if mark and mark not in told] + repeated


def _in_brackets(borne: Iterable[tuple[str, Sequence[str]]]) -> str:
    """What a line has behind its label, from its data sets and the marks there."""
    return "".join(f" [{mark}]" for mark in marks_over(borne))


def _names(table: pd.DataFrame) -> list[str]:
    return [name.replace("_", " ") for name in table.columns.get_level_values(1)]


def _grid(table: pd.DataFrame, heads: Sequence[str], style: str, left: int = 3) -> str:
    """The ``left`` first columns are words. On a terminal long ones are broken into lines, never cut."""
    align = ["left"] * left + ["right"] * (len(heads) - left)
    widths = [WORDS] * left + [None] * (len(heads) - left) if style == "simple" else None
    rows = table.to_numpy().tolist()
    return tabulate(rows, heads, style, colalign=align, disable_numparse=True, maxcolwidths=widths)


def _text(sheet: Sheet) -> str:
    """All data sets side by side where the terminal is wide enough, else one below the other."""
    table, names = sheet.table, _names(sheet.table)
    above = table.columns.get_level_values(0)
    first = {dataset: list(above).index(dataset) for dataset in sheet.datasets}
    heads = [f"{d if first[d] == at else ''}\n{names[at]}" if d else names[at] for at, d in enumerate(above)]
    wide = _grid(table, heads, "simple")
    if max(map(len, wide.splitlines())) <= shutil.get_terminal_size((120, 24)).columns:
        return f"{sheet.title}\n\n{wide}"
    blocks = [sheet.title]
    for dataset in sheet.datasets:
        here = sheet.block(dataset)
        blocks.append(f"{dataset}/{sheet.features}\n{_grid(here, _names(here), 'simple')}")
    return "\n\n".join(blocks)


def _markdown(sheet: Sheet) -> str:
    places = sheet.table.columns.get_level_values(0)
    heads = [f"{dataset} {name}".strip() for dataset, name in zip(places, _names(sheet.table), strict=True)]
    return f"**{sheet.title}**\n\n{_grid(sheet.table.map(_markdown_text), heads, 'pipe')}"


def _latex(sheet: Sheet) -> str:
    """A ``tabular`` for the ``booktabs`` package."""
    table = sheet.table.reset_index(drop=True)
    table.columns = pd.MultiIndex.from_arrays([table.columns.get_level_values(0), _names(table)])
    width = len(table.columns) - len(HEADS)
    each = width // len(sheet.datasets)
    rules = [rf"\cmidrule(lr){{{at + 1}-{at + each}}}" for at in range(len(HEADS), len(HEADS) + width, each)]
    styled = table.style.hide(axis="index").format(escape="latex").format_index(escape="latex", axis=1)
    text = styled.to_latex(hrules=True, column_format="lllr" + "r" * width, multicol_align="c")
    text = text.replace("\\\\\n", f"\\\\\n{' '.join(rules)}\n", 1).replace("±", r"$\pm$")
    return f"% {sheet.title}\n{text}".rstrip("\n")


_RENDER: Mapping[Format, Callable[[Sheet], str]] = {"text": _text, "markdown": _markdown, "latex": _latex}


def _markdown_text(text: str) -> str:
    return "".join(f"\\{c}" if c in "\\`*_|<>[]" else c for c in text)
