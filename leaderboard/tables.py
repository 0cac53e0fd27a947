"""Result tables as text, Markdown, LaTeX, CSV and JSON: one set of lines for command line, summary and site."""

from __future__ import annotations

import csv
import io
import json
import shutil
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

from avbench.harness.printable import printable
from avbench.harness.records.record import RunRecord
from avbench.harness.tracks import Track
from avbench.leaderboard.boards import Board, FeatureGroup, Overrides, RerunRow, Series, Spread, build_boards
from avbench.leaderboard.claims import METRICS, PRINTED, Claim, Metric
from avbench.splits import DATASETS

Format = Literal["text", "markdown", "latex", "csv", "json"]
FORMATS: tuple[Format, ...] = ("text", "markdown", "latex", "csv", "json")

Cells = Mapping[Track, Mapping[Metric, Spread]]

_LABEL_LIMIT = 60
_LATEX = {c: rf"\{c}" for c in "&%$#_{}"} | {
    "\\": r"\textbackslash{}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
}


@dataclass(frozen=True)
class Line:
    """One row of a table: what was run, or what papers print for it."""

    label: str
    protocol: str
    source: str
    """``run``, or the papers that print the numbers."""
    claimed: bool
    runs: Mapping[Track, int]
    """Number of runs behind the cells of a track; empty for printed numbers."""
    cells: Cells

    def runs_on(self, tracks: Sequence[Track]) -> str:
        """Such as ``3``, or ``1-3`` where tracks differ; empty for printed numbers."""
        counts = [self.runs[track] for track in tracks if track in self.runs]
        return "-".join(map(str, sorted({min(counts), max(counts)}))) if counts else ""


@dataclass(frozen=True)
class Sheet:
    """The lines of one feature set. ``tracks`` has one entry per data set that was run."""

    features: str
    simulated: bool
    tracks: tuple[Track, ...]
    lines: tuple[Line, ...]

    @property
    def title(self) -> str:
        note = " (simulated: says nothing about real data)" if self.simulated else ""
        return f"{self.features} features{note}"


def summary_table(records: Iterable[RunRecord], claims: Sequence[Claim], overrides: Overrides) -> str:
    """What was obtained, as text, with the printed numbers where the protocol allows the comparison."""
    return render(build_boards(records, claims, overrides), "text")


def render(boards: Iterable[Board], format: Format) -> str:
    """The re-run rows of all boards, and the printed numbers that they may be compared with."""
    shown = [board for board in boards if board.groups]
    if format == "csv":
        return csv_text(long_rows(shown))
    if format == "json":
        return json.dumps(long_rows(shown), indent=1, ensure_ascii=False, allow_nan=False)
    if not shown:
        return "No finished run."
    return "\n\n".join(_RENDER[format](sheet) for sheet in sheets(shown))


def sheets(boards: Iterable[Board]) -> tuple[Sheet, ...]:
    """One sheet per feature set, real features first."""
    found: dict[tuple[bool, str], list[Board]] = defaultdict(list)
    for board in boards:
        if board.groups:
            found[board.simulated, board.track.features].append(board)
    return tuple(
        Sheet(features, simulated, _in_order(members), _lines(members))
        for (simulated, features), members in sorted(found.items())
    )


def _in_order(boards: Sequence[Board]) -> tuple[Track, ...]:
    """The data sets in their usual order; boards come by name."""
    tracks = dict.fromkeys(board.track for board in boards)
    return tuple(sorted(tracks, key=lambda t: DATASETS.index(t.dataset) if t.dataset in DATASETS else len(DATASETS)))


def long_rows(boards: Iterable[Board]) -> list[dict[str, Any]]:
    """One flat row per track, protocol and line. Percent; ``*_deviation`` is over seeds, None for one run."""
    rows: list[dict[str, Any]] = []
    for board in boards:
        place = {
            "dataset": board.track.dataset,
            "features": board.track.features,
            "simulated": board.simulated,
            "protocol": board.protocol,
            "protocol_version": board.protocol_version,
        }
        for group in board.groups:
            for row in group.rows:
                rows.append(place | _long_run(row, group))
                if row.claims:
                    rows.append(place | _long_claim(row))
    return rows


