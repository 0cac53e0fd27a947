"""Where the genuine archive of class lists, video lists and label vectors lies; it is no part of this repository."""

from __future__ import annotations

import csv
import os
from pathlib import Path

import pytest

ROOT = Path(os.environ.get("AVBENCH_ARCHIVE") or Path(__file__).parents[2] / "shared" / "archive")
FOLDERS = {"ucf": "UCF", "activitynet": "ActivityNet", "vggsound": "VGGSound"}

needs_archive = pytest.mark.skipif(
    not ROOT.is_dir(), reason="no genuine archive at ../shared/archive or $AVBENCH_ARCHIVE"
)


def class_list(dataset: str, partition: str, archive_part: str) -> list[str]:
    """Class names of a part, as the archive spells them."""
    path = ROOT / FOLDERS[dataset] / "class-split" / f"{partition}_split" / f"{archive_part}.txt"
    return path.read_text(encoding="utf-8").splitlines()


def video_list(dataset: str, partition: str, archive_part: str) -> list[dict[str, str]]:
    """Rows of a part's video list (filename, label, label_code, ...). Skips the test where the list is not public."""
    path = ROOT / FOLDERS[dataset] / "class-split" / f"{partition}_split" / f"{archive_part}.csv"
    if not path.exists():
        pytest.skip(f"the video list {dataset}/{partition}/{archive_part} is not public")
    with path.open(encoding="utf-8", newline="") as stream:
        return list(csv.DictReader(stream))
