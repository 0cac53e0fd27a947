"""The numbers of the site as CSV, JSON, LaTeX and BibTeX."""

from __future__ import annotations

import csv
from collections.abc import Iterable, Iterator
from dataclasses import asdict
from importlib import resources
from typing import Any

import pandas as pd

from avbench.leaderboard.boards import Board, ClaimedRow
from avbench.leaderboard.claims import METRICS, PRINTED, papers, published_methods
from avbench.leaderboard.frame import BOARD, csv_text
from avbench.leaderboard.ranking import RankedRow
from avbench.leaderboard.site import links
from avbench.leaderboard.site.model import RankedBoard, Site
from avbench.leaderboard.site.page import File
from avbench.leaderboard.tables import Format, frame_of, place_of, render, run_line

SUFFIXES: dict[str, Format] = {".csv": "csv", ".json": "json", ".tex": "latex"}
TABLES = {
    "data/claims.csv": "claims.csv",
    "data/anomalies.csv": "anomalies.csv",
    "data/remarks.csv": "remarks.csv",
    "data/nearest-classes.csv": "nearest_classes.csv",
    "data/source-overlap.csv": "source_overlap.csv",
}
"""File of the site -> our own data."""
FILES = {
    "data/results.csv": "every row of every board, re-run with rank, intervals and cost, or printed; percent",
    "data/results.json": "the same as JSON",
    "data/results.tex": "the numbers as LaTeX tables for the booktabs package",
    "data/demo.csv": "results on simulated features, which say nothing about real data",
    "data/claims.csv": "every printed row that we know, as printed, with its source",
    "data/anomalies.csv": "known faults of printed cells",
    "data/remarks.csv": "faults that concern no single cell",
    "data/nearest-classes.csv": "nearest classes under both pairings of classes and label vectors",
    "data/source-overlap.csv": "test clips that share their source video with a training clip",
    "data/papers.bib": "BibTeX of all papers and installed methods",
    "feed.xml": "Atom feed of new rows",
}
"""File of the site -> what it holds."""
COLUMNS = [
    *BOARD, "best_rank", "worst_rank", "largest_p", "method", "label", "changes", "source", "marks",
    "reproduction", "reproduced_seeds", "reproduction_difference",
    *(f"{metric}{what}" for metric in METRICS for what in ("", "_deviation")), "HM_minus_claim",
    *(f"{metric}_{end}" for metric in PRINTED for end in ("low", "high")), "val_HM", "val_HM_deviation", "seeds",
    "seconds", "device", "parameters", "uses_unseen_names", "inputs", "generative", "distribution", "version",
    "feature_hash", "features_verified", "features_source", "group", "runs",
]  # fmt: skip
"""Of :func:`as_shown`."""


def files(site: Site) -> Iterator[File]:
    """Everything that does not belong to one board."""
    real = as_shown(site.real)
    for suffix, kind in SUFFIXES.items():
        yield File(f"data/results{suffix}", _text(real, kind))
    yield File("data/demo.csv", _text(as_shown(site.simulated), "csv"))
    for path, name in TABLES.items():
        text = (resources.files("avbench.leaderboard") / "data" / name).read_text("utf-8")
        yield File(path, csv_text(pd.DataFrame(csv.DictReader(text.splitlines()))))
    entries = [paper.bibtex for paper in papers().values()]
    entries += [entry.info.bibtex.strip() for entry in site.methods.values() if entry.info and entry.info.bibtex]
    yield File("data/papers.bib", "\n\n".join(dict.fromkeys(entries)) + "\n")


def board_files(ranked: RankedBoard) -> Iterator[File]:
    """One board as it is shown."""
    lines = as_shown([ranked])
    for suffix, kind in SUFFIXES.items():
        yield File(f"{links.board_stem(ranked.board)}{suffix}", _text(lines, kind))


def as_shown(boards: Iterable[RankedBoard]) -> pd.DataFrame:
    """The rows of boards as they are shown: re-run ones with rank, intervals and cost, and printed ones.

    ``HM_minus_claim``: points from the printed to the obtained HM. ``runs``: identities. The marks of a printed row
    name the known faults of its cells.
    """
    lines = []
    for ranked in boards:
        lines += [_run_line(row, True) for group in ranked.above for row in group.rows]
        lines += [_claimed_line(row, ranked.board) for row in ranked.board.claimed]
        lines += [_run_line(row, group.features.verified) for group in ranked.below for row in group.rows]
    return frame_of(lines, COLUMNS)


def _run_line(ranked: RankedRow, verified: bool) -> dict[str, Any]:
    row = ranked.row
    ends = {f"{m}_{end}": value for m, interval in ranked.intervals.items() for end, value in asdict(interval).items()}
    return {
        **run_line(row, verified),
        "best_rank": ranked.standing.best,
        "worst_rank": ranked.standing.worst,
        "largest_p": ranked.standing.p,
        **ends,
        "HM_minus_claim": row.deviations["HM"][0] if "HM" in row.deviations else None,
        "runs": " ".join(record.identity for record in row.records),
    }


def _claimed_line(row: ClaimedRow, board: Board) -> dict[str, Any]:
    method = published_methods()[row.method]
    faults = [f"{metric}: {', '.join(dict.fromkeys(a.id for a in found))}" for metric, found in row.anomalies.items()]
    return {
        **place_of(board),
        "method": row.method,
        "label": row.title,
        "source": f"claimed, {', '.join(row.papers)}" + (f" ({row.origin})" if row.origin != "paper" else ""),
        "marks": "; ".join(faults),
        **{str(metric): value for metric, value in row.values.items()},
        **method.model_dump(include={"uses_unseen_names", "inputs", "generative"}),
    }


def _text(lines: pd.DataFrame, kind: Format) -> str:
    return render(lines, kind).rstrip("\n") + "\n"
