"""What killed commands left is finished or deleted by the next command on the same folder. Knows no torch."""

from __future__ import annotations

import tempfile
from pathlib import Path

from avbench.harness.atomic import sweep
from avbench.harness.records.filing import resume
from avbench.harness.records.results import ResultsFolder
from avbench.harness.running.claims import Claims


def tidy_up(folder: ResultsFolder) -> ResultsFolder:
    """Rid a results folder of what the dead left, and give it. Never fails: where nothing may be changed, all stays."""
    resume(folder)
    Claims(folder.root).sweep()
    folder.tidy()
    sweep(Path(tempfile.gettempdir()))
    return folder
