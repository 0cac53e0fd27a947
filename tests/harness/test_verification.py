from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
import pytest
from simulated_results import TRACKS, altered, configuration_of, reconfigured, record_of, sha256, simulated_run, store

from avbench.harness.evaluation.evidence import Evidence
from avbench.harness.evaluation.metrics import evaluate
from avbench.harness.records.record import Capabilities, Metrics, ProtocolVersion, RunRecord
from avbench.harness.records.results import ResultsFolder, pack_evidence, unpack_evidence
from avbench.harness.records.verification import check, find_split
from avbench.harness.tracks import Track

UCF = Track("ucf", "main")


def reasons(tmp_path: Path, record: RunRecord, evidence: bytes) -> list[str]:
    return check(record, store(tmp_path, [(record, evidence)]))


def with_tables(record: RunRecord, tables: Mapping[str, Evidence]) -> tuple[RunRecord, bytes]:
    """A record made to fit other evidence: hash, and metrics at its offset."""
    assert record.outcome is not None
    evidence = pack_evidence(tables)
    metrics = Metrics(**vars(evaluate(tables["test"], record.outcome.offset, allow_empty=True)))
    return altered(record, evidence=hashlib.sha256(evidence).hexdigest(), metrics=metrics), evidence


def kept(table: Evidence, keep: np.ndarray) -> Evidence:
    arrays = {k: v if k.endswith("_classes") else v[keep] for k, v in table.to_arrays().items()}
    return Evidence.from_arrays(arrays)


@pytest.mark.parametrize("track", TRACKS, ids=str)
@pytest.mark.parametrize("branches", [(), ("audio", "visual")], ids=["single", "branches"])
def test_sound_records_pass(tmp_path: Path, track: Track, branches: tuple[str, ...]) -> None:
    assert reasons(tmp_path, *simulated_run("avca", track, "as-published", 3, branches=branches)) == []


def test_sound_records_on_simulated_added_and_uncalibrated_pass(tmp_path: Path) -> None:
    assert reasons(tmp_path / "1", *simulated_run("avca", Track("vggsound", "demo"), clips=3)) == []
    assert reasons(tmp_path / "2", *simulated_run("avca", Track("ucf", "imagebind"))) == []
    assert check(record_of(configuration_of("avca", UCF, "aligned", 0)), ResultsFolder(tmp_path)) == []


@pytest.mark.parametrize("metric", ["S", "U", "HM", "ZSL", "AUSUC"])
def test_every_metric_is_recomputed(tmp_path: Path, metric: str) -> None:
    record, evidence = simulated_run()
    assert record.outcome is not None
    better = record.outcome.metrics.model_copy(update={metric: getattr(record.outcome.metrics, metric) + 0.01})
    (reason,) = reasons(tmp_path, altered(record, metrics=better), evidence)
    assert reason.startswith(f"{metric} is stated as")


def test_an_offset_chosen_on_test_is_found(tmp_path: Path) -> None:
    record, evidence = simulated_run()
    test = unpack_evidence(evidence, "test")["test"]
    best = max(np.linspace(-2, 4, 200), key=lambda offset: evaluate(test, offset).HM)
    cheat = altered(record, offset=float(best), metrics=Metrics(**vars(evaluate(test, float(best)))))
    assert any(reason.startswith("offset is") for reason in reasons(tmp_path, cheat, evidence))


def test_branch_offsets_are_recomputed_and_averaged(tmp_path: Path) -> None:
    record, evidence = simulated_run("cjme", UCF, "as-published", branches=("audio", "visual"))
    assert record.outcome is not None
    wrong = altered(record, branch_offsets={**record.outcome.branch_offsets, "audio": 2.9})
    assert any(r.startswith("offset of audio is 2.9") for r in reasons(tmp_path / "1", wrong, evidence))
    alone = altered(record, branch_offsets={}, offset=record.outcome.branch_offsets["combined"])
    assert any("the record needs test, validation" in r for r in reasons(tmp_path / "2", alone, evidence))
    aligned, evidence = simulated_run("cjme", UCF, "aligned", branches=("audio",))
    assert any("does not average" in r for r in reasons(tmp_path / "3", aligned, evidence))


