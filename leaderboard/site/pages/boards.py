"""One board per track and protocol, with its numbers as files and its intervals as a plot."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from avbench.harness.evaluation.protocol import PROTOCOLS
from avbench.leaderboard.claims import METRICS, Metric, papers, published_methods
from avbench.leaderboard.estimates import LEVEL
from avbench.leaderboard.frame import MARKS
from avbench.leaderboard.ladder import LADDER
from avbench.leaderboard.ranking import in_conflict
from avbench.leaderboard.recalls import FEWEST_SEEDS
from avbench.leaderboard.site import links
from avbench.leaderboard.site.board_plots import bar_plot, more_plots
from avbench.leaderboard.site.exports import board_files
from avbench.leaderboard.site.model import RankedBoard, Site
from avbench.leaderboard.site.page import File, Page
from avbench.leaderboard.statistics import TEST_IN_WORDS
from avbench.splits import DATASETS


def pages(site: Site) -> Iterator[Page | File]:
    for ranked in site.real:
        board = ranked.board
        table = table_context(ranked)
        yield from plot_files(table)
        yield from board_files(ranked)
        title = f"{board.track}, {board.protocol}"
        siblings = [b for b in site.real if b.board.track == board.track]
        context = {**table, "table": table, "siblings": siblings}
        yield Page(links.board(board), "board.html", title, context, about=_about(ranked))


def _about(ranked: RankedBoard) -> str:
    """The board in a sentence."""
    best, rows = ranked.leader, len(ranked.board.rows)
    lead = f"; the best re-run HM is {best.row.metrics['HM'].mean:.2f} by {best.row.label}" if best else ""
    marks = f" ({'; '.join(best.row.marks)})" if best and best.row.marks else ""
    place = f"{ranked.board.track} under {ranked.board.protocol}"
    return f"{place}: {rows} re-run and {len(ranked.board.claimed)} printed rows{lead}{marks}."


def plot_files(table: Mapping[str, Any]) -> Iterator[File]:
    """The plots of a board as files."""
    if table["plot"]:
        yield table["plot"]
    yield from (plot.file for plot in table["more_plots"])


def table_context(ranked: RankedBoard) -> dict[str, Any]:
    """What the templates of a board's table and plots need."""
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
        "more_plots": list(more_plots(ranked)),
        "compared": any(not in_conflict(row.row) for group in ranked.groups for row in group.rows),
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
        "capabilities": any(c.uses_unseen_names or c.inputs == "temporal" or c.generative for c in declared)
        or any(row.row.own_files or row.row.texts for row in rows),
    }
    metrics = tuple(metric for metric in METRICS if rows or any(metric in row.values for row in claimed))
    return metrics, frozenset(name for name, is_there in there.items() if is_there)
