"""``avbench leaderboard serve``: a built site on this machine only."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from avbench.harness.errors import UsageError
from avbench.leaderboard.site.files import read_manifest

HOST = "127.0.0.1"


class _Quiet(SimpleHTTPRequestHandler):
    def log_message(self, format: str, *args: object) -> None:
        """Requests of the reader's own browser are no news."""


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
