"""The static site: build it from a results folder, serve it, publish it. Knows no torch."""

from __future__ import annotations

__all__ = ["build_site", "publish_site", "serve_site"]

from avbench.leaderboard.site.build import build_site
from avbench.leaderboard.site.publish import publish_site
from avbench.leaderboard.site.serve import serve_site
