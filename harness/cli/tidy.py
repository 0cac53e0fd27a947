"""What killed commands left is finished or deleted by the next command on the same folder."""

from __future__ import annotations

import tempfile
from pathlib import Path

from avbench.harness.atomic import sweep
from avbench.harness.records.filing import resume
from avbench.harness.records.results import ResultsFolder
from avbench.harness.running.claims import Claims


def tidied(root: Path) -> ResultsFolder:
    """A results folder without what the dead left in it. Never fails: where nothing may be changed, all stays."""
    folder = ResultsFolder(root)
    resume(folder)
    Claims(root).sweep()
    folder.tidy()
    sweep(Path(tempfile.gettempdir()))
    return folder
