"""The folder of an extraction under way: the shards of a track until it is stored."""

from __future__ import annotations

import fcntl
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from avbench.harness.errors import DataError
from avbench.harness.tracks import Track


@contextmanager
def working(home: Path, track: Track) -> Iterator[Path]:
    """The folder ``<home>/extraction/<dataset>/<name>``, held against a second extraction of the same track.

    The name must be one that the store accepts. Raises :class:`DataError` where another process holds it, or it
    cannot be written to.
    """
    folder = home / "extraction" / track.dataset / track.features
    try:
        folder.mkdir(parents=True, exist_ok=True)
        lock = (folder / "lock").open("w")
    except OSError as error:
        raise DataError(
            f"{folder}: cannot be written to ({error.strerror}); set AVBENCH_HOME to another disk"
        ) from None
    with lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise DataError(f"{track}: another process is extracting this track; wait until it has ended") from None
        yield folder


def removed(folder: Path) -> None:
    """Delete the shards. What cannot be deleted is left: the next extraction of the track takes its place."""
    shutil.rmtree(folder, ignore_errors=True)
