"""What the board adds to a run, through the same door as any package: the table at its end, and the names that
printed numbers reserve."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from avbench.harness.plugins.hookspecs import hookimpl

if TYPE_CHECKING:
    from avbench.harness.features.reserved import ReservedFeatures
    from avbench.harness.records.record import RunRecord


@hookimpl
def avbench_run_reports(records: Sequence[RunRecord]) -> list[str]:
    """What was obtained, with the printed numbers where the protocol allows the comparison."""
    from avbench.harness.plugins.presets import options_beyond_variant
    from avbench.leaderboard.claims import claims
    from avbench.leaderboard.tables import summary_table

    return [summary_table(records, claims(), options_beyond_variant)]


@hookimpl
def avbench_reserved_features() -> list[ReservedFeatures]:
    """The names that printed numbers are about."""
    from avbench.leaderboard.reserved import reserved_features

    return reserved_features()
