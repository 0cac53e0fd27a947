"""Names of what is measured: a track is a data set with a feature set, such as ``ucf/main``."""

from __future__ import annotations

from dataclasses import dataclass

DEMO = "demo"
"""The simulated feature set. Its results never stand beside results on real features."""
DEMO_TEMPORAL = "demo-temporal"
"""The simulated feature set over time."""
SIMULATED = (DEMO, DEMO_TEMPORAL, f"{DEMO_TEMPORAL}.mean")
"""The simulated feature sets, the averaged view of that over time among them."""


@dataclass(frozen=True, order=True)
class Track:
    """A data set with one of its feature sets."""

    dataset: str
    features: str

    @property
    def simulated(self) -> bool:
        return self.features in SIMULATED

    def __str__(self) -> str:
        return f"{self.dataset}/{self.features}"
