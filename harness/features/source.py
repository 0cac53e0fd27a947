"""The contract of a feature source: feature sets from elsewhere than the local store."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Collection

from avbench.harness.features.featureset import FeatureSet
from avbench.harness.features.manifest import Manifest
from avbench.harness.tracks import Track


class FeatureSource(ABC):
    """Brings feature sets that ``avbench run --features NAME`` finds. Listing must not import torch.

    ``avbench.harness.features.assemble.feature_set`` makes a feature set from arrays, ``feature_set_over_time`` one
    over time. Whatever a source gives is checked against the split and its own content hash before a run uses it.
    """

    @abstractmethod
    def tracks(self) -> Collection[Track]:
        """The tracks that this source has; cheap."""

    @abstractmethod
    def load(self, track: Track) -> FeatureSet:
        """The features of one of its tracks, on the CPU; the same bits at every call."""

    def manifest(self, track: Track) -> Manifest:
        """What describes the features of one of its tracks. Override it where loading is not cheap."""
        return self.load(track).manifest
