"""Reproduced tables as text and as JSON: each printed number with the re-run, the difference and its interval below."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from tabulate import tabulate

from avbench.harness.printable import printable
from avbench.leaderboard.claims import Anomaly, Metric
from avbench.leaderboard.frame import SIMULATED
from avbench.leaderboard.reproduction.conditions import Conditions
from avbench.leaderboard.reproduction.outcome import Cell, Reproduced, ReproducedTable
from avbench.leaderboard.statistics import Interval

LINES = ("printed", "re-run", "difference", "interval")
"""Of each row. The interval is that of the difference, at 95 %, over classes and seeds."""
NOTHING = "\N{EN DASH}"


class _Notes:
    """Numbered footnotes, each text once."""

    def __init__(self) -> None:
        self.texts: list[str] = []

    def refer(self, texts: Sequence[str]) -> str:
        """The references to some notes, such as `` [1] [3]``."""
        self.texts += [text for text in dict.fromkeys(texts) if text not in self.texts]
        return "".join(f" [{self.texts.index(text) + 1}]" for text in dict.fromkeys(texts))


def table_text(found: ReproducedTable, conditions: Conditions) -> str:
    """All columns side by side where the terminal is wide enough, else one block per data set below the other."""
    notes = _Notes()
    head = [f"{found.table.name}: {found.table.entry.title}", *conditions.in_words([row.trial for row in found.rows])]
    grid = _Grid(found, conditions, notes)
    columns = found.table.columns
    body = grid.text(columns)
    if max(map(len, body.splitlines())) > shutil.get_terminal_size((120, 24)).columns:
        body = "\n\n".join(grid.text([column]) for column in columns)
    within, tested = found.within
    foot = [f"[{at}] {printable(text, 500)}" for at, text in enumerate(notes.texts, start=1)]
    if tested and not conditions.simulated:
        foot.append(f"{within} of {tested} printed numbers lie in the interval of their re-run.")
    return "\n\n".join(filter(None, ("\n".join(head), body, "\n".join(foot))))


class _Grid:
    """The cells as text, by row, line and column; their notes are numbered as they are met."""

    def __init__(self, found: ReproducedTable, conditions: Conditions, notes: _Notes) -> None:
        self._found = found
        self._told = {SIMULATED} if conditions.simulated else set()
        self._rows: dict[tuple[str, str], Reproduced] = {}
        for row in found.rows:
            self._rows[row.claim.row, found.table.column(row.claim)] = row
        self._notes = {key: self._references(row, notes) for key, row in self._rows.items()}
        self._cells = {
            (*key, metric): [_number(cell.printed) + notes.refer([_fault(a) for a in cell.faults]), *_rerun(cell)]
            for key, row in self._rows.items()
            for metric, cell in row.cells.items()
        }

    def _references(self, row: Reproduced, notes: _Notes) -> str:
        return notes.refer([text for text in row.remarks if text not in self._told])

    def text(self, columns: Sequence[str]) -> str:
        metrics = self._found.table.metrics
        names = [f"{'' if at else column}\n{metric}" for column in columns for at, metric in enumerate(metrics)]
        heads = ["", "", *names]
        lines: list[list[str]] = []
        for row in self._found.table.rows:
            if not any((row, column) in self._rows for column in columns):
                continue
            lines += self._lines(row, columns, metrics)
        lines = [line for line in lines if any(line[2:])]  # without a re-run there are no differences
        align = ["left", "left", *(["right"] * (len(heads) - 2))]
        return tabulate(lines, headers=heads, tablefmt="simple", colalign=align, disable_numparse=True)

    def _lines(self, row: str, columns: Sequence[str], metrics: Sequence[Metric]) -> list[list[str]]:
        references = list(dict.fromkeys(self._notes.get((row, column), "") for column in columns))
        name = row + (references[0] if len(references) == 1 else "")
        found = []
        for at, what in enumerate(LINES):
            cells = [self._cells.get((row, column, metric), [""] * 4)[at] for column in columns for metric in metrics]
            if what == "re-run" and len(references) > 1:  # notes that hold on some data sets only
                cells = self._with_notes(row, cells, columns, len(metrics))
            found.append([name if at == 0 else "", what, *cells])
        return found

    def _with_notes(self, row: str, cells: Sequence[str], columns: Sequence[str], width: int) -> list[str]:
        return [
            cell + self._notes.get((row, columns[at // width]), "") if at % width == 0 else cell
            for at, cell in enumerate(cells)
        ]


def _rerun(cell: Cell) -> list[str]:
    if cell.mean is None or cell.difference is None:
        return [NOTHING, "", ""]
    i = cell.difference_interval
    return [_number(cell.mean), f"{cell.difference:+.2f}", f"{i.low:+.1f} to {i.high:+.1f}" if i else ""]


def _number(value: float) -> str:
    return f"{value:.2f}"


def _fault(anomaly: Anomaly) -> str:
    should = f"; should be {anomaly.should_be}" if anomaly.should_be else ""
    return f"known of the printed number ({anomaly.kind}): {anomaly.reason}{should}"


def table_json(found: ReproducedTable, conditions: Conditions) -> dict[str, Any]:
    """Everything in numbers: accuracies in percent, differences in points. On simulated features nothing is counted as
    within the interval or not."""
    within, tested = (None, None) if conditions.simulated else found.within
    return {
        "paper": found.table.paper,
        "table": found.table.entry.table,
        "title": found.table.entry.title,
        **asdict(conditions),
        "within_interval": within,
        "with_interval": tested,
        "rows": [_row_json(row) for row in found.rows],
    }


def _row_json(row: Reproduced) -> dict[str, Any]:
    prospect = row.trial.prospect
    return {
        "row": row.claim.row,
        "printed_on": str(row.claim.track),
        "run_on": prospect.track and str(prospect.track),
        "method": prospect.recipe and prospect.recipe.method,
        "variant": prospect.recipe and prospect.recipe.variant,
        "state": prospect.state,
        "remarks": list(row.remarks),
        "runs": [record.identity for record in row.finished],
        "lacking": row.lacking,
        "share_of_steps": row.trial.share,
        "cells": [_cell_json(cell) for cell in row.cells.values()],
    }


def _cell_json(cell: Cell) -> dict[str, Any]:
    return {
        "metric": cell.metric,
        "printed": cell.printed,
        "faults": [_fault(anomaly) for anomaly in cell.faults],
        "mean": cell.mean,
        "interval": _ends(cell.interval),
        "difference": cell.difference,
        "difference_interval": _ends(cell.difference_interval),
    }


def _ends(interval: Interval | None) -> list[float] | None:
    return [interval.low, interval.high] if interval else None
