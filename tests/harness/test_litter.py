"""What systems and editors leave beside records is passed over by every command."""

from __future__ import annotations

import shutil
import zipfile
from pathlib import Path

import pytest
from simulated_results import TRACKS, simulated_run, store

from avbench.harness.cli import main
from avbench.harness.records.results import ResultsFolder
from avbench.harness.records.submission import accept_submission, write_submission


def test_leftovers_are_no_records(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = store(tmp_path, [simulated_run("one", TRACKS[0])])
    (record,) = folder.records()
    path = next(p for p in tmp_path.rglob("*.json"))
    (path.parent / f"._{path.name}").write_bytes(b"\0\5\26\7")
    (path.parent / ".ipynb_checkpoints").mkdir()
    shutil.copy(path, path.parent / ".ipynb_checkpoints" / f"{path.stem}-checkpoint.json")
    (tmp_path / "__MACOSX").mkdir()
    (tmp_path / "__MACOSX" / "x.json").write_text("{")
    assert list(folder.records()) == [record]
    for command in (["list"], ["verify"], ["table"]):
        main(["results", *command, "--results", str(tmp_path)])
        assert not capsys.readouterr().err


def test_a_submission_that_was_zipped_again_on_a_mac_is_accepted(tmp_path: Path) -> None:
    folder = store(tmp_path / "results", [simulated_run("one", TRACKS[0])])
    write_submission(tmp_path / "s.zip", list(folder.records()), folder)  # type: ignore[arg-type]
    with zipfile.ZipFile(tmp_path / "s.zip", "a") as archive:
        archive.writestr("__MACOSX/._results", b"\0\5\26\7")
        archive.writestr(".DS_Store", b"\0\0")
    assert len(accept_submission(tmp_path / "s.zip", ResultsFolder(tmp_path / "other")).new) == 1
