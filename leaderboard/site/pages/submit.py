"""How to check what stands here, and how to add to it; where the project and its documentation are."""

from __future__ import annotations

from collections.abc import Iterator

from avbench.leaderboard.ladder import LADDER
from avbench.leaderboard.site.page import Page


def pages(project: str | None) -> Iterator[Page]:
    """``project``: address of the project, if it is known."""
    context = {"project": project.rstrip("/") if project else None, "ladder": LADDER}
    yield Page("submit.html", "submit.html", "Check and submit", context)
