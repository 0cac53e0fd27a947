"""The numbers of the site as CSV, JSON, LaTeX and BibTeX."""

from __future__ import annotations

import json
from collections.abc import Iterator
from importlib import resources

from avbench.leaderboard.boards import Board
from avbench.leaderboard.claims import PRINTED, papers
from avbench.leaderboard.site import links
from avbench.leaderboard.site.model import RankedBoard, Site
from avbench.leaderboard.site.page import File
from avbench.leaderboard.tables import Format, csv_text, render

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
    "data/results.csv": "every re-run row, and the printed row it is compared with; percent",
    "data/results.json": "the same as JSON",
    "data/results.tex": "the same as LaTeX tables for the booktabs package",
    "data/standings.csv": "rank intervals, corrected p-values and intervals of every re-run row",
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


def files(site: Site) -> Iterator[File]:
    """Everything that does not belong to one board."""
    real = [b.board for b in site.real]
    for suffix, kind in SUFFIXES.items():
        yield File(f"data/results{suffix}", _text(real, kind))
    yield File("data/demo.csv", _text([b.board for b in site.simulated], "csv"))
    yield File("data/standings.csv", csv_text(list(_standings(site.real))))
    for path, name in TABLES.items():
        yield File(path, (resources.files("avbench.leaderboard") / "data" / name).read_text("utf-8"))
    entries = [paper.bibtex for paper in papers().values()]
    entries += [entry.info.bibtex.strip() for entry in site.methods.values() if entry.info and entry.info.bibtex]
    yield File("data/papers.bib", "\n\n".join(dict.fromkeys(entries)) + "\n")


def board_files(board: Board) -> Iterator[File]:
    """The rows of one board that were run; printed ones that they compare with included."""
    if board.groups:
        for suffix, kind in SUFFIXES.items():
            yield File(f"{links.board_stem(board)}{suffix}", _text([board], kind))


def _text(boards: list[Board], kind: Format) -> str:
    return render(boards, kind).rstrip("\n") + "\n"


def _standings(boards: tuple[RankedBoard, ...]) -> Iterator[dict[str, object]]:
    for ranked in boards:
        for group in ranked.groups:
            for row in group.rows:
                yield {
                    "dataset": ranked.board.track.dataset,
                    "features": ranked.board.track.features,
                    "protocol": ranked.board.protocol,
                    "protocol_version": ranked.board.protocol_version,
                    "feature_hash": group.features.feature_hash,
                    "method": row.row.method,
                    "group": row.row.group,
                    "seeds": len(row.row.records),
                    "best_rank": row.standing.best,
                    "worst_rank": row.standing.worst,
                    "largest_p": row.standing.p,
                    **{
                        f"{metric}_{end}": getattr(row.intervals.get(metric), end, None)
                        for metric in PRINTED
                        for end in ("low", "high")
                    },
                    "runs": json.dumps([record.identity for record in row.row.records]),
                }
