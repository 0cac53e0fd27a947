"""What a site is made of: pages from templates, and files as they are."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class Page:
    """One HTML page. ``path`` is relative to the site, with forward slashes."""

    path: str
    template: str
    title: str
    context: Mapping[str, Any] = field(default_factory=dict)
    about: str = "The leaderboard of audio-visual generalised zero-shot learning: what is claimed, what was re-run."
    """One sentence, for search engines and for previews of links to the page."""


@dataclass(frozen=True)
class File:
    """One file of other kinds."""

    path: str
    content: str | bytes
