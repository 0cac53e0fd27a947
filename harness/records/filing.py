"""Filing many runs in one step: all of them, or none, also when the process is killed on the way.

The runs are written into a folder of their own inside the results folder first. Its name decides: once it says that
the folder is whole, :func:`resume` files what is in it, whoever is alive to do so. Knows no torch.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Sequence
from contextlib import suppress

from avbench.harness.atomic import begun_folder, outlived, write_bytes
from avbench.harness.errors import RecordError
from avbench.harness.owner import Owner, me
from avbench.harness.records.record import RunRecord
from avbench.harness.records.results import ResultsFolder

_WHOLE = ".filing-"
"""What the name of a whole folder begins with; its owner follows."""


def file_all(runs: Sequence[tuple[RunRecord, bytes]], folder: ResultsFolder) -> None:
    """Store every run, or leave everything as it was. Raises OSError where the folder cannot be written to."""
    if not runs:
        return
    whole = folder.root / f"{_WHOLE}{me()}"
    with begun_folder(whole) as filling:
        for record, evidence in runs:
            ResultsFolder(filling).save(record, evidence)
        os.replace(filling, whole)
    paths = [folder.path(record.configuration) for record, _ in runs]
    before = [path.read_bytes() if path.exists() else None for path in paths]
    try:
        for record, evidence in runs:
            folder.save(record, evidence)
    except BaseException:
        for (record, _), content in zip(runs, before, strict=True):
            with suppress(OSError):
                _undo(record, content, folder)
        raise
    finally:
        shutil.rmtree(whole)


def resume(folder: ResultsFolder) -> None:
    """File what a killed process had ready. Never fails: what cannot be filed now is left for the next time."""
    with suppress(OSError):
        for path in folder.root.glob(f"{_WHOLE}*"):
            owner = Owner.parse(path.name.removeprefix(_WHOLE))
            if owner is not None and outlived(path, owner):
                with suppress(RecordError):
                    _file_again(ResultsFolder(path), folder)
                    shutil.rmtree(path)


def _file_again(ready: ResultsFolder, folder: ResultsFolder) -> None:
    for record in ready.records():
        if isinstance(record, RunRecord) and folder.find(record.configuration) != record:
            folder.save(record, ready.evidence_bytes(record))


def _undo(record: RunRecord, before: bytes | None, folder: ResultsFolder) -> None:
    """Put back what was there before a run was filed."""
    path = folder.path(record.configuration)
    if before is not None:
        write_bytes(path, before)
        return
    with suppress(RecordError):
        folder.evidence_path(record).unlink(missing_ok=True)
    path.unlink(missing_ok=True)
