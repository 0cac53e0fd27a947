"""Where a track's features come from: the embedded demo or the local store."""

from __future__ import annotations

from functools import lru_cache

from avbench.harness.features.featureset import FeatureSet
from avbench.harness.features.manifest import Manifest
from avbench.harness.tracks import Track


def feature_manifest(track: Track) -> Manifest:
    """The manifest of a track's features; cheap for stored ones, generated for the demo.

    Raises :class:`DataError` for a track that is not installed, and says how to install it.
    """
    if track.simulated:
        return load_features(track).manifest
    from avbench.harness.features.store import Store

    return Store().manifest(track)


@lru_cache(maxsize=1)
def load_features(track: Track) -> FeatureSet:
    """The features of a track, on the CPU. The last one is kept: runs on one track share it."""
    if track.simulated:
        from avbench.harness.features.demo import demo

        return demo(track.dataset)
    from avbench.harness.features.store import Store

    return Store().load(track)
