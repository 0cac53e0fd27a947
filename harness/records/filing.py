"""Filing many runs in one step: all of them, or none, also when the process is killed on the way.

The runs are written into a folder of their own inside the results folder first. Its name decides: once it says that
the folder is whole, :func:`resume` files what is in it, whoever is alive to do so. Knows no torch.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from avbench.harness.atomic import begun_folder, outlived, write_bytes
from avbench.harness.errors import RecordError
from avbench.harness.owner import Owner, me
from avbench.harness.records.record import RunRecord
from avbench.harness.records.reproduction import Reproduction
from avbench.harness.records.results import ResultsFolder

_WHOLE = ".filing-"
"""What the name of a whole folder begins with; its owner follows."""


@dataclass(frozen=True)
class Item:
    """One run to be filed with what lies beside it."""

    record: RunRecord
    evidence: bytes
    reproductions: tuple[Reproduction, ...] = ()

    def file(self, folder: ResultsFolder) -> None:
        """A run that is there already stays as it is."""
        if folder.find(self.record.configuration) != self.record:
            folder.save(self.record, self.evidence)
        for reproduction in self.reproductions:
            folder.save_reproduction(self.record, reproduction)


def file_all(items: Sequence[Item], folder: ResultsFolder) -> None:
    """Store every run, or leave everything as it was. Raises OSError where the folder cannot be written to."""
    if not items:
        return
    whole = folder.root / f"{_WHOLE}{me()}"
    with begun_folder(whole) as filling:
        for item in items:
            item.file(ResultsFolder(filling))
        os.replace(filling, whole)
    before = [(item, _content(folder.path(item.record.configuration)), folder.beside(item.record)) for item in items]
    try:
        for item in items:
            item.file(folder)
    except BaseException:
        for item, content, beside in before:
            with suppress(OSError):
                _undo(item.record, content, beside, folder)
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
        if isinstance(record, RunRecord):
            told = tuple(r for r in ready.reproductions(record) if isinstance(r, Reproduction))
            Item(record, ready.evidence_bytes(record), told).file(folder)


def _content(path: Path) -> bytes | None:
    return path.read_bytes() if path.exists() else None


def _undo(record: RunRecord, before: bytes | None, beside: Sequence[Path], folder: ResultsFolder) -> None:
    """Put back what was there before a run was filed."""
    path = folder.path(record.configuration)
    for new in set(folder.beside(record)) - set(beside):
        new.unlink(missing_ok=True)
    if before is not None:
        write_bytes(path, before)
        return
    path.unlink(missing_ok=True)
