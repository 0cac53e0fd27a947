"""Runs that were filed in one step, by a process that was killed: what somebody did since is never undone."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest
from killed import changes_of, killed_at
from simulated_reproductions import reproduction
from simulated_results import altered, simulated_run

from avbench.harness.records.filing import Item, file_all
from avbench.harness.records.record import RunRecord
from avbench.harness.records.results import ResultsFolder
from avbench.harness.running.tidy import tidy_up
from avbench.harness.tracks import Track

UCF = Track("ucf", "main")
RUNS = [simulated_run("avca", UCF, seed=seed, clips=1, simulated=True) for seed in range(2)]
KNOWN, KNOWN_EVIDENCE = simulated_run("ale", UCF, clips=1, simulated=True)
ITEMS = [
    *(Item(record, evidence, (reproduction(record),)) for record, evidence in RUNS),
    Item(KNOWN, None, (reproduction(KNOWN),)),
]


@pytest.fixture(autouse=True)
def quick_disk(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "fsync", lambda _: None)


def prepared(place: Path) -> ResultsFolder:
    shutil.rmtree(place, ignore_errors=True)
    folder = ResultsFolder(place / "results")
    folder.save(KNOWN, KNOWN_EVIDENCE)
    return folder


def all_records(folder: ResultsFolder) -> list[RunRecord]:
    found = list(folder.records())
    assert all(isinstance(record, RunRecord) for record in found), found
    return [record for record in found if isinstance(record, RunRecord)]


def test_what_was_filed_and_then_removed_or_changed_stays_so_wherever_the_kill_fell(tmp_path: Path) -> None:
    """The commands between kill and clearing up run elsewhere, from where nobody sees that the filer is dead."""
    place = tmp_path / "place"

    def work(_say: object) -> None:
        file_all(ITEMS, ResultsFolder(place / "results"))

    newer, evidence = altered(RUNS[1][0], parameters=7), RUNS[1][1]
    prepared(place)
    total, seen = changes_of(work, place), set()
    for number in range(1, total + 1, 3):
        folder = prepared(place)
        killed_at(number, work, place)
        there = all_records(folder)
        seen.add(len(there))
        for record in there:
            folder.remove(record)
        folder.save(newer, evidence)
        tidy_up(folder)
        after = all_records(folder)
        assert newer in after, number
        assert not [record for record in after if record in there], number
        assert not [path for path in folder.root.rglob("*") if path.name.startswith(".")], number
    assert seen == {1, 2, 3}, "kills before, between and after the runs"


def test_a_folder_that_lost_a_file_is_deleted_and_none_of_it_filed(tmp_path: Path) -> None:
    """As clearing up left it in an earlier version: under the name that says whole."""
    folder = prepared(tmp_path)
    dead = ResultsFolder(folder.root / f".filing-{'0' * 8}-1-1")
    for item in ITEMS[:2]:
        item.make_ready(dead)
    dead.evidence_path(RUNS[1][0]).unlink()
    os.utime(dead.root, (0, 0))
    tidy_up(folder)
    assert all_records(folder) == [KNOWN]
    assert not dead.root.exists()


def test_what_cannot_be_filed_leaves_all_as_it_was(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = prepared(tmp_path)
    before = {path: path.read_bytes() for path in folder.root.rglob("*") if path.is_file()}
    replace = os.replace

    def full(source: Path, target: Path) -> None:
        if Path(target) == folder.path(RUNS[1][0].configuration):
            raise OSError(28, "No space left on device")
        replace(source, target)

    monkeypatch.setattr(os, "replace", full)
    with pytest.raises(OSError, match="No space left"):
        file_all(ITEMS, folder)
    assert {path: path.read_bytes() for path in folder.root.rglob("*") if path.is_file()} == before
