"""``avbench results reproduce``: real runs on the demo, repeated and judged."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from simulated_results import altered, reconfigured, simulated_run

from avbench.harness.cli import main
from avbench.harness.evaluation.metrics import evaluate
from avbench.harness.isolation import sandbox
from avbench.harness.isolation.choice import NONE
from avbench.harness.plugins.registry import plugins
from avbench.harness.records.planned import PlannedRun
from avbench.harness.records.record import Metrics, Plugin, RunRecord
from avbench.harness.records.reproduction import Reproduction
from avbench.harness.records.results import ResultsFolder, unpack_evidence
from avbench.harness.records.submission import write_submission
from avbench.harness.running.repeatable import how_to_install, repetition_of
from avbench.harness.running.reproduction import Repeater, hm_of_rows
from avbench.harness.running.runs import execute, plan
from avbench.harness.tracks import Track

DEMO = Track("ucf", "demo")
BUDGET = {"epochs": 2, "batches_per_epoch": 3}
Call = Callable[..., tuple[int, str, str]]


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> list[tuple[RunRecord, bytes]]:
    folder = ResultsFolder(tmp_path_factory.mktemp("runs"))
    made = [execute(run, folder, torch.device("cpu")) for run in plan(["sje"], [DEMO], ["aligned"], range(3), BUDGET)]
    return [(record, folder.evidence_bytes(record)) for record in made]


@pytest.fixture
def folder(tmp_path: Path, runs: list[tuple[RunRecord, bytes]]) -> ResultsFolder:
    found = ResultsFolder(tmp_path / "results")
    for record, evidence in runs:
        found.save(record, evidence)
    return found


@pytest.fixture
def call(tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Call:
    monkeypatch.chdir(tmp_path)

    def run(*arguments: str) -> tuple[int, str, str]:
        code = 0
        try:
            main(["results", "reproduce", "--isolation", "none", *arguments])
        except SystemExit as stop:
            code = int(stop.code or 0)
        captured = capsys.readouterr()
        return code, captured.out, captured.err

    return run


def contents(folder: ResultsFolder) -> dict[str, bytes]:
    found = [p for p in folder.root.rglob("*") if p.is_file() and "reproduction" not in p.name]
    return {p.name: p.read_bytes() for p in found}


def dishonest(record: RunRecord) -> tuple[RunRecord, bytes]:
    """The configuration of a real run around far better scores that nobody obtained."""
    _, evidence = simulated_run("sje", DEMO, skill=0.9, clips=16)
    fake, _ = simulated_run("sje", DEMO, skill=0.9, clips=16)
    assert fake.outcome is not None
    test = unpack_evidence(evidence, "fake")["test"]
    metrics = Metrics(**vars(evaluate(test, fake.outcome.offset)))
    outcome = fake.outcome.model_copy(update={"metrics": metrics, "evidence": hashlib.sha256(evidence).hexdigest()})
    two = outcome.validation[1:3]
    return record.model_copy(update={"outcome": outcome.model_copy(update={"validation": two, "epochs": 2})}), evidence


def test_a_run_has_the_same_bits_again_and_the_original_stays(call: Call, folder: ResultsFolder) -> None:
    before = contents(folder)
    record = next(r for r in folder.records() if isinstance(r, RunRecord))
    code, out, _ = call(record.identity[:10], "--by", "me")
    assert code == 0, out
    assert f"{record.identity[:8]}  sje ucf/demo aligned seed {record.configuration.seed}: same bits" in out
    assert "1 of 1 runs reproduced\n" in out
    assert contents(folder) == before
    (told,) = folder.reproductions(record)
    assert isinstance(told, Reproduction)
    assert (told.by, told.isolation, told.repeated_evidence) == ("me", "none", told.evidence)
    repeated = ResultsFolder(Path("reproductions")).find(record.configuration)
    assert repeated is not None
    assert repeated.measured.started >= record.measured.started
    _, out, err = call(record.identity[:10], "--json")
    assert json.loads(out)[0]["verdict"] == "same bits"
    assert "1 of 1 were repeated before" in err
    assert len(folder.reproductions(record)) == 1


def test_a_draw_is_printed_and_can_be_repeated(call: Call, folder: ResultsFolder, tmp_path: Path) -> None:
    first = next(r for r in folder.records() if isinstance(r, RunRecord))
    write_submission(tmp_path / "s.zip", [first], folder)
    code, out, err = call("--from", "s.zip", "--sample", "5", "--seed", "3")
    assert code == 0
    assert "1 of 1 runs drawn; --seed 3 draws them again" in err
    assert first.identity[:8] in out
    seeds = {call("--sample", "1", "--fresh")[2].partition("--seed ")[2].split()[0] for _ in range(2)}
    assert len(seeds) == 2  # nobody guesses it
    assert call("--seed", "3")[0] == 2
    folder.remove(first)
    code, _, err = call("--from", "s.zip")
    assert code == 2
    assert "'avbench results accept' files them" in err


def test_scores_that_nobody_obtained_are_not_reproduced(call: Call, folder: ResultsFolder) -> None:
    honest = next(r for r in folder.records() if isinstance(r, RunRecord))
    fake, evidence = dishonest(honest)
    folder.remove(honest)
    folder.save(fake, evidence)
    for record in [r for r in folder.records() if isinstance(r, RunRecord) and r.identity != fake.identity]:
        folder.remove(record)
    code, out, _ = call(fake.identity)
    assert code == 1, out
    assert "not reproduced, repeated beside the answers: " in out
    assert "paired over classes" in out
    assert "0 of 1 runs reproduced" in out


def test_the_seeds_of_the_row_say_what_is_noise(folder: ResultsFolder, tmp_path: Path) -> None:
    records = sorted((r for r in folder.records() if isinstance(r, RunRecord)), key=lambda r: r.configuration.seed)
    one, two = records[:2]
    rows = hm_of_rows(records)
    assert sorted(rows[one.configuration.row]) == sorted(r.outcome.metrics.HM for r in records if r.outcome)
    repeater = Repeater(folder, folder, "me", NONE)
    assert repeater.verdict(one, two, rows).verdict == "within noise"
    told = repeater.verdict(one, two, {one.configuration.row: [0.0, 0.1, 0.2]})
    assert told.noise is not None
    assert (told.verdict, told.noise.test, told.noise.n) == ("not reproduced", "seeds", 3)
    assert "3 seeds" in told.in_words()
    assert repeater.verdict(one, two).noise is not None
    assert repeater.verdict(one, two).noise.test == "classes"  # type: ignore[union-attr]


def test_runs_are_repeated_in_the_way_that_their_records_tell(
    folder: ResultsFolder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Compiled where they were, and alone where each was alone in its steps, which a GPU would not leave to itself."""
    first, second, third = (r for r in folder.records() if isinstance(r, RunRecord))
    told = {"compiled": True, "seeds_at_once": 3}
    second = second.model_copy(update={"measured": second.measured.model_copy(update=told)})
    elsewhere = third.environment.model_copy(update={"device": "cuda (one)"})
    third = third.model_copy(update={"measured": second.measured, "environment": elsewhere})
    ways = []

    def complete(runs: list[PlannedRun], *_: object, in_step: bool | None, **__: object) -> list[object]:
        ways.extend((run.compile, in_step) for run in runs)
        return []

    monkeypatch.setattr("avbench.harness.running.reproduction.complete", complete)
    repeater = Repeater(folder, ResultsFolder(tmp_path / "again"), "me", NONE, device="cpu")
    list(repeater.reproduce([(record, repetition_of(record)) for record in (first, second, third)], {}))
    assert ways == [("off", False), ("on", None), ("auto", None)]


