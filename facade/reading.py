"""Results as a table."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

from avbench.given import several

if TYPE_CHECKING:
    from pandas import DataFrame

    from avbench.harness.records.record import RunRecord


def results(source: Path | str | Iterable[RunRecord] = "results") -> DataFrame:
    """One row per run: configuration, metrics, cost, environment and marks.

    ``source``: a results folder, or records such as :func:`avbench.run` gives. Files that are no records are left out.
    """
    from avbench.harness.records.record import RunRecord
    from avbench.harness.records.results import ResultsFolder
    from avbench.leaderboard.frame import folder_frame, results_frame

    if isinstance(source, Path | str):
        return folder_frame(ResultsFolder(Path(source)))
    return results_frame(several("source", source, RunRecord, "a results folder, or records"))
