"""The links of a built guide. The generator checks those written in Markdown; this checks what a reader is given."""

from __future__ import annotations

from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

LOADING = {"src", "srcset", "poster", "data"}
"""Attributes whose address is fetched when a page is opened; so are those of <link>."""


class Links(HTMLParser):
    """Anchors, links and fetched addresses of a page."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.anchors: set[str] = set()
        self.links: list[str] = []
        self.fetched: list[str] = []
        self.feed(path.read_text("utf-8"))

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        for key, value in attrs:
            if key in ("id", "name") and value:
                self.anchors.add(value)
            elif key == "href" and value and tag != "link":
                self.links.append(value)
            elif value and (key in LOADING or (key == "href" and tag == "link")):
                self.fetched.append(value)


def broken_links(site: Path) -> Iterator[str]:
    """Each link of a page of ``site`` that leads nowhere inside it, and each file fetched from elsewhere."""
    pages = {path: Links(path) for path in sorted(site.rglob("*.html"))}
    for path, page in pages.items():
        name = path.relative_to(site).as_posix()
        yield from (f"{name} fetches {address} from elsewhere" for address in page.fetched if urlsplit(address).netloc)
        for link in [*page.links, *page.fetched]:
            address = urlsplit(link)
            if address.scheme or address.netloc:
                continue
            place = unquote(address.path)
            # the page for unknown addresses names places from the top
            target = site / place.lstrip("/") if place.startswith("/") else (path.parent / place).resolve()
            target = path if not place else target / "index.html" if target.is_dir() else target
            if not target.exists():
                yield f"{name} links to {link}, which is not there"
            elif address.fragment and target in pages and unquote(address.fragment) not in pages[target].anchors:
                yield f"{name} links to {link}: no such place on that page"