def test_scores_that_are_final_need_the_offset_zero(tmp_path: Path) -> None:
    record, evidence = simulated_run()
    final = Capabilities(inputs="averaged", uses_unseen_names=False, generative=False, calibrated_stacking=False)
    found = reasons(tmp_path, record.model_copy(update={"capabilities": final}), evidence)
    assert any("gives 0.0" in reason for reason in found)


def test_the_epoch_must_be_the_best_of_validation(tmp_path: Path) -> None:
    record, evidence = simulated_run("five-epochs", options={"epochs": 5})
    assert record.outcome is not None
    assert reasons(tmp_path / "1", altered(record, epochs=4), evidence) == [
        "epoch 3 has the best validation HM, the record uses 4"
    ]
    assert reasons(tmp_path / "2", altered(record, validation=[]), evidence) == ["there is no validation history"]
    inflated = [e.model_copy(update={"HM": e.HM + 1}) for e in record.outcome.validation]
    found = reasons(tmp_path / "3", altered(record, validation=inflated), evidence)
    assert sum("does not follow from S and U" in reason for reason in found) == 5
    assert any("validation HM is stated" in reason for reason in found)


def test_a_later_epoch_that_is_better_by_rounding_only_is_not_the_best(tmp_path: Path) -> None:
    record, evidence = simulated_run()
    assert record.outcome is not None
    history, best = list(record.outcome.validation), record.outcome.validation[2]
    history[4] = best.model_copy(update={"HM": best.HM * (1 + 1e-15)})
    assert history[4].HM > best.HM
    assert reasons(tmp_path / "1", altered(record, validation=history), evidence) == []
    assert reasons(tmp_path / "2", altered(record, validation=history, epochs=5), evidence) == [
        "epoch 3 has the best validation HM, the record uses 5"
    ]


def _no_evidence(folder: ResultsFolder, record: RunRecord) -> None:
    folder.evidence_path(record).unlink()


def _truncated(folder: ResultsFolder, record: RunRecord) -> None:
    path = folder.evidence_path(record)
    path.write_bytes(path.read_bytes()[:-10])


def _linked(folder: ResultsFolder, record: RunRecord) -> None:
    path = folder.evidence_path(record)
    path.rename(folder.root / "elsewhere")
    path.symlink_to(folder.root / "elsewhere")


@pytest.mark.parametrize(
    ("damage", "word"), [(_no_evidence, "missing"), (_truncated, "hash differs"), (_linked, "not a regular file")]
)
def test_missing_and_broken_evidence(
    tmp_path: Path, damage: Callable[[ResultsFolder, RunRecord], None], word: str
) -> None:
    record, evidence = simulated_run()
    folder = store(tmp_path, [(record, evidence)])
    damage(folder, record)
    (reason,) = check(record, folder)
    assert word in reason


def test_evidence_of_another_run(tmp_path: Path) -> None:
    record, _ = simulated_run(seed=0)
    _, other = simulated_run(seed=1)
    (reason,) = reasons(tmp_path / "1", record, other)
    assert "hash differs" in reason
    rehashed = altered(record, evidence=hashlib.sha256(other).hexdigest())
    assert any("HM is stated as" in r for r in reasons(tmp_path / "2", rehashed, other))


def test_evidence_of_another_track(tmp_path: Path) -> None:
    record, _ = simulated_run(track=UCF)
    _, other = simulated_run(track=Track("ucf", "cls"))
    rehashed = altered(record, evidence=hashlib.sha256(other).hexdigest())
    (reason,) = reasons(tmp_path, rehashed, other)
    assert reason == "test: the search space of test_unseen is not the split's 9 classes (it has 6)"


