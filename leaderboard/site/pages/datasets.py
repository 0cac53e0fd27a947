"""A page per data set: splits, counts, label vectors as published, clips that share their source video."""

from __future__ import annotations

from collections.abc import Iterator

from avbench.leaderboard.field import source_overlaps
from avbench.leaderboard.site import links
from avbench.leaderboard.site.model import Site
from avbench.leaderboard.site.page import Page
from avbench.splits import DATASETS, PARTITIONS, PARTS, load_split

TITLES = {"ucf": "UCF-GZSL", "activitynet": "ActivityNet-GZSL", "vggsound": "VGGSound-GZSL"}
ROLES = {
    "train": "trained",
    "val_unseen": "validation-unseen, trained in stage 2",
    "test_unseen": "test-unseen",
    "unused": "not used",
}


def pages(site: Site) -> Iterator[Page]:
    for name in DATASETS:
        splits = [load_split(name, partition) for partition in PARTITIONS]
        yield Page(
            links.dataset(name),
            "dataset.html",
            TITLES[name],
            {
                "splits": splits,
                "parts": PARTS,
                "roles": ROLES,
                "overlaps": [row for row in source_overlaps() if row.dataset == name],
                "boards": [b for b in site.real if b.board.track.dataset == name],
                "links": links,
                "name": name,
            },
        )
    rows = [(name, TITLES[name], [load_split(name, partition) for partition in PARTITIONS]) for name in DATASETS]
    yield Page("datasets.html", "datasets.html", "Data sets", {"rows": rows, "links": links})
