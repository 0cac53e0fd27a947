"""Names of what is measured: a track is a data set with a feature set, such as ``ucf/main``."""

from __future__ import annotations

from dataclasses import dataclass

from avbench.harness.errors import UsageError, unknown
from avbench.splits import DATASETS, PARTITIONS

DEMO = "demo"
"""The simulated feature set. Its results never stand beside results on real features."""
DEMO_TEMPORAL = "demo-temporal"
"""The simulated feature set over time."""
SIMULATED = (DEMO, DEMO_TEMPORAL, f"{DEMO_TEMPORAL}.mean")
"""The simulated feature sets, the averaged view of that over time among them."""


PUBLIC = {name + ending: name for name in PARTITIONS for ending in ("", "-temporal", "-temporal.mean")}
"""The feature sets of the public archives -> the class partition that they follow."""


@dataclass(frozen=True, order=True)
class Track:
    """A data set with one of its feature sets."""

    dataset: str
    features: str

    @property
    def simulated(self) -> bool:
        return self.features in SIMULATED

    @property
    def kin(self) -> str:
        """The averaged feature set of the same encoders, by its name: that of ``cls-temporal.mean`` is ``cls``."""
        return self.features.removesuffix(".mean").removesuffix("-temporal")

    @property
    def partition(self) -> str | None:
        """The class partition that the features of a public archive follow; None for others."""
        return PUBLIC.get(self.features)

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
