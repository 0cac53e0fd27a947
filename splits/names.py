"""Names of the data sets, class partitions and parts, and the error for anything else."""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from typing import Literal

Role = Literal["train", "val_unseen", "test_unseen", "unused"]
"""What a class is for in one partition: its clips are split over train, val_seen and test_seen; over val_unseen and
test_seen; all in test_unseen; or it is not used."""

DATASETS = ("ucf", "activitynet", "vggsound")
PARTITIONS = ("main", "cls")
PARTS = ("train", "val_seen", "val_unseen", "test_seen", "test_unseen")
STAGE_2_TRAIN = "stage_2_train"
"""The training data of stage 2: the union of train, val_seen and val_unseen."""

ARCHIVE_NAMES = {
    "train": "stage_1_train",
    "val_seen": "stage_1_val_seen",
    "val_unseen": "stage_1_val_unseen",
    "test_seen": "stage_2_test_seen",
    "test_unseen": "stage_2_test_unseen",
    STAGE_2_TRAIN: "stage_2_train",
}
"""Part -> its name in the public feature archive."""

PART_ROLES: dict[str, tuple[Role, ...]] = {
    "train": ("train",),
    "val_seen": ("train",),
    "val_unseen": ("val_unseen",),
    "test_seen": ("train", "val_unseen"),
    "test_unseen": ("test_unseen",),
    STAGE_2_TRAIN: ("train", "val_unseen"),
}
"""Part -> the roles of the classes whose clips it holds."""


class SplitError(ValueError):
    """A name that no split definition has, or shipped split data that contradict themselves."""


def unknown(kind: str, name: str, known: Iterable[str], *, show_all: bool = True) -> SplitError:
    """The error for a misspelt name, with the nearest known one."""
    names = list(known)
    folded = {known_name.lower(): known_name for known_name in names}
    close = difflib.get_close_matches(name.lower(), folded, n=1, cutoff=0.5)
    hint = f" Did you mean {folded[close[0]]!r}?" if close else ""
    listing = f" Known: {', '.join(names)}." if show_all else ""
    return SplitError(f"unknown {kind} {name!r}.{hint}{listing}")
