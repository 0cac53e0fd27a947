"""The door that all plugins come through: which packages may enter, and those that failed. Imports next to nothing."""

from __future__ import annotations

import logging
import os
import re
import traceback
from collections.abc import Iterable
from dataclasses import dataclass, field

ONLY = "AVBENCH_LOAD_PLUGINS"
"""Environment variable: names of the distributions to load beside avbench itself, with commas between; empty, none."""

logger = logging.getLogger("avbench.plugins")
_kept_out: set[str] = set()


@dataclass(frozen=True)
class Broken:
    """A plugin that failed: which distribution, which entry point, and why."""

    distribution: str
    entry_point: str
    reason: str
    traceback: str = field(repr=False, default="")

    def __str__(self) -> str:
        return f"plugin {self.entry_point!r} of {self.distribution} is left out: {self.reason}"


def left_out(distribution: str, entry_point: str, error: BaseException) -> Broken:
    """Name a plugin that failed, in a warning."""
    broken = Broken(distribution, entry_point, f"{type(error).__name__}: {error}", traceback.format_exc())
    logger.warning("warning: %s", broken)
    return broken


def canonical(name: str) -> str:
    """A distribution's name as package indexes compare it: ``Avbench_Mine`` and ``avbench-mine`` are one."""
    return re.sub(r"[-_.]+", "-", name.strip()).lower()


def wanted() -> set[str]:
    """The names in :data:`ONLY`."""
    return {canonical(name) for name in os.environ.get(ONLY, "").split(",") if name.strip()}


def keep_out(distributions: Iterable[str]) -> None:
    """Load nothing of these from now on: other processes do."""
    _kept_out.update(map(canonical, distributions))


def may_enter(distribution: str) -> bool:
    """Whether :data:`ONLY` lets a distribution in, and nothing keeps it out."""
    if canonical(distribution) in _kept_out:
        return False
    return ONLY not in os.environ or canonical(distribution) in {"avbench", *wanted()}
