"""How to check what stands here, and how to add to it; where the project and its documentation are."""

from __future__ import annotations

from collections.abc import Iterator

from avbench.leaderboard.ladder import LADDER
from avbench.leaderboard.recalls import FEWEST_SEEDS
from avbench.leaderboard.site.page import Page


def pages(project: str | None) -> Iterator[Page]:
    """``project``: address of the project, if it is known."""
    yield Page(
        "submit.html",
        "submit.html",
        "Check and submit",
        {"project": project.rstrip("/") if project else None, "fewest_seeds": FEWEST_SEEDS, "ladder": LADDER},
        about="How to check a number of this board, and how to add a method to it, step by step.",
    )
