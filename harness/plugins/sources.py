"""Where a track's features come from: the embedded demo, the local store, or a source that a package brings."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache

from avbench.harness.errors import DataError, unknown
from avbench.harness.features.featureset import FeatureSet
from avbench.harness.features.manifest import Manifest
from avbench.harness.features.source import FeatureSource
from avbench.harness.tracks import DEMO, DEMO_TEMPORAL, PUBLIC, SIMULATED, Track


def feature_manifest(track: Track) -> Manifest:
    """The manifest of a track's features; cheap for stored ones, generated for the demo.

    Raises :class:`DataError` for a track that is not installed, and says how to install it.
    """
    if track.simulated:
        return load_features(track).manifest
    return (_foreign(track) or _store()).manifest(track)


@lru_cache(maxsize=1)
def load_features(track: Track) -> FeatureSet:
    """The features of a track, on the CPU. The last one is kept: runs on one track share it.

    Raises :class:`DataError` for features that are not installed, or that do not fit their split or their manifest.
    """
    if track.simulated:
        from avbench.harness.features.demo import demo
        from avbench.harness.features.demo_temporal import demo_mean, demo_temporal

        return {DEMO: demo, DEMO_TEMPORAL: demo_temporal}.get(track.features, demo_mean)(track.dataset)
    source = _foreign(track)
    if source is None:
        return _store().load(track)
    from avbench.harness.features.assemble import check

    features = source.load(track)
    check(features, track)
    return features


def installed_tracks() -> tuple[Track, ...]:
    """The tracks of the local store; none for a user who has no place for one."""
    from avbench.harness.features.store import HomelessError, Store

    try:
        return Store().tracks()
    except HomelessError:
        return ()


def planned_features(track: Track, content_hash: str) -> FeatureSet:
    """The features that a run was planned on. Loading makes sure that their content has the hash of their manifest.

    Raises :class:`DataError` where the content is another by now, whatever happened to it meanwhile.
    """
    features = load_features(track)
    if features.manifest.content_hash != content_hash:  # perhaps those that another run of this process had
        load_features.cache_clear()
        features = load_features(track)
    if (found := features.manifest.content_hash) != content_hash:
        raise DataError(
            f"{track}: the features have changed since this run was planned (content hash {found[:12]} instead of "
            f"{content_hash[:12]}); run the same command again"
        )
    return features


def require_known(features: Sequence[str]) -> None:
    """Raise :class:`UsageError`, with a suggestion, for a feature set that nobody has heard of."""
    known = {*SIMULATED, *PUBLIC} | {t.features for t in (*installed_tracks(), *foreign_tracks())}
    for name in features:
        if name not in known:
            raise unknown("feature set", name, known)


def foreign_tracks() -> dict[Track, FeatureSource]:
    """The tracks of the sources that packages bring. One that is in the local store too is taken from the store.

    Raises :class:`DataError` where two sources have the same track, or one the name of features that come with avbench
    or from the public archive: those may be compared with printed numbers, so nobody else brings them.
    """
    from avbench.harness.plugins.registry import plugins

    found: dict[Track, FeatureSource] = {}
    installed = set(installed_tracks())
    for source in plugins().feature_sources:
        for track in source.tracks():
            if track.features in PUBLIC or track.simulated or plugins().reserved(track.features):
                raise DataError(
                    f"{track}: a package brings features of this name, which is reserved; it must choose another"
                )
            if found.setdefault(track, source) is not source:
                raise DataError(f"{track}: two packages bring these features; AVBENCH_LOAD_PLUGINS can leave one out")
    return {track: source for track, source in found.items() if track not in installed}


def _foreign(track: Track) -> FeatureSource | None:
    return foreign_tracks().get(track)


def _store() -> FeatureSource:
    from avbench.harness.features.store import Store

    return Store()
