"""Badges for a README: the best HM of a board, and rows that were repeated."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from avbench.leaderboard.ladder import REQUIRED
from avbench.leaderboard.ranking import RankedRow
from avbench.leaderboard.site import links
from avbench.leaderboard.site.files import base_of
from avbench.leaderboard.site.model import RankedBoard, Site
from avbench.leaderboard.site.page import File, Page
from avbench.leaderboard.site.plots.badge import badge

LONGEST = 24
"""Characters of a method on a badge."""


@dataclass(frozen=True)
class Badge:
    """A badge as a file, and the page that it should link to."""

    file: File
    words: str
    href: str


def pages(site: Site, url: str | None) -> Iterator[Page | File]:
    """``url``: where the site will be published, for the text to copy."""
    made = [*(_best(board, board.leader) for board in site.real if board.leader), *_repeated(site)]
    for one in made:
        yield one.file
    yield Page("badges.html", "badges.html", "Badges", {"badges": made, "base": base_of(url)})


def _best(ranked: RankedBoard, leader: RankedRow) -> Badge:
    board, row = ranked.board, leader.row
    place = f"{board.track} {board.protocol}"
    label = row.label if len(row.label) <= LONGEST else row.method_key
    value = f"{row.metrics['HM'].mean:.1f} {label}{' *' if row.marks else ''}"
    marks = f" ({'; '.join(row.marks)})" if row.marks else ""
    words = f"Best HM on {place}: {value}{marks}"
    content = badge(f"HM {place}", value, words, proven=not row.marks)
    return Badge(File(f"badges/{links.board_stem(board)}.svg", content), words, links.board(board))


def _repeated(site: Site) -> Iterator[Badge]:
    for ranked in site.real:
        board = ranked.board
        for row in (r.row for group in ranked.groups for r in group.rows):
            if row.rung and row.rung.status in REQUIRED["reproduced"]:
                words = f"{row.label} on {board.track}, {board.protocol}: {row.rung}"
                content = badge("avbench", row.rung.status, words, proven=row.rung.status in REQUIRED["blind"])
                href = f"{links.board(board)}#{links.row_anchor(row)}"
                yield Badge(File(f"badges/rows/{links.row_key(row)}.svg", content), words, href)