def _long_run(row: RerunRow, group: FeatureGroup) -> dict[str, Any]:
    c = row.first.configuration
    return {
        "method": row.method,
        "changes": printable(row.series.changed),
        "source": "run",
        "distribution": c.plugin.distribution,
        "version": c.plugin.version,
        "feature_hash": group.feature_hash,
        "features_verified": group.verified,
        "seeds": len(row.records),
        **_long_metrics({metric: (spread.mean, spread.deviation) for metric, spread in row.metrics.items()}),
    }


def _long_claim(row: RerunRow) -> dict[str, Any]:
    values = _claimed_values(row)
    return {
        "method": row.method,
        "changes": "",
        "source": _papers(row),
        **dict.fromkeys(("distribution", "version", "feature_hash", "features_verified", "seeds")),
        **_long_metrics({metric: (values.get(metric), None) for metric in METRICS}),
    }


def _long_metrics(values: Mapping[Metric, tuple[float | None, float | None]]) -> dict[str, float | None]:
    found: dict[str, float | None] = {}
    for metric, (mean, deviation) in values.items():
        found |= {metric: mean, f"{metric}_deviation": deviation}
    return found


def _lines(boards: Sequence[Board]) -> tuple[Line, ...]:
    rows: dict[tuple[Series, str], dict[Track, RerunRow]] = defaultdict(dict)
    for board in boards:
        for group in board.groups:
            content = f"features {group.feature_hash[:8]}" if len(board.groups) > 1 else ""
            for row in group.rows:
                rows[row.series, content][board.track] = row
    labels = Counter((series.label, series.protocol, content) for series, content in rows)
    lines: list[Line] = []
    for (series, content), by_track in sorted(rows.items(), key=_line_order):
        code = f"code {series.plugin.source_hash[:8]}" if labels[series.label, series.protocol, content] > 1 else ""
        missing = "" if all(row.complete for row in by_track.values()) else "incomplete features"
        marks = "".join(f" [{mark}]" for mark in (code, content, missing) if mark)
        label = printable(series.label, _LABEL_LIMIT) + marks
        lines.append(
            Line(
                label=label,
                protocol=series.protocol,
                source="run",
                claimed=False,
                runs={track: len(row.records) for track, row in by_track.items()},
                cells={track: row.metrics for track, row in by_track.items()},
            )
        )
        claimed = {track: row for track, row in by_track.items() if row.claims}
        if claimed:
            sources = dict.fromkeys(_papers(row) for row in claimed.values())
            cells = {
                track: {metric: Spread.of([value]) for metric, value in _claimed_values(row).items()}
                for track, row in claimed.items()
            }
            lines.append(Line(label, series.protocol, ", ".join(sources), True, {}, cells))
    return tuple(lines)


def _line_order(item: tuple[tuple[Series, str], Mapping[Track, RerunRow]]) -> tuple[Any, ...]:
    """By protocol; series on more tracks first, then the better mean HM."""
    (series, content), by_track = item
    hm = [row.metrics["HM"].mean for row in by_track.values()]
    return series.protocol, series.protocol_version, -len(hm), -sum(hm) / len(hm), series.label, content


def _claimed_values(row: RerunRow) -> Mapping[Metric, float]:
    return {metric: row.deviations[metric][1].values[metric] for metric in PRINTED if metric in row.deviations}


def _papers(row: RerunRow) -> str:
    used = [row.deviations[metric][1].paper for metric in PRINTED if metric in row.deviations]
    return "claimed, " + ", ".join(dict.fromkeys(used))


def _number(spread: Spread | None, plus_minus: str) -> str:
    if spread is None:
        return ""
    return f"{spread.mean:.2f}" + ("" if spread.deviation is None else f"{plus_minus}{spread.deviation:.2f}")


def _heads(line: Line, tracks: Sequence[Track]) -> list[str]:
    return [line.label, line.protocol, line.source, line.runs_on(tracks)]


def _cells(line: Line, tracks: Sequence[Track], plus_minus: str) -> list[str]:
    return [_number(line.cells.get(track, {}).get(metric), plus_minus) for track in tracks for metric in PRINTED]


