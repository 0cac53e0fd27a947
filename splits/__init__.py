"""Split definitions of the three data sets, as data: classes, roles, prompts, counts and digests. No torch."""

from __future__ import annotations

from avbench.splits.definition import PartFacts, Split, SplitClass
from avbench.splits.load import load_split
from avbench.splits.names import ARCHIVE_NAMES, DATASETS, PARTITIONS, PARTS, STAGE_2_TRAIN, Role, SplitError

__all__ = [
    "ARCHIVE_NAMES",
    "DATASETS",
    "PARTITIONS",
    "PARTS",
    "STAGE_2_TRAIN",
    "PartFacts",
    "Role",
    "Split",
    "SplitClass",
    "SplitError",
    "load_split",
]