def test_dropped_clips_are_found_unless_they_are_declared(tmp_path: Path) -> None:
    record, evidence = simulated_run()
    tables = unpack_evidence(evidence, "test")
    test = tables["test"]
    wrong = np.flatnonzero(test.seen_class != test.label)[:1]
    cheat, smaller = with_tables(record, {**tables, "test": kept(test, np.delete(np.arange(test.label.size), wrong))})
    (reason,) = reasons(tmp_path / "1", cheat, smaller)
    assert reason.startswith("test: clips differ from the split in 1 classes")
    part = "test_seen" if test.is_seen[wrong[0]] else "test_unseen"
    clips = int((test.is_seen == test.is_seen[wrong[0]]).sum())
    words = f"{part}: {clips - 1:,} clips, the split has {clips:,}, so 1 too few"
    assert reasons(tmp_path / "2", cheat.model_copy(update={"warnings": [words]}), smaller) == []
    invented = cheat.model_copy(update={"warnings": ["1 clip is missing"]})
    (reason,) = reasons(tmp_path / "3", invented, smaller)
    assert "no warning of the import says so" in reason


def test_repeated_clips_are_found_on_any_real_features(tmp_path: Path) -> None:
    record, evidence = simulated_run("avca", Track("ucf", "imagebind"))
    tables = unpack_evidence(evidence, "test")
    right = np.flatnonzero(tables["test"].seen_class == tables["test"].label)
    everything = np.sort(np.concatenate([np.arange(tables["test"].label.size), right]))
    everything = everything[np.argsort(~tables["test"].is_seen[everything], kind="stable")]
    found = reasons(tmp_path, *with_tables(record, {**tables, "test": kept(tables["test"], everything)}))
    assert any("clips differ from the split" in reason for reason in found)
    assert any("have the very scores of another clip" in reason for reason in found)


def test_a_class_without_clips_is_a_reason(tmp_path: Path) -> None:
    record, evidence = simulated_run("avca", Track("ucf", "demo"), clips=3)
    tables = unpack_evidence(evidence, "test")
    first = tables["test"].label == tables["test"].classes[0]
    (reason,) = reasons(tmp_path, *with_tables(record, {**tables, "test": kept(tables["test"], ~first)}))
    assert "no evaluated clip" in reason


def test_extra_tables_are_refused(tmp_path: Path) -> None:
    record, evidence = simulated_run()
    tables = unpack_evidence(evidence, "test")
    (reason,) = reasons(tmp_path, *with_tables(record, {**tables, "validation.more": tables["validation"]}))
    assert "the record needs test, validation" in reason


def test_unknown_split_protocol_and_data_set(tmp_path: Path) -> None:
    record, evidence = simulated_run()
    other = {
        "unknown split": {"split_fingerprint": sha256("other")},
        "unknown protocol": {"protocol": ProtocolVersion(name="mine", version=1)},
        "protocol aligned has version 1, the record 2": {"protocol": ProtocolVersion(name="aligned", version=2)},
        "unknown split: no split of 'audioset'": {"dataset": "audioset"},
    }
    for word, change in other.items():
        found = reasons(tmp_path, reconfigured(record, **change), evidence)
        assert len(found) == 1
        assert word in found[0]


def test_main_features_under_the_cls_split_are_refused() -> None:
    record, _ = simulated_run(track=Track("ucf", "cls"), clips=2)
    assert find_split(record) is not None
    assert find_split(reconfigured(record, features="main")) is None
    assert find_split(reconfigured(record, features="imagebind")) is not None


def test_demo_features_cannot_be_passed_off_as_real(tmp_path: Path) -> None:
    record, evidence = simulated_run(track=Track("ucf", "demo"), clips=3, simulated=False)
    assert any("are simulated" in reason for reason in reasons(tmp_path, record, evidence))
