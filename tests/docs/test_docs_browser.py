"""The guide in real Chromium: its search finds, and it asks nothing of other places."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from chromium import chromium, needs_chromium

pytestmark = needs_chromium


class Quiet(SimpleHTTPRequestHandler):
    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def address(site: Path) -> Iterator[str]:
    """Where the guide is served, on this machine only."""
    with ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=str(site))) as server:
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


def test_a_reader_finds_and_nothing_is_fetched_from_elsewhere(address: str) -> None:
    with chromium() as browser:
        context = browser.new_context()
        asked: list[str] = []
        context.on("request", lambda request: asked.append(request.url))
        page = context.new_page()
        trouble: list[str] = []
        page.on("pageerror", lambda error: trouble.append(str(error)))
        for name in ("reference/methods.html", "cli.html", "index.html"):
            page.goto(f"{address}/{name}")
            page.wait_for_load_state("networkidle")
        hit = page.get_by_text("Two protocols")  # a heading of another page
        assert not hit.count()
        page.keyboard.press("Control+k")
        page.keyboard.type("permuted")
        hit.wait_for()
        assert not trouble
        assert [url for url in asked if url.startswith(address)]
        assert not [url for url in asked if not url.startswith((address, "data:", "blob:"))]
