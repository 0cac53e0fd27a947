"""``avbench leaderboard serve``: a built site on this machine only."""

from __future__ import annotations

import io
from collections.abc import Callable
from functools import partial
from http import HTTPStatus
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import BinaryIO

from avbench.harness.errors import UsageError
from avbench.leaderboard.site.files import read_manifest

HOST = "127.0.0.1"
NAMES = (HOST, "localhost")
"""Hosts that are answered for: a page elsewhere whose name was made to point here learns nothing."""


class _Quiet(SimpleHTTPRequestHandler):
    def log_message(self, format: str, *args: object) -> None:
        """Requests of the reader's own browser are no news."""

    def send_head(self) -> io.BytesIO | BinaryIO | None:
        """Refuse another host than this machine."""
        port = self.connection.getsockname()[1]
        if self.headers.get("Host", "").lower() not in {f"{name}{end}" for name in NAMES for end in ("", f":{port}")}:
            self.send_error(HTTPStatus.MISDIRECTED_REQUEST, "this is not the host")
            return None
        return super().send_head()

    def list_directory(self, path: object) -> None:
        """No list of a folder's files: the site has none."""
        self.send_error(HTTPStatus.NOT_FOUND, "File not found")


def serve_site(folder: Path, port: int, ready: Callable[[str], None] = lambda _url: None) -> None:
    """Serve a built site until interrupted; ``ready`` gets its address. Port 0 takes a free one.

    Raises :class:`UsageError` for a folder without a site, or a port that is taken.
    """
    read_manifest(folder)
    try:
        server = ThreadingHTTPServer((HOST, port), partial(_Quiet, directory=str(folder)))
    except OSError as error:
        raise UsageError(f"cannot listen on {HOST}:{port} ({error.strerror}); choose another with --port") from None
    with server:
        ready(f"http://{HOST}:{server.server_port}/")
        server.serve_forever()