def _grid(sheet: Sheet, tracks: Sequence[Track], style: str, heads: Sequence[str]) -> str:
    from tabulate import tabulate

    rows = [
        [*_heads(line, tracks), *_cells(line, tracks, " ± ")]
        for line in sheet.lines
        if any(track in line.cells for track in tracks)
    ]
    align = ["left", "left", "left", "right", *["right"] * len(heads)]
    return tabulate(
        rows,
        headers=["method", "protocol", "source", "runs", *heads],
        tablefmt=style,
        colalign=align,
        disable_numparse=True,
    )


def _text(sheet: Sheet) -> str:
    """All data sets side by side where the terminal is wide enough, else one below the other."""
    above = [track.dataset if metric == PRINTED[0] else "" for track in sheet.tracks for metric in PRINTED]
    heads = [f"{dataset}\n{metric}" for dataset, metric in zip(above, PRINTED * len(sheet.tracks), strict=True)]
    wide = _grid(sheet, sheet.tracks, "simple", heads)
    if max(map(len, wide.splitlines())) <= shutil.get_terminal_size((120, 24)).columns:
        return f"{sheet.title}\n\n{wide}"
    blocks = [f"{track}\n{_grid(sheet, [track], 'simple', PRINTED)}" for track in sheet.tracks]
    return "\n\n".join([sheet.title, *blocks])


def _markdown(sheet: Sheet) -> str:
    heads = [f"{track.dataset} {metric}" for track in sheet.tracks for metric in PRINTED]
    return f"**{sheet.title}**\n\n{_grid(_escaped(sheet, _markdown_text), sheet.tracks, 'pipe', heads)}"


def _latex(sheet: Sheet) -> str:
    """A ``tabular`` for the ``booktabs`` package."""
    sheet = _escaped(sheet, _latex_text)
    groups = " & ".join(rf"\multicolumn{{4}}{{c}}{{{_latex_text(track.dataset)}}}" for track in sheet.tracks)
    rules = " ".join(rf"\cmidrule(lr){{{5 + 4 * i}-{8 + 4 * i}}}" for i in range(len(sheet.tracks)))
    heads = " & ".join(PRINTED * len(sheet.tracks))
    rows = [[*_heads(line, sheet.tracks), *_cells(line, sheet.tracks, r" $\pm$ ")] for line in sheet.lines]
    return "\n".join(
        [
            f"% {sheet.title}",
            rf"\begin{{tabular}}{{lllr{'rrrr' * len(sheet.tracks)}}}",
            r"\toprule",
            rf" & & & & {groups} \\",
            rules,
            rf"method & protocol & source & runs & {heads} \\",
            r"\midrule",
            *(" & ".join(row) + r" \\" for row in rows),
            r"\bottomrule",
            r"\end{tabular}",
        ]
    )


_RENDER = {"text": _text, "markdown": _markdown, "latex": _latex}


def _escaped(sheet: Sheet, escape: Callable[[str], str]) -> Sheet:
    lines = tuple(
        replace(line, label=escape(line.label), protocol=escape(line.protocol), source=escape(line.source))
        for line in sheet.lines
    )
    return replace(sheet, lines=lines)


def _markdown_text(text: str) -> str:
    return "".join(f"\\{c}" if c in "\\`*_|<>[]" else c for c in text)


def _latex_text(text: str) -> str:
    return "".join(_LATEX.get(c, c) for c in text)


def csv_text(rows: Sequence[Mapping[str, Any]]) -> str:
    """Flat rows with equal keys as CSV with a header; empty for no rows. Nothing in it runs in a spreadsheet."""
    stream = io.StringIO()
    if rows:
        writer = csv.DictWriter(stream, list(rows[0]), lineterminator="\n")
        writer.writeheader()
        writer.writerows({key: _plain_cell(value) for key, value in row.items()} for row in rows)
    return stream.getvalue()


def _plain_cell(value: Any) -> Any:
    """Text that a spreadsheet would take for a formula gets an apostrophe in front."""
    return f"'{value}" if isinstance(value, str) and value.startswith(("=", "+", "-", "@", "\t", "\r")) else value
