"""One board per track and protocol, with its numbers as files and its intervals as a plot."""

from __future__ import annotations

from collections.abc import Iterator

from avbench.harness.evaluation.protocol import PROTOCOLS
from avbench.leaderboard.claims import METRICS, Metric, papers, published_methods
from avbench.leaderboard.frame import MARKS
from avbench.leaderboard.ladder import LADDER
from avbench.leaderboard.ranking import RankedRow
from avbench.leaderboard.site import links, plots
from avbench.leaderboard.site.exports import board_files
from avbench.leaderboard.site.model import RankedBoard, Site
from avbench.leaderboard.site.page import File, Page
from avbench.leaderboard.statistics import FEWEST_SEEDS, LEVEL, TEST_IN_WORDS
from avbench.splits import DATASETS

MAX_BARS = 30
"""Rows of a plot."""


def pages(site: Site) -> Iterator[Page | File]:
    for ranked in site.real:
        plot = bar_plot(ranked)
        if plot:
            yield plot
        yield from board_files(ranked)
        board = ranked.board
        title = f"{board.track}, {board.protocol}"
        siblings = [b for b in site.real if b.board.track == board.track]
        table = table_context(ranked)
        yield Page(links.board(board), "board.html", title, {**table, "table": table, "siblings": siblings})


def table_context(ranked: RankedBoard) -> dict[str, object]:
    """What the template of a board's table needs."""
    board = ranked.board
    metrics, columns = _columns(ranked)
    return {
        "ranked": ranked,
        "board": board,
        "links": links,
        "metrics": metrics,
        "columns": columns,
        "width": 2 + len(metrics) + len(columns) + 4 * ("rank" in columns),  # seeds, repeated, time, parameters
        "marks": MARKS,
        "ladder": LADDER,
        "published": published_methods(),
        "papers": papers(),
        "level": LEVEL,
        "fewest_seeds": FEWEST_SEEDS,
        "test_in_words": TEST_IN_WORDS,
        "protocol": PROTOCOLS.get(board.protocol),
        "plot": bar_plot(ranked),
        "known_dataset": board.track.dataset in DATASETS,
    }


def _columns(ranked: RankedBoard) -> tuple[tuple[Metric, ...], frozenset[str]]:
    """The metrics that a row has, and the other columns in which any row says something: none has dashes alone."""
    rows = [row for group in ranked.groups for row in group.rows]
    claimed = ranked.board.claimed
    declared = [row.row.capabilities for row in rows] + [published_methods()[row.method] for row in claimed]
    there = {
        "rank": bool(rows),
        "interval": any(row.intervals.get("HM") for row in rows),
        "delta": any("HM" in row.row.deviations for row in rows),
        "capabilities": any(c.uses_unseen_names or c.inputs == "temporal" or c.generative for c in declared),
    }
    metrics = tuple(metric for metric in METRICS if rows or any(metric in row.values for row in claimed))
    return metrics, frozenset(name for name, is_there in there.items() if is_there)


def bar_plot(ranked: RankedBoard) -> File | None:
    """HM of the best rows with intervals, and of printed rows; None where there is no row.

    On a board with printed rows, those on features that are not verified stand below all others.
    """
    shown = [_bar(row) for group in ranked.above[:1] for row in group.rows]
    for claimed in ranked.board.claimed:
        if "HM" in claimed.values:
            marks = ", ".join(dict.fromkeys(a.id for a in claimed.anomalies.get("HM", ())))
            label = f"{claimed.title}, claimed{f' [{marks}]' if marks else ''}"
            shown.append(plots.Bar(label, claimed.values["HM"], claimed=True))
    shown = sorted(shown, key=lambda bar: -bar.value)[:MAX_BARS]
    if not ranked.above:
        shown += [_bar(row) for group in ranked.below[:1] for row in group.rows][:MAX_BARS]
    if not shown:
        return None
    board = ranked.board
    place = f"HM on {board.track} under {board.protocol}"
    label = f"{place}: dots with intervals were re-run, diamonds are printed numbers, * bears marks"
    return File(f"{links.board_stem(board)}-hm.svg", plots.bars(shown, "HM (%)", label))


def _bar(ranked: RankedRow) -> plots.Bar:
    label = f"{ranked.row.label} *" if ranked.row.marks else ranked.row.label
    return plots.Bar(label, ranked.row.metrics["HM"].mean, ranked.intervals.get("HM"))
