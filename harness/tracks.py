"""Names of what is measured: a track is a data set with a feature set, such as ``ucf/main``."""

from __future__ import annotations

from dataclasses import dataclass

from avbench.harness.errors import UsageError, unknown
from avbench.splits import DATASETS

DEMO = "demo"
"""The simulated feature set. Its results never stand beside results on real features."""


@dataclass(frozen=True, order=True)
class Track:
    """A data set with one of its feature sets."""

    dataset: str
    features: str

    @property
    def simulated(self) -> bool:
        return self.features == DEMO

    def __str__(self) -> str:
        return f"{self.dataset}/{self.features}"


def parse_track(track: Track | str) -> Track:
    """A track from its text. Raises :class:`UsageError` for text of another form or an unknown data set."""
    if isinstance(track, Track):
        return track
    dataset, slash, features = track.partition("/")
    if not (slash and features):
        raise UsageError(f"{track!r} is no track: write DATASET/FEATURES, such as 'ucf/demo'")
    if dataset not in DATASETS:
        raise unknown("data set", dataset, DATASETS)
    return Track(dataset, features)
