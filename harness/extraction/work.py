"""The folder of an extraction under way: the shards of a track until it is stored."""

from __future__ import annotations

import shutil
from pathlib import Path

from avbench.harness.tracks import Track


def work_folder(home: Path, track: Track) -> Path:
    """``<home>/extraction/<dataset>/<name>``. The name must be one that the store accepts."""
    return home / "extraction" / track.dataset / track.features


def removed(folder: Path) -> None:
    """Delete the shards. What cannot be deleted is left: the next extraction of the track takes its place."""
    shutil.rmtree(folder, ignore_errors=True)
