"""A page that a package adds to the leaderboard site."""

from __future__ import annotations

import re
from dataclasses import dataclass

SLUG = re.compile(r"[a-z0-9]+(-[a-z0-9]+)*")


@dataclass(frozen=True)
class SitePage:
    """Stands at ``more/<slug>.html``, within the frame of the site, and is linked from the front page.

    ``body`` is HTML and is inserted as it is: escape what comes from records. The site's content-security policy
    holds: no script, no style of its own, nothing from outside. Raises ValueError for a slug that is no plain name.
    """

    slug: str
    title: str
    body: str

    def __post_init__(self) -> None:
        if not SLUG.fullmatch(self.slug):
            raise ValueError(f"site page {self.slug!r}: a slug is lower-case letters and digits with single hyphens")
