"""Results as a table."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

from avbench.given import several

if TYPE_CHECKING:
    from pandas import DataFrame

    from avbench.harness.records.record import RunRecord


def results(source: Path | str | Iterable[RunRecord] = "results", *, verify: bool = False) -> DataFrame:
    """One row per run: configuration, metrics, cost, environment and marks.

    ``source``: a results folder, or records such as :func:`avbench.run` gives. Files that are no records are left out
    with a warning. That a file is a record is all that is checked: numbers are as it states them.

    ``verify``: recompute every number of a folder from its evidence and hold it against split, protocol and the
    installed methods, as the board does. A further column, ``problems``, then says why a run does not verify, and is
    empty where it does: ``runs[runs["problems"] == ""]``. No check tells how the scores of the evidence came about.

    Raises :class:`UsageError` for an empty folder, and for ``verify`` with records, which have no evidence with them.
    """
    from avbench.harness.errors import UsageError
    from avbench.harness.records.record import RunRecord
    from avbench.harness.records.results import ResultsFolder
    from avbench.leaderboard.frame import folder_frame, results_frame

    if isinstance(source, Path | str):
        return folder_frame(ResultsFolder(Path(source)), verify)
    if verify:
        raise UsageError("verify=True needs the evidence of the runs: give the results folder, not records")
    return results_frame(several("source", source, RunRecord, "a results folder, or records"))
