"""A folder takes the place of another in one step.

Linux exchanges two names at once. Elsewhere, and on file systems that cannot, two renames follow each other, and
:func:`recover` undoes the first where a process was killed between them.
"""

from __future__ import annotations

import ctypes
import os
import sys
from contextlib import suppress
from pathlib import Path

from avbench.harness.atomic import abandoned, sweep, target_of, unfinished

BEFORE = "before"
"""Name of the old folder inside the one that its successor was made in."""

_HERE = -100
"""``AT_FDCWD``: paths are relative to the working directory."""
_EXCHANGE = 2
"""``RENAME_EXCHANGE``."""


def take_place(new: Path, place: Path) -> None:
    """Put the folder ``new`` at ``place``. What was there lies where ``new`` was, or beside it.

    ``new`` lies in a folder that :func:`avbench.harness.atomic.begun_folder` made for ``place`` and deletes afterwards.
    """
    if not place.exists():
        new.rename(place)
    elif not _exchanged(new, place):
        place.rename(new.with_name(BEFORE))
        new.rename(place)


def recover(place: Path) -> None:
    """Put back what a killed process had moved away from ``place``, and delete what it left. Never fails."""
    for path in unfinished(place.parent):
        if target_of(path) == place and abandoned(path) and (path / BEFORE).is_dir() and not place.exists():
            with suppress(OSError):
                (path / BEFORE).rename(place)
    sweep(place.parent)


def _exchanged(one: Path, other: Path) -> bool:
    """Exchange two names; False where the system or the file system does not know how."""
    if sys.platform != "linux":
        return False
    try:
        rename = ctypes.CDLL(None).renameat2
    except AttributeError:
        return False
    return bool(rename(_HERE, os.fsencode(one), _HERE, os.fsencode(other), _EXCHANGE) == 0)
