"""Verdicts as records: bound to their run, judged by the gate, packed and accepted, never a submitter's own."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from simulated_reproductions import NOISE, differing, failing, reproduction
from simulated_results import altered, configuration_of, record_of, simulated_run, store

from avbench.harness.cli import main
from avbench.harness.errors import RecordError
from avbench.harness.records.draw import draw
from avbench.harness.records.finding import nothing_declared
from avbench.harness.records.gate import judge_folder
from avbench.harness.records.record import RunRecord, parse_record
from avbench.harness.records.reproduction import Reproduction, decisive
from avbench.harness.records.results import ResultsFolder, Unreadable
from avbench.harness.records.submission import accept_submission, submitted, write_submission
from avbench.harness.tracks import Track

UCF = Track("ucf", "main")
RUN = simulated_run("one", UCF)
RECORD = RUN[0]


@pytest.fixture
def folder(tmp_path: Path) -> ResultsFolder:
    return store(tmp_path / "results", [RUN])


def counted(folder: ResultsFolder) -> Reproduction | None:
    verdicts = judge_folder(folder, [RECORD], nothing_declared)
    assert not verdicts.reasons[RECORD.identity]
    return verdicts.reproductions.get(RECORD.identity)


def refused(folder: ResultsFolder) -> str:
    return "; ".join(judge_folder(folder, [RECORD], nothing_declared).refused.get(RECORD.identity, ()))


def command(*arguments: str) -> int:
    try:
        main(["results", *arguments])
    except SystemExit as stop:
        return int(stop.code or 0)
    return 0


def test_a_verdict_lies_beside_its_run_and_is_no_record(folder: ResultsFolder) -> None:
    assert counted(folder) is None
    folder.save_reproduction(RECORD, reproduction(RECORD))
    assert list(folder.records()) == [RECORD]
    assert counted(folder) == reproduction(RECORD)


def test_the_digest_of_a_record_is_of_what_it_says() -> None:
    assert RECORD.digest == parse_record(json.loads(RECORD.to_json()), "here").digest
    assert altered(RECORD, parameters=7).digest != RECORD.digest
    told = RECORD.model_dump(mode="json", exclude_defaults=True)
    assert parse_record(told, "of a version that knew fewer fields").digest == RECORD.digest


def test_a_blind_verdict_outweighs_a_later_one_and_the_latest_counts_among_equals() -> None:
    early, late = "2024-06-01T00:00:00+00:00", "2024-06-02T00:00:00+00:00"
    blind = differing(RECORD, 9, when=early)
    plain = [reproduction(RECORD, "none", when=when) for when in (early, late)]
    assert decisive([plain[1], blind, plain[0]]) == blind
    assert decisive(plain) == plain[1]
    assert decisive([plain[0], blind.model_copy(update={"claimed": True})]) == plain[0]
    assert decisive([]) is None


@pytest.mark.parametrize(
    ("make", "why"),
    [
        (lambda: reproduction(simulated_run("one", UCF, seed=1)[0]), "not of this one"),
        (lambda: reproduction(altered(RECORD, parameters=7)), "hash differs"),
        (lambda: reproduction(RECORD, evidence="0" * 64, repeated_evidence="0" * 64), "hash differs"),
        (lambda: differing(RECORD, 1, difference={**dict(differing(RECORD, 1).difference or ()), "U": 1}), "in U does"),
        (lambda: reproduction(RECORD, when="2023-01-01T00:00:00+00:00"), "before the run"),
        (lambda: reproduction(RECORD, when="9000-01-01T00:00:00+00:00"), "in the future"),
        (lambda: reproduction(RECORD, when="soon"), "no date"),
    ],
)
def test_stale_foreign_and_forged_verdicts_are_refused_and_cost_the_run_nothing(
    folder: ResultsFolder, tmp_path: Path, make: Callable[[], Reproduction], why: str
) -> None:
    folder.save_reproduction(RECORD, make())
    assert counted(folder) is None
    assert why in refused(folder)
    with pytest.raises(RecordError, match=why):
        write_submission(tmp_path / "s.zip", [RECORD], folder)


@pytest.mark.parametrize(
    "changes",
    [
        {"repeated_evidence": "0" * 64},
        {"verdict": "within noise"},
        {"verdict": "not reproduced"},
        {"metrics": None},
        {"failure": "none"},
        {"schema_version": 2},
        {"repeated_evidence": "0" * 64, "noise": NOISE, "verdict": "not reproduced"},
        {"repeated_evidence": "0" * 64, "noise": NOISE.model_copy(update={"statistic": 5}), "verdict": "within noise"},
    ],
)
def test_a_verdict_that_does_not_follow_from_what_it_says_is_none(
    folder: ResultsFolder, changes: dict[str, Any]
) -> None:
    there = reproduction(RECORD)
    folder.save_reproduction(RECORD, there.model_copy(update=changes))
    (found,) = folder.reproductions(RECORD)
    assert isinstance(found, Unreadable)
    assert counted(folder) is None


def test_a_verdict_without_its_run_is_named(folder: ResultsFolder, capsys: pytest.CaptureFixture[str]) -> None:
    path = folder.save_reproduction(RECORD, reproduction(RECORD))
    folder.path(RECORD.configuration).unlink()
    (found,) = folder.records()
    assert isinstance(found, Unreadable)
    assert "is not here" in found.reason
    assert command("verify", "--results", str(folder.root)) == 1
    assert path.name in capsys.readouterr().out


def test_verdicts_go_with_their_run(folder: ResultsFolder) -> None:
    folder.save_reproduction(RECORD, reproduction(RECORD))
    folder.save(RECORD, RUN[1])
    assert counted(folder) is not None
    again = RECORD.model_copy(update={"measured": RECORD.measured.model_copy(update={"seconds": 1.0})})
    folder.save(again, RUN[1])
    assert folder.reproductions(again) == []
    folder.save_reproduction(again, reproduction(again))
    folder.remove(again)
    assert not list(folder.root.rglob("*"))


def test_what_is_sent_along_is_a_claim(folder: ResultsFolder, tmp_path: Path) -> None:
    folder.save_reproduction(RECORD, reproduction(RECORD, by="the author"))
    write_submission(tmp_path / "1.zip", [RECORD], folder)
    write_submission(tmp_path / "2.zip", [RECORD], folder)
    assert (tmp_path / "1.zip").read_bytes() == (tmp_path / "2.zip").read_bytes()
    assert submitted(tmp_path / "1.zip") == (RECORD,)
    board = ResultsFolder(tmp_path / "board")
    assert accept_submission(tmp_path / "1.zip", board).reproductions == 1
    (claim,) = board.reproductions(RECORD)
    assert isinstance(claim, Reproduction)
    assert claim.claimed
    assert counted(board) is None
    assert accept_submission(tmp_path / "1.zip", board).reproductions == 0
    write_submission(tmp_path / "3.zip", [RECORD], board)  # a claim is not passed on
    assert accept_submission(tmp_path / "3.zip", ResultsFolder(tmp_path / "third")).reproductions == 0


def test_of_somebody_vouched_for_it_counts_also_for_a_run_that_is_there(folder: ResultsFolder, tmp_path: Path) -> None:
    board = store(tmp_path / "board", [RUN])
    before = board.path(RECORD.configuration).read_bytes()
    folder.save_reproduction(RECORD, reproduction(RECORD))
    write_submission(tmp_path / "s.zip", [RECORD], folder)
    accepted = accept_submission(tmp_path / "s.zip", board, vouched=True)
    assert (accepted.new, len(accepted.known), accepted.reproductions) == ((), 1, 1)
    assert counted(board) == reproduction(RECORD)
    assert board.path(RECORD.configuration).read_bytes() == before
    assert accept_submission(tmp_path / "s.zip", board).reproductions == 0  # what is ours is no claim


def test_show_tells_verdicts_claims_and_what_does_not_count(
    folder: ResultsFolder, capsys: pytest.CaptureFixture[str]
) -> None:
    for told in (
        differing(RECORD, -9.0),
        failing(RECORD, "none"),
        reproduction(RECORD, by="evil \x1b[31m", claimed=True),
        reproduction(altered(RECORD, parameters=7), by="stale"),
    ):
        folder.save_reproduction(RECORD, told)
    assert command("show", RECORD.identity, "--results", str(folder.root)) == 0
    out = capsys.readouterr().out
    assert "not reproduced, repeated blind: " in out
    assert "HM -9.00" in out
    assert "failed: OSError: no file" in out
    assert "claimed by the submitter: same bits" in out
    assert "does not count: reproduction by stale" in out
    assert "\x1b" not in out
    assert command("show", RECORD.identity, "--json", "--results", str(folder.root)) == 0
    detail = json.loads(capsys.readouterr().out)
    assert len(detail["reproductions"]) == 3
    assert len(detail["refused_reproductions"]) == 1


def test_the_draw_follows_from_the_seed_alone() -> None:
    runs = [record_of(configuration_of("one", UCF, "aligned", seed)) for seed in range(40)]
    assert draw(runs, 10, 7) == draw(runs[::-1], 10, 7)
    assert draw(runs, 10, 7) != draw(runs, 10, 8)
    assert len({r.identity for r in draw(runs, 99, 7)}) == 40
    drawn = [sum(record in draw(runs, 10, seed) for seed in range(200)) for record in runs]
    assert min(drawn) > 20  # of 50 expected: no run is safe


def test_a_record_tells_its_digest_only_by_content(folder: ResultsFolder) -> None:
    path = folder.path(RECORD.configuration)
    folder.save_reproduction(RECORD, reproduction(RECORD))
    path.write_text(json.dumps(json.loads(path.read_text("utf-8"))), "utf-8")  # laid out in another way
    assert counted(folder) is not None
    assert isinstance(next(folder.records()), RunRecord)
