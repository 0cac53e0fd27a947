"""A page per track that compares any two of its rows.

The page holds the first two rows, so it is whole without scripts, with the differences of all pairs of the best rows.
Others are chosen by ``compare.js``, which loads the numbers of a row from a file of its own: a script, because pages
that are opened from the disk may load nothing else. Tests of pairs are made here, at the build, with the statistics of
the boards; a file has those against the rows after its own, so each pair stands once.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import combinations, groupby

from avbench.leaderboard.claims import PRINTED
from avbench.leaderboard.estimates import LEVEL
from avbench.leaderboard.frame import MARKS
from avbench.leaderboard.recalls import FEWEST_SEEDS
from avbench.leaderboard.site import links
from avbench.leaderboard.site.comparisons import Comparable, comparables
from avbench.leaderboard.site.model import RankedBoard, Site
from avbench.leaderboard.site.page import File, Page
from avbench.leaderboard.site.scripted import call

BEST = 5
"""Rows of a board of which all pairs are tabled without scripts."""


def pages(site: Site) -> Iterator[Page | File]:
    shown = []
    for root, boards in groupby(_by_track(site), key=lambda b: links.compare_root(b.board)):
        together = list(boards)
        groups = comparables(site, together)
        if not groups:
            continue
        shown.append((together[0].board, sum(len(group.candidates) for group in groups)))
        for group in groups:
            yield File(f"{root}/{group.key}.js", call("classes", group.key, [group.seen, group.unseen]))
            for place in range(len(group.candidates)):
                data = group.row_data(place)
                yield File(f"{root}/{data['key']}.js", call("row", data["key"], data))
        yield _page(together[0], groups, root)
    yield Page("compare.html", "compare_index.html", "Compare rows", {"tracks": shown, "links": links})


def _by_track(site: Site) -> list[RankedBoard]:
    order: dict[str, int] = {}
    for board in site.boards:
        order.setdefault(links.compare_root(board.board), len(order))
    return sorted(site.boards, key=lambda board: order[links.compare_root(board.board)])


def _page(first: RankedBoard, groups: Sequence[Comparable], root: str) -> Page:
    board = first.board
    return Page(
        links.compare(board),
        "compare.html",
        f"Compare rows on {board.track}",
        {
            "board": board,
            "groups": groups,
            "shown": groups[0] if len(groups[0].candidates) > 1 else None,
            "best": [(group, list(_best_pairs(group))) for group in groups],
            "folder": root.rpartition("/")[2],
            "links": links,
            "marks": MARKS,
            "printed": PRINTED,
            "level": LEVEL,
            "fewest_seeds": FEWEST_SEEDS,
        },
    )


def _best_pairs(group: Comparable) -> Iterator[tuple[int, int]]:
    """Places of all pairs of the best rows of each protocol."""
    by_board = groupby(enumerate(group.candidates), key=lambda item: id(item[1].board))
    for _, members in by_board:
        yield from combinations([place for place, _ in members][:BEST], 2)
