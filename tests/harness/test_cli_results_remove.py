"""``avbench results remove`` and ``pack --latest``: earlier code and smoke runs need not stay, nor be submitted."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest
from killed import changes_of, killed_at
from simulated_results import OPTIONS, TRACKS, configuration_of, reconfigured, record_of, simulated_run, store

from avbench.harness.cli import main
from avbench.harness.records.record import Measured, RunRecord
from avbench.harness.records.results import ResultsFolder
from avbench.harness.running.tidy import tidy_up

UCF = TRACKS[0]
Call = Callable[..., tuple[int, str, str]]


@pytest.fixture
def call(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> Call:
    def run(*arguments: str) -> tuple[int, str, str]:
        code = 0
        try:
            main(["results", *arguments, "--results", str(tmp_path / "results")])
        except SystemExit as stop:
            code = int(stop.code or 0)
        captured = capsys.readouterr()
        return code, captured.out, captured.err

    return run


def files(folder: Path) -> set[str]:
    return {p.relative_to(folder).as_posix() for p in folder.rglob("*")}


def test_runs_go_by_their_identity_after_a_preview(call: Call, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = store(tmp_path / "results", [simulated_run("one", UCF), simulated_run("two", UCF)])
    folder.save(record_of(configuration_of("two", UCF, "aligned", 9)), None)
    before = files(folder.root)
    one = next(r for r in folder.records() if isinstance(r, RunRecord) and r.configuration.method == "one")
    code, out, _ = call("remove", one.identity[:8], "--dry-run")
    assert code == 0
    assert f"{one.identity[:12]}  one ucf/main aligned seed 0: HM" in out
    assert "1 runs would be removed" in out
    assert files(folder.root) == before
    monkeypatch.setattr("sys.stdin", io.StringIO("n\n"))
    assert call("remove", one.identity[:8])[0] == 130
    assert files(folder.root) == before
    code, out, _ = call("remove", one.identity[:8], "--yes")
    assert code == 0
    assert "1 runs removed" in out
    assert files(folder.root) == {name for name in before if "/one" not in name}
    assert call("verify")[0] == 0


def test_nothing_named_removes_nothing(call: Call, tmp_path: Path) -> None:
    folder = store(tmp_path / "results", [simulated_run("one", UCF)])
    code, _, err = call("remove", "--yes")
    assert code == 2
    assert "--stale" in err
    assert call("remove", "ffff", "--yes")[0] == 2
    assert len(list(folder.records())) == 1


def test_stale_is_what_the_installed_code_did_not_make(call: Call, tmp_path: Path) -> None:
    now, evidence = simulated_run("ale", UCF)
    code = now.configuration.plugin.model_copy(update={"source_hash": "0" * 64})
    old = reconfigured(now, plugin=code)
    folder = store(tmp_path / "results", [(old, evidence), (now, evidence), simulated_run("stranger", UCF)])
    _, out, _ = call("remove", "--stale", "--dry-run")
    assert "2 runs would be removed" in out
    assert "of other code than the installed avbench" in out
    assert "method stranger is not installed" in out
    assert "1 runs would be removed" in call("remove", "--stale", "--dry-run", "--method", "ale")[1]
    assert call("remove", "--stale", "--yes")[0] == 0
    assert [r.identity for r in folder.records() if isinstance(r, RunRecord)] == [now.identity]
    assert "nothing to remove" in call("remove", "--stale", "--yes")[1]


def at(day: int) -> Measured:
    return Measured(started=f"2026-01-{day:02d}T00:00:00+00:00", seconds=60.0)


def test_the_latest_leaves_smoke_runs_and_earlier_code_out(call: Call, tmp_path: Path) -> None:
    smoke = {**OPTIONS, "epochs": 3}
    runs = [simulated_run("one", UCF, seed=0, options=smoke, measured=at(1))]
    runs += [simulated_run("one", UCF, seed=seed, measured=at(2 + seed)) for seed in range(3)]
    runs.append(simulated_run("one", UCF, options=smoke, variant="small", measured=at(1)))
    store(tmp_path / "results", [*runs[:4]])
    code, out, err = call("pack", str(tmp_path / "s.zip"), "--method", "one", "--latest")
    assert code == 0, err
    assert "1 runs of earlier code or options are left out" in out
    with zipfile.ZipFile(tmp_path / "s.zip") as archive:
        names = {Path(name).stem.partition(".")[0] for name in archive.namelist()}
    assert names == {record.identity[:20] for record, _ in runs[1:4]}


def test_a_killed_removal_leaves_the_run_or_nothing(tmp_path: Path) -> None:
    made = [simulated_run("one", UCF), simulated_run("two", UCF)]

    def gone(folder: ResultsFolder) -> set[str]:
        folder.remove(made[0][0])
        return files(folder.root)

    after = gone(store(tmp_path / "whole", made))
    before = files(store(tmp_path / "before", made).root)
    whole = store(tmp_path / "count", made)
    for number in range(1, 1 + changes_of(lambda _: whole.remove(made[0][0]), whole.root)):
        folder = store(tmp_path / str(number), made)
        killed_at(number, lambda _, folder=folder: folder.remove(made[0][0]), folder.root)  # type: ignore[misc]
        tidy_up(folder)
        left = {name for name in files(folder.root) if (folder.root / name).is_file()}
        assert left in ({n for n in found if "." in n} for found in (before, after)), number
