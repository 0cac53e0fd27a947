"""Filing many runs in one step: all of them, or none, also when the process is killed on the way.

The runs are written into a folder of their own inside the results folder first. Its name decides: once it says that
the folder is whole, :func:`resume` files what is in it, whoever is alive to do so. A run is moved out of it into its
place, so what is still in it was never filed: what somebody changed or removed since does not come back. No torch.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from avbench.harness.atomic import begun_folder, outlived, remove_folder, write_bytes
from avbench.harness.errors import RecordError
from avbench.harness.owner import Owner, me
from avbench.harness.records.record import RunRecord, read_record
from avbench.harness.records.reproduction import SUFFIX, Reproduction, read_reproduction
from avbench.harness.records.results import ResultsFolder

_WHOLE = ".filing-"
"""What the name of a whole folder begins with; its owner follows."""


@dataclass(frozen=True)
class Item:
    """One run to be filed with what lies beside it."""

    record: RunRecord
    evidence: bytes | None
    """None for a run that is filed already: only the reproductions are new."""
    reproductions: tuple[Reproduction, ...] = ()

    def make_ready(self, ready: ResultsFolder) -> None:
        """Write it into the folder from which it is filed."""
        if self.evidence is not None:
            ready.save(self.record, self.evidence)
        for reproduction in self.reproductions:
            ready.save_reproduction(self.record, reproduction)


def file_all(items: Sequence[Item], folder: ResultsFolder) -> None:
    """Store every run, or leave everything as it was. Raises OSError where the folder cannot be written to."""
    if not items:
        return
    whole = folder.root / f"{_WHOLE}{me()}"
    with begun_folder(whole) as filling:
        for item in items:
            item.make_ready(ResultsFolder(filling))
        os.replace(filling, whole)
    before = [(item, _content(folder.path(item.record.configuration)), folder.beside(item.record)) for item in items]
    try:
        _file(ResultsFolder(whole), folder)
    except BaseException:
        for item, content, beside in before:
            with suppress(OSError):
                _undo(item, content, beside, ResultsFolder(whole), folder)
        raise
    finally:
        remove_folder(whole)


def resume(folder: ResultsFolder) -> None:
    """File what a killed process had ready. Never fails: what cannot be filed now is left for the next time.

    A folder with a damaged run in it is deleted, and nothing of it is filed: all of it, or nothing.
    """
    with suppress(OSError):
        for path in folder.root.glob(f"{_WHOLE}*"):
            owner = Owner.parse(path.name.removeprefix(_WHOLE))
            if owner is not None and outlived(path, owner):
                ready = ResultsFolder(path)
                with suppress(RecordError):
                    for record in _runs(ready):
                        ready.evidence_bytes(record)
                    _file(ready, folder)
                remove_folder(path)


def _file(ready: ResultsFolder, folder: ResultsFolder) -> None:
    """Move what is ready to its place. A finished run that is there stays as it is."""
    for record in _runs(ready):
        there = folder.find(record.configuration)
        if there is None or not there.finished:
            folder.take(record, ready)
    for path in sorted(ready.root.rglob(f"*{SUFFIX}")):
        place = folder.root / path.relative_to(ready.root)
        with suppress(RecordError):  # its run was removed since
            if read_record(place.with_name(f"{path.name[:20]}.json")).digest == read_reproduction(path).record:
                os.replace(path, place)


def _runs(ready: ResultsFolder) -> list[RunRecord]:
    return [record for record in ready.records() if isinstance(record, RunRecord)]


def _content(path: Path) -> bytes | None:
    return path.read_bytes() if path.exists() else None


def _undo(
    item: Item, before: bytes | None, beside: Sequence[Path], ready: ResultsFolder, folder: ResultsFolder
) -> None:
    """Put back what was there before a run was filed, and the run where it was ready: a kill meanwhile files it."""
    new = [folder.reproduction_path(item.record, reproduction) for reproduction in item.reproductions]
    waiting, path = ready.path(item.record.configuration), folder.path(item.record.configuration)
    if item.evidence is not None and not waiting.exists():
        new.append(folder.evidence_path(item.record))
        os.replace(path, waiting)
        if before is not None:
            write_bytes(path, before)
    for file in set(new) - set(beside):
        file.unlink(missing_ok=True)