def test_other_code_is_refused_with_the_way_to_install_it(call: Call, folder: ResultsFolder) -> None:
    first = next(r for r in folder.records() if isinstance(r, RunRecord))
    plugin = Plugin(distribution="avbench", version="0.0.9", source_hash=first.configuration.plugin.source_hash)
    other = reconfigured(first, plugin=plugin.model_copy(update={"source_hash": "0" * 64}))
    earlier = first.environment.model_copy(update={"avbench": "0.0.9"})
    other = other.model_copy(update={"code": {}, "environment": earlier})
    folder.save(other, folder.evidence_bytes(first))
    code, _, err = call(other.identity)
    assert code == 5
    assert "has other code than the record's 0.0.9" in err
    assert "pip install 'avbench==0.0.9'" in err
    stranger = reconfigured(first, method="mystery", plugin=plugin.model_copy(update={"distribution": "mystery-box"}))
    folder.save(stranger, folder.evidence_bytes(first))
    folder.remove(first)
    code, _, err = call(stranger.identity)
    assert code == 5
    assert "pip install 'mystery-box==0.0.9'" in err
    evil = plugin.model_copy(update={"distribution": "mystery-box", "version": "1'; rm -rf $HOME #"})
    assert "'mystery-box==1???rm?-rf??HOME??'" in how_to_install(reconfigured(first, plugin=evil))
    loose = reconfigured(first, plugin=plugin.model_copy(update={"distribution": "loose"}))
    assert "ask its author for a package" in how_to_install(loose)


def test_other_features_are_refused(call: Call, folder: ResultsFolder) -> None:
    first = next(r for r in folder.records() if isinstance(r, RunRecord))
    other = reconfigured(first, feature_hash="0" * 64)
    folder.save(other, folder.evidence_bytes(first))
    code, _, err = call(other.identity)
    assert code == 3
    assert "those of the record 000000000000" in err


def test_what_does_not_verify_or_would_lie_among_results_is_refused(call: Call, folder: ResultsFolder) -> None:
    first = next(r for r in folder.records() if isinstance(r, RunRecord))
    assert call(first.identity, "--into", "results")[0] == 2
    assert call(first.identity, "--into", "results/again")[0] == 2
    folder.save(altered(first, parameters=first.outcome.parameters + 1), None)  # type: ignore[union-attr]
    folder.evidence_path(first).unlink()
    code, _, err = call(first.identity)
    assert code == 4
    assert "there is nothing to repeat" in err


def test_records_tell_options_and_presets_of_their_method(folder: ResultsFolder) -> None:
    record = next(r for r in folder.records() if isinstance(r, RunRecord))
    assert record.about is not None
    kind = plugins().method("sje").method.Options
    assert [option.name for option in record.about.options] == list(kind.model_fields)
    assert record.about.year == plugins().method("sje").info.year
    assert any(preset.features == "demo" for preset in record.about.presets)


@pytest.mark.skipif(sandbox.unavailable() is not None, reason=f"no sandbox: {sandbox.unavailable()}")
def test_a_blind_repetition_has_the_bits_of_the_plain_run(call: Call, folder: ResultsFolder) -> None:
    record = next(r for r in folder.records() if isinstance(r, RunRecord))
    code, out, _ = call(record.identity, "--isolation", "sandbox")
    assert code == 0, out
    assert "same bits, repeated blind" in out
    assert "1 of 1 runs reproduced blind" in out
    (told,) = folder.reproductions(record)
    assert isinstance(told, Reproduction)
    assert (told.blind, told.status) == (True, "reproduced blind")
