"""The feed of changes: one Atom entry per re-run row, dated by its latest run or repetition."""

from __future__ import annotations

from collections.abc import Iterator
from xml.etree.ElementTree import Element, SubElement, indent, tostring

from avbench.leaderboard.ranking import RankedRow
from avbench.leaderboard.site import links
from avbench.leaderboard.site.files import base_of
from avbench.leaderboard.site.model import NEVER, RankedBoard, Site, date_of, started
from avbench.leaderboard.site.page import File

ATOM = "http://www.w3.org/2005/Atom"
MAX_ENTRIES = 100
TITLE = "avbench leaderboard"


def files(site: Site, url: str | None) -> Iterator[File]:
    """``feed.xml``. ``url``: where the site will be published; links are relative without it."""
    base = base_of(url)
    rows = [(_updated(row, site), board, row) for board in site.real for group in board.groups for row in group.rows]
    rows.sort(key=lambda item: (item[0], item[2].row.group), reverse=True)
    feed = Element("feed", xmlns=ATOM)
    _add(feed, "id", base or "urn:avbench:leaderboard")
    _add(feed, "title", TITLE)
    _add(feed, "updated", rows[0][0] if rows else NEVER)
    SubElement(feed, "link", href=f"{base}index.html")
    SubElement(feed, "link", href=f"{base}feed.xml", rel="self")
    SubElement(SubElement(feed, "author"), "name").text = "avbench"
    for updated, board, row in rows[:MAX_ENTRIES]:
        _entry(feed, base, updated, board, row)
    indent(feed, " ")
    yield File("feed.xml", '<?xml version="1.0" encoding="utf-8"?>\n' + tostring(feed, "unicode") + "\n")


def _entry(feed: Element, base: str, updated: str, board: RankedBoard, ranked: RankedRow) -> None:
    row, hm = ranked.row, ranked.row.metrics["HM"]
    entry = SubElement(feed, "entry")
    _add(entry, "id", f"urn:avbench:row:{row.group}")
    _add(entry, "title", f"{row.label} on {board.board.track} ({board.board.protocol})")
    _add(entry, "updated", updated)
    SubElement(entry, "link", href=f"{base}{links.board(board.board)}#{links.row_anchor(row)}")
    spread = f" \N{PLUS-MINUS SIGN} {hm.deviation:.2f}" if hm.deviation is not None else ""
    marks = f" ({'; '.join(row.marks)})" if row.marks else ""
    told = f", {row.rung}" if row.rung else ""
    _add(entry, "summary", f"HM {hm.mean:.2f}{spread} over {hm.n} seeds, rank {ranked.standing}{told}{marks}")


def _updated(ranked: RankedRow, site: Site) -> str:
    repeated = (site.gate.reproductions.get(record.identity) for record in ranked.row.records)
    return max([*map(started, ranked.row.records), *(date_of(found.when) for found in repeated if found)])


def _add(parent: Element, tag: str, text: str) -> None:
    SubElement(parent, tag).text = text
