"""Known defects of the field, each with its evidence and a command that shows it."""

from __future__ import annotations

import statistics
from collections import defaultdict
from collections.abc import Iterator

from avbench.harness.tracks import Track
from avbench.leaderboard.claims import Claim, anomalies, claim_for, papers, remarks
from avbench.leaderboard.field import nearest_classes, source_overlaps
from avbench.leaderboard.site import links
from avbench.leaderboard.site.model import Site
from avbench.leaderboard.site.page import Page
from avbench.leaderboard.site.pages.datasets import TITLES
from avbench.splits import DATASETS, Split, load_split

GENERATOR = "fvaegan-d2"
"""The method whose released loop trains its generator for one step per epoch."""
TOPICS = {
    "data": "Data set statistics",
    "claim": "Claims in prose",
    "equation": "Equations",
    "setting": "Settings left unstated",
}


def pages(site: Site) -> Iterator[Page]:
    splits = [load_split(dataset, "main") for dataset in DATASETS]
    gains = [gain for r in site.gate.sound if not r.simulated and (gain := site.gate.test_gains.get(r.identity))]
    yield Page(
        "defects.html",
        "defects.html",
        "Known defects of the field",
        {
            "splits": splits,
            "titles": TITLES,
            "displaced": displaced,
            "nearest": nearest_classes(),
            "overlaps": source_overlaps(),
            "generator": list(_generator(splits)),
            "gain": statistics.fmean(gains) if gains else None,
            "gains": len(gains),
            "largest_gain": max(gains, default=None),
            "anomalies": anomalies(),
            "remarks": _by_topic(),
            "papers": papers(),
            "links": links,
        },
    )


def displaced(split: Split, part: str | None) -> tuple[int, int]:
    """Classes of a part (None: all source classes) that get another class's vector as published, and all of them."""
    classes = split.classes_of(part) if part else split.classes
    return sum(split.vector_owner(c) is not c for c in classes), len(classes)


def _generator(splits: list[Split]) -> Iterator[tuple[Claim, float]]:
    """The printed rows of the generative method with the ZSL of guessing, in percent."""
    for split in splits:
        for claim in claim_for(GENERATOR, Track(split.dataset, split.partition))[:1]:
            yield claim, 100 / len(split.classes_of("test_unseen"))


def _by_topic() -> dict[str, list[object]]:
    found: dict[str, list[object]] = defaultdict(list)
    for remark in remarks():
        found[TOPICS[remark.topic]].append(remark)
    return found
