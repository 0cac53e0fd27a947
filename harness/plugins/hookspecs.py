"""The plugin door: what a package may hook into. One sentence each; a test fails when one is missing."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import pluggy

if TYPE_CHECKING:
    from avbench.harness.contract.encoder import Encoder
    from avbench.harness.contract.method import Method
    from avbench.harness.contract.variants import Variant
    from avbench.harness.features.reserved import ReservedFeatures
    from avbench.harness.features.source import FeatureSource
    from avbench.harness.plugins.observers import RunObserver
    from avbench.harness.plugins.site_page import SitePage
    from avbench.harness.records.record import RunRecord

hookspec = pluggy.HookspecMarker("avbench")
hookimpl = pluggy.HookimplMarker("avbench")


@hookspec
def avbench_methods() -> list[type[Method]]:  # type: ignore[empty-body]
    """Return the method classes that this package adds to the registry."""


@hookspec
def avbench_variants() -> list[Variant]:  # type: ignore[empty-body]
    """Return named variants of methods, of this package's or of others, that ``avbench run --variant`` accepts."""


@hookspec
def avbench_feature_sources() -> list[FeatureSource]:  # type: ignore[empty-body]
    """Return sources of features beside the local store, whose tracks ``avbench run --features`` accepts."""


@hookspec
def avbench_reserved_features() -> list[ReservedFeatures]:  # type: ignore[empty-body]
    """Return names of feature sets that printed numbers are about, which other features may not take."""


@hookspec
def avbench_encoders() -> list[type[Encoder]]:  # type: ignore[empty-body]
    """Return classes of encoders of frames or of sound, that ``avbench data extract --encoder`` chooses from."""


@hookspec
def avbench_run_observers() -> list[type[RunObserver]]:  # type: ignore[empty-body]
    """Return classes of observers, told when a run starts, after each epoch and when it is finished, that
    ``avbench run --observe`` chooses from."""


@hookspec
def avbench_run_reports(records: Sequence[RunRecord]) -> list[str]:  # type: ignore[empty-body]
    """Return texts that ``avbench run`` prints at its end, made from the records of the runs that it was asked for."""


@hookspec
def avbench_site_pages(records: Sequence[RunRecord]) -> list[SitePage]:  # type: ignore[empty-body]
    """Return pages to add to the leaderboard site, made from the records whose numbers were verified."""
