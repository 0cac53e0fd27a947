"""Forged submissions, made of simulated records: each is refused, and by which rule, or needs training to unmask.

Every forgery is self-consistent as far as its author could make it. A genuine run of the same method and features is
filed already. The table in docs/trust.md is the list below.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from simulated_results import altered, reconfigured, simulated_run, store

from avbench.harness.cli import main
from avbench.harness.errors import RecordError
from avbench.harness.evaluation.evidence import Evidence
from avbench.harness.evaluation.metrics import evaluate
from avbench.harness.plugins.declared import OTHER_CODE, OTHER_VERSION, said_by_methods
from avbench.harness.records.finding import nothing_declared
from avbench.harness.records.gate import judge_folder
from avbench.harness.records.marks import ALIKE_SEEDS, CONFLICT, OTHER_PRESETS, SAME_SEEDS
from avbench.harness.records.record import (
    About,
    Metrics,
    Numerics,
    ProtocolVersion,
    RunRecord,
    ToldOption,
    parse_record,
)
from avbench.harness.records.results import ResultsFolder, pack_evidence, unpack_evidence
from avbench.harness.records.submission import accept_submission, write_submission
from avbench.harness.tracks import Track

UCF = Track("ucf", "main")
OWN = Track("ucf", "imagebind")
"""Features that somebody made."""
Run = tuple[RunRecord, bytes]
Change = Callable[[Evidence], Evidence]
DOCS = Path(__file__).parents[2] / "docs" / "trust.md"


def genuine(method: str = "avca", track: Track = UCF, seed: int = 0) -> Run:
    return simulated_run(method, track, seed=seed, options={}, clips=5 if track.simulated else None)


def refitted(run: Run, change: Callable[[Evidence], Evidence], **fields: Any) -> Run:
    """The run with other test evidence, and the numbers and hash that follow from it."""
    record, evidence = run
    tables = unpack_evidence(evidence, "forged")
    tables["test"] = change(tables["test"])
    packed = pack_evidence(tables)
    assert record.outcome is not None
    metrics = Metrics(**vars(evaluate(tables["test"], record.outcome.offset, allow_empty=True)))
    forged = altered(record, evidence=hashlib.sha256(packed).hexdigest(), metrics=metrics)
    return forged.model_copy(update=fields), packed


def rows(table: Evidence, keep: np.ndarray) -> Evidence:
    return Evidence.from_arrays({k: v if k.endswith("_classes") else v[keep] for k, v in table.to_arrays().items()})


def right(table: Evidence) -> np.ndarray:
    return np.where(table.is_seen, table.seen_class, table.unseen_class) == table.label


def metric(name: str) -> Callable[[], Run]:
    def forge() -> Run:
        record, evidence = genuine(seed=1)
        assert record.outcome is not None
        higher = record.outcome.metrics.model_copy(update={name: getattr(record.outcome.metrics, name) + 1})
        return altered(record, metrics=higher), evidence

    return forge


def offset_of_the_test() -> Run:
    record, evidence = genuine(seed=1)
    test = unpack_evidence(evidence, "forged")["test"]
    best = float(max(np.linspace(-2, 4, 100), key=lambda offset: evaluate(test, offset).HM))
    return altered(record, offset=best, metrics=Metrics(**vars(evaluate(test, best)))), evidence


def swapped_labels() -> Run:
    def change(table: Evidence) -> Evidence:
        label = table.label.copy()
        wrong = np.flatnonzero(~right(table))
        label[wrong] = label[np.roll(wrong, 1)]
        return Evidence(**{**table.to_arrays(), "label": label})

    return refitted(genuine(seed=1), change)


def copied_right_clips() -> Run:
    def change(table: Evidence) -> Evidence:
        source, good = np.arange(table.label.size), right(table)
        for owner in table.classes:
            members = np.flatnonzero(table.label == owner)
            if good[members].any():
                source[members[~good[members]]] = members[good[members]][0]
        return rows(table, source)

    return refitted(genuine(seed=1), change)


def dropped(table: Evidence) -> Evidence:
    wrong = np.flatnonzero(~right(table) & table.is_seen)[:1]
    return rows(table, np.delete(np.arange(table.label.size), wrong))


def dropped_with_the_right_words(track: Track = UCF, seed: int = 1, drop: Change = dropped) -> Run:
    run = genuine(track=track, seed=seed)
    test = unpack_evidence(run[1], "")["test"]
    seen = int(test.is_seen.sum())
    words = f"test_seen: {seen - 1:,} clips, the split has {seen:,}, so 1 too few"
    return refitted(run, drop, warnings=[words])


def another_dropped(table: Evidence) -> Evidence:
    wrong = np.flatnonzero(~right(table) & table.is_seen)[-1:]
    return rows(table, np.delete(np.arange(table.label.size), wrong))


def few_bits(run: Run) -> Run:
    record, evidence = run
    return reconfigured(record, numerics=Numerics(precision="bfloat16")), evidence


def one_bit_changed(table: Evidence) -> Evidence:
    score = table.unseen_score.copy()
    score[:1] = np.nextafter(score[:1], np.float32(np.inf))
    return Evidence(**{**table.to_arrays(), "unseen_score": score})


def one_seed_as_two_but_for_a_bit() -> Run:
    return refitted(one_seed_as_two(), one_bit_changed)


def published(method: str, *branches: str) -> Callable[[], Run]:
    return lambda: simulated_run(method, UCF, "as-published", 1, options={}, branches=branches)


def short_history() -> Run:
    record, evidence = genuine(seed=1)
    assert record.outcome is not None
    return altered(record, validation=record.outcome.validation[:5]), evidence


def no_options() -> Run:
    record, evidence = genuine(seed=1)
    return reconfigured(record, options={}), evidence


def ran_on(**changes: Any) -> Callable[[], Run]:
    def forge() -> Run:
        record, evidence = genuine(seed=1)
        return record.model_copy(update={"environment": record.environment.model_copy(update=changes)}), evidence

    return forge


def other_code() -> Run:
    return plugin(source_hash="0" * 64)()


def a_version_that_never_was() -> Run:
    record, evidence = plugin(version="0.0.9")()
    older = record.environment.model_copy(update={"avbench": "0.0.9"})
    return record.model_copy(update={"environment": older}), evidence


def repeated_right_clips() -> Run:
    return refitted(
        genuine(seed=1), lambda t: rows(t, np.sort(np.append(np.arange(t.label.size), np.flatnonzero(right(t))[:3])))
    )


def one_seed_as_two() -> Run:
    record, evidence = genuine(seed=0)
    return reconfigured(record, seed=1), evidence


def another_split() -> Run:
    record, evidence = genuine(seed=1)
    return reconfigured(record, split_fingerprint="ab" * 32), evidence


def another_protocol() -> Run:
    record, evidence = genuine(seed=1)
    return reconfigured(record, protocol=ProtocolVersion(name="aligned", version=2)), evidence


def plugin(**changes: Any) -> Callable[[], Run]:
    def forge() -> Run:
        record, evidence = genuine(seed=1)
        return reconfigured(record, plugin=record.configuration.plugin.model_copy(update=changes)), evidence

    return forge


def renamed(slug: str, distribution: str, seed: int) -> Callable[[], Run]:
    def forge() -> Run:
        record, evidence = genuine(seed=seed)
        owner = record.configuration.plugin.model_copy(update={"distribution": distribution})
        return reconfigured(record, method=slug, plugin=owner), evidence

    return forge


def options(**changes: Any) -> Callable[[], Run]:
    def forge() -> Run:
        record, evidence = genuine(seed=1)
        return reconfigured(record, options={**record.configuration.options, **changes}), evidence

    return forge


def capability(method: str, **changes: Any) -> Callable[[], Run]:
    def forge() -> Run:
        record, evidence = genuine(method, seed=1)
        return record.model_copy(update={"capabilities": record.capabilities.model_copy(update=changes)}), evidence

    return forge


def measured(**changes: Any) -> Callable[[], Run]:
    def forge() -> Run:
        record, evidence = genuine(seed=1)
        return record.model_copy(update={"measured": record.measured.model_copy(update=changes)}), evidence

    return forge


def outcome(**changes: Any) -> Callable[[], Run]:
    def forge() -> Run:
        record, evidence = genuine(seed=1)
        return altered(record, **changes), evidence

    return forge


def with_fields(**changes: Any) -> Callable[[], Run]:
    def forge() -> Run:
        record, evidence = genuine(seed=1)
        return record.model_copy(update=changes), evidence

    return forge


def fewer_classes() -> Run:
    def change(table: Evidence) -> Evidence:
        gone = table.unseen_classes[-1]
        keep = (table.label != gone) & (table.unseen_class != gone)
        arrays = rows(table, keep).to_arrays()
        return Evidence.from_arrays({**arrays, "unseen_classes": table.unseen_classes[:-1]})

    return refitted(genuine(seed=1), change)


def evidence_of_another_run() -> Run:
    return genuine(seed=1)[0], genuine(seed=2)[1]


def demo_as_real() -> Run:
    record, evidence = genuine(track=Track("ucf", "demo"), seed=1)
    return record.model_copy(update={"simulated": False}), evidence


def better_numbers_for_a_filed_run() -> Run:
    def change(table: Evidence) -> Evidence:
        return Evidence(**{**table.to_arrays(), "unseen_score": table.unseen_score + np.float32(0.01)})

    return refitted(genuine(seed=0), change)


def inflated_history() -> Run:
    record, evidence = genuine(seed=1)
    assert record.outcome is not None
    return altered(record, validation=[e.model_copy(update={"HM": 99.0}) for e in record.outcome.validation]), evidence


def extra_table() -> Run:
    record, evidence = genuine(seed=1)
    tables = unpack_evidence(evidence, "forged")
    packed = pack_evidence({**tables, "validation.more": tables["validation"]})
    return altered(record, evidence=hashlib.sha256(packed).hexdigest()), packed


FORGERIES: Mapping[str, tuple[Callable[[], Run], str]] = {
    "S raised by a point": (metric("S"), "S is stated as"),
    "U raised by a point": (metric("U"), "U is stated as"),
    "HM raised by a point": (metric("HM"), "HM is stated as"),
    "ZSL raised by a point": (metric("ZSL"), "ZSL is stated as"),
    "AUSUC raised by a point": (metric("AUSUC"), "AUSUC is stated as"),
    "offset chosen on the test clips": (offset_of_the_test, "the validation evidence gives"),
    "labels swapped among clips, counts kept": (swapped_labels, "not in the order of evidence"),
    "wrong clips replaced by copies of right ones": (copied_right_clips, "the very scores of another clip"),
    "wrong clips dropped": (lambda: refitted(genuine(seed=1), dropped), "clips differ from the split"),
    "wrong clips dropped, a warning invented": (
        lambda: refitted(genuine(seed=1), dropped, warnings=["clips are missing"]),
        "no warning of the import says so",
    ),
    "wrong clips dropped, with the very warning": (dropped_with_the_right_words, "has other clips or warnings"),
    "right clips counted twice": (repeated_right_clips, "clips differ from the split"),
    "an unseen class left out": (fewer_classes, "the search space of test_unseen"),
    "one seed's evidence as another seed": (one_seed_as_two, "has the evidence of seed 0"),
    "a use of unseen names denied": (capability("ez-avgzl", uses_unseen_names=False), "uses_unseen_names is True"),
    "calibration denied": (capability("avca", calibrated_stacking=False), "calibrated_stacking is True"),
    "an option that does not exist": (options(luck=7), "avca has no option luck"),
    "an option out of bounds": (options(learning_rate=99), "option learning_rate of avca"),
    "more epochs than the options allow": (options(epochs=1), "its options allow 1"),
    "another epoch than the best": (outcome(epochs=4), "has the best validation HM"),
    "no validation history": (outcome(validation=[]), "there is no validation history"),
    "a validation history that does not follow": (inflated_history, "does not follow from S and U"),
    "the year 9999": (measured(started="9999-12-31T00:00:00Z"), "in the future"),
    "the year 1970": (measured(started="1970-01-01T00:00:00Z"), "before 2020"),
    "no date": (measured(started="yesterday"), "which is no date"),
    "stages longer than the run": (measured(seconds=1.0), "longer than the run"),
    "a split of its own": (another_split, "unknown split"),
    "another version of the protocol": (another_protocol, "protocol aligned has version 1"),
    "a built-in name for another package's code": (plugin(distribution="mine"), "is a method of avbench"),
    "a method that avbench does not have": (renamed("super", "avbench", 1), "has no method 'super'"),
    "parts of the code that do not give its hash": (
        with_fields(code={"avca": "0" * 64}),
        "does not follow from the parts",
    ),
    "demo features as real ones": (demo_as_real, "are simulated"),
    "evidence of another run": (evidence_of_another_run, "hash differs"),
    "a table more in the evidence": (extra_table, "the record needs test, validation"),
    "wrong clips dropped on features of one's own": (
        lambda: refitted(genuine(track=OWN), dropped),
        "clips differ from the split",
    ),
    "the same, a warning invented": (
        lambda: refitted(genuine(track=OWN), dropped, warnings=["clips are missing"]),
        "no warning of the import says so",
    ),
    "copies of right clips, in few bits": (
        lambda: few_bits(copied_right_clips()),
        "the very scores of another clip",
    ),
    "one seed's evidence as another seed, but for a bit": (one_seed_as_two_but_for_a_bit, "has the evidence of seed 0"),
    "a method that trains said to train nothing": (outcome(parameters=0), "tells of no parameters"),
    "offsets averaged over branches that the method lacks": (
        published("avca", "audio", "visual"),
        "has the branches none",
    ),
    "other branches than the method's": (published("cjme", "audio", "lucky"), "has the branches audio, visual"),
    "one of the branches left out": (published("cjme", "audio"), "has the branches audio, visual"),
    "all branches left out": (published("cjme"), "has the branches audio, visual"),
    "fewer epochs than the options say": (short_history, "trains 50 epochs with these options"),
    "a variant that does not exist": (with_fields(variant="nonsense"), "avca has no variant"),
    "a variant's name for the presets": (
        with_fields(variant="modality=audio"),
        "no option is as variant modality=audio of avca sets it",
    ),
    "no options": (no_options, "lacks options of avca"),
    "options in another spelling": (options(batch_size="256"), "not written as it writes them"),
    "a run that ended in the future": (measured(seconds=9.9e8), "ended in the future"),
    "a run that took no time": (
        measured(seconds=0.0, seconds_stage_1=0.0, seconds_stage_2=0.0),
        "it took no time",
    ),
    "more memory than any machine has": (measured(peak_memory_bytes=10**17), "more than a process can address"),
    "more parameters than its memory holds": (outcome(parameters=10**12), "parameters in 1,073,741,824 bytes"),
    "a torch that does not exist": (ran_on(torch="99"), "torch has no version"),
    "a torch of the far future": (ran_on(torch="99.0.1"), "torch has no version"),
    "a Python that avbench does not run on": (ran_on(python="2.7.18"), "python has no version"),
    "another avbench than the method's": (ran_on(avbench="0.0.9"), "but avbench 0.0.9 ran it"),
}
AT_THE_DOOR: Mapping[str, tuple[Callable[[], Run], str]] = {
    "somebody's run under another name": (renamed("mine", "mine", 0), "is that of a run of method avca"),
    "somebody's run under another name, but for a bit": (
        lambda: refitted(renamed("mine", "mine", 0)(), one_bit_changed),
        "is that of a run of method avca",
    ),
    "better numbers for a filed run": (better_numbers_for_a_filed_run, "one identity, two results"),
    "a time below zero": (measured(seconds=-1.0), "measured.seconds"),
    "a time of 30,000 years": (measured(seconds=1e12), "measured.seconds"),
}
"""Refused when they come in: afterwards nobody knows who was first, or what lies there is no record."""
MARKED: Mapping[str, tuple[Callable[[], Run], str]] = {
    "made-up code of the installed version": (other_code, OTHER_CODE),
    "a version of avbench that never was": (a_version_that_never_was, OTHER_VERSION),
}
"""Not refused, because genuine runs look the same, but said beside the number."""


def trains_nothing(run: Run, seed: int) -> Run:
    """The run as a seed of a method that nobody has installed, which says that it trains nothing."""
    record, evidence = run
    owner = record.configuration.plugin.model_copy(update={"distribution": "mine"})
    renamed = reconfigured(record, method="mine", plugin=owner, options={"gamma": 1.0}, seed=seed)
    assert record.outcome is not None
    return altered(renamed, parameters=0, validation=record.outcome.validation[2:3], epochs=1), evidence


def last_bits_moved(run: Run, times: int) -> Run:
    def change(table: Evidence) -> Evidence:
        arrays = dict(table.to_arrays())
        for name in ("seen_score", "unseen_score"):
            for _ in range(times):
                arrays[name] = np.nextafter(arrays[name], np.float32(np.inf))
        return Evidence.from_arrays(arrays)

    return refitted(run, change)


ROWS_MARKED: Mapping[str, tuple[Callable[[], list[Run]], str]] = {
    "one run as several seeds of a method said to train nothing": (
        lambda: [trains_nothing(genuine(), seed) for seed in range(3)],
        SAME_SEEDS,
    ),
    "the same, the last bits of the scores changed": (
        lambda: [trains_nothing(last_bits_moved(genuine(), seed), seed) for seed in range(3)],
        ALIKE_SEEDS,
    ),
}
"""The same of all seeds of a row. Methods that train nothing look like that, and nobody can tell whether one does."""


@pytest.fixture(scope="module")
def filed() -> Run:
    return genuine(seed=0)


@pytest.mark.parametrize("what", FORGERIES)
def test_a_forgery_is_refused_by_its_rule_at_every_door(tmp_path: Path, filed: Run, what: str) -> None:
    forge, rule = FORGERIES[what]
    record, evidence = forge()
    folder = store(tmp_path / "board", [filed, (record, evidence)])
    records = [r for r in folder.records() if isinstance(r, RunRecord)]
    verdicts = judge_folder(folder, records, said_by_methods)
    assert any(rule in reason for reason in verdicts.reasons[record.identity]), verdicts.reasons[record.identity]
    assert not verdicts.reasons[filed[0].identity]
    with pytest.raises(RecordError) as caught:
        submit(tmp_path, record, evidence, store(tmp_path / "other", [filed]))
    assert rule in str(caught.value)


@pytest.mark.parametrize("what", AT_THE_DOOR)
def test_a_forgery_is_refused_at_the_door(tmp_path: Path, filed: Run, what: str) -> None:
    forge, rule = AT_THE_DOOR[what]
    with pytest.raises(RecordError) as caught:
        submit(tmp_path, *forge(), store(tmp_path / "board", [filed]))
    assert rule in str(caught.value)


def test_an_edited_configuration_is_no_record(filed: Run) -> None:
    content = filed[0].model_dump(mode="json")
    content["configuration"]["seed"] = 5
    with pytest.raises(RecordError, match="identity does not follow"):
        parse_record(content, "forged.json")


@pytest.mark.parametrize("what", MARKED)
def test_what_genuine_runs_look_like_is_marked(tmp_path: Path, what: str) -> None:
    forge, mark = MARKED[what]
    record, evidence = forge()
    verdicts = judge_folder(store(tmp_path, [(record, evidence)]), [record], said_by_methods)
    assert not verdicts.reasons[record.identity]
    assert verdicts.marks[record.identity] == (mark,)


@pytest.mark.parametrize("what", ROWS_MARKED)
def test_seeds_that_are_alike_are_marked_whatever_they_say_of_training(tmp_path: Path, what: str) -> None:
    forge, mark = ROWS_MARKED[what]
    runs = forge()
    verdicts = judge_folder(store(tmp_path, runs), [record for record, _ in runs], said_by_methods)
    assert not any(verdicts.reasons.values())
    assert [verdicts.marks.get(record.identity) for record, _ in runs] == [(mark,)] * len(runs)


def test_seeds_that_are_alike_beside_others_are_marked_and_the_others_are_not(tmp_path: Path) -> None:
    runs = [trains_nothing(last_bits_moved(genuine(), seed), seed) for seed in range(2)]
    runs.append(trains_nothing(genuine(seed=5), 2))
    verdicts = judge_folder(store(tmp_path, runs), [record for record, _ in runs], said_by_methods)
    assert not any(verdicts.reasons.values())
    assert [verdicts.marks.get(record.identity) for record, _ in runs] == [(ALIKE_SEEDS,), (ALIKE_SEEDS,), None]


def conflicting() -> tuple[list[Run], Run]:
    """Two seeds on incomplete features of one's own, and junk on the same ones, told to be older."""
    genuine = [dropped_with_the_right_words(OWN, seed) for seed in range(2)]
    record, evidence = dropped_with_the_right_words(OWN, 2, another_dropped)
    early = record.model_copy(update={"measured": record.measured.model_copy(update={"started": "2021-01-01"})})
    return genuine, (early, evidence)


def test_junk_with_a_date_of_long_ago_puts_out_no_genuine_run(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Who is right cannot be known from a folder: all stay, each says so, and so does ``verify``."""
    there, junk = conflicting()
    runs = [*there, junk]
    records = [record for record, _ in runs]
    verdicts = judge_folder(store(tmp_path, runs), records, said_by_methods)
    assert not any(verdicts.reasons.values())
    assert verdicts.conflicts.keys() == {record.identity for record in records}
    (dispute,) = verdicts.disputes
    sides = [tuple(record.identity for record, _ in there), (junk[0].identity,)]
    assert sorted(dispute.sides) == sorted(sides)
    for record in records:
        assert any(mark.startswith(CONFLICT) for mark in verdicts.marks[record.identity])
    with pytest.raises(SystemExit, match="1"):
        main(["results", "verify", "--results", str(tmp_path)])
    assert capsys.readouterr().out.count("has other clips or warnings") == 3


def test_a_date_of_long_ago_lets_nothing_in_that_contradicts_what_is_filed(tmp_path: Path) -> None:
    there, junk = conflicting()
    with pytest.raises(RecordError, match="states the same features, but has other clips or warnings"):
        submit(tmp_path, *junk, store(tmp_path / "board", there))


def test_a_record_that_is_not_sound_contradicts_nothing(tmp_path: Path) -> None:
    there, junk = conflicting()
    lie = altered(junk[0], offset=99.0), junk[1]
    records = [record for record, _ in (*there, lie)]
    verdicts = judge_folder(store(tmp_path, [*there, lie]), records, said_by_methods)
    assert not verdicts.conflicts
    assert [r.identity for r in records if verdicts.reasons[r.identity]] == [lie[0].identity]


def test_a_stranger_who_says_that_nothing_is_trained_still_needs_seeds(tmp_path: Path) -> None:
    record, evidence = renamed("mine", "mine", 0)()
    seeds = [(altered(reconfigured(record, seed=seed), parameters=0), evidence) for seed in range(3)]
    verdicts = judge_folder(store(tmp_path, seeds), [r for r, _ in seeds], said_by_methods)
    assert [bool(verdicts.reasons[r.identity]) for r, _ in seeds] == [False, True, True]


def test_three_junk_records_do_not_outvote_a_genuine_one(tmp_path: Path, filed: Run) -> None:
    junk = [refitted(genuine("ale", seed=seed), dropped, warnings=[f"clip {seed} is missing"]) for seed in range(3)]
    folder = store(tmp_path, [filed, *junk])
    verdicts = judge_folder(folder, [filed[0], *(r for r, _ in junk)], said_by_methods)
    assert not verdicts.reasons[filed[0].identity]
    assert all(verdicts.reasons[r.identity] for r, _ in junk)


def test_two_methods_with_one_result_both_stay_and_say_so(tmp_path: Path, filed: Run) -> None:
    twin = reconfigured(genuine("hyper-alignment")[0], seed=0).model_copy(update={"outcome": filed[0].outcome})
    folder = store(tmp_path, [filed, (twin, filed[1])])
    verdicts = judge_folder(folder, [filed[0], twin], said_by_methods)
    assert not any(verdicts.reasons.values())
    assert verdicts.marks[filed[0].identity] == ("identical to hyper-alignment",)
    assert verdicts.marks[twin.identity] == ("identical to avca",)


def test_a_row_is_identical_to_another_only_where_all_its_runs_are(tmp_path: Path, filed: Run) -> None:
    own = [genuine("hyper-alignment", seed=seed) for seed in (1, 2)]
    twin = genuine("hyper-alignment", seed=0)[0].model_copy(update={"outcome": filed[0].outcome})
    runs = [filed, (twin, filed[1]), *own]
    verdicts = judge_folder(store(tmp_path, runs), [record for record, _ in runs], said_by_methods)
    assert not any(verdicts.reasons.values())
    assert verdicts.marks == {
        filed[0].identity: ("identical to hyper-alignment",),  # its only run
        twin.identity: ("1 of 3 runs identical to avca",),
    }


def test_a_row_of_the_same_method_is_named_by_what_differs(tmp_path: Path, filed: Run) -> None:
    record, evidence = filed
    options = record.configuration.options
    other = reconfigured(record, options={**options, "learning_rate": 0.5})
    other = other.model_copy(update={"outcome": record.outcome})
    verdicts = judge_folder(store(tmp_path, [filed, (other, evidence)]), [record, other], nothing_declared)
    assert verdicts.marks[record.identity] == ("identical to avca (learning_rate=0.5)",)
    plain = f"identical to avca (learning_rate={options['learning_rate']})"
    assert verdicts.marks[other.identity] == (plain,)


def swapped_seeds() -> list[Run]:
    (one, first), (two, second) = genuine(seed=0), genuine(seed=1)
    return [
        (one.model_copy(update={"outcome": two.outcome}), second),
        (two.model_copy(update={"outcome": one.outcome}), first),
    ]


def invented_predictions() -> list[Run]:
    def change(table: Evidence) -> Evidence:
        seen = np.where(table.is_seen, table.label, table.seen_class).astype(np.int32)
        return Evidence(**{**table.to_arrays(), "seen_class": seen})

    return [refitted(genuine(seed=0), change)]


@pytest.mark.parametrize("forge", [swapped_seeds, invented_predictions])
def test_what_needs_training_to_unmask_passes(tmp_path: Path, forge: Callable[[], list[Run]]) -> None:
    runs = forge()
    verdicts = judge_folder(store(tmp_path, runs), [r for r, _ in runs], said_by_methods)
    assert not any(verdicts.reasons.values())


def test_the_docs_list_them_all() -> None:
    text = DOCS.read_text("utf-8")
    for what, (_, rule) in {**FORGERIES, **AT_THE_DOOR}.items():
        assert f"| {what} | {rule} |" in text
    for what, (_, mark) in [*MARKED.items(), *ROWS_MARKED.items()]:
        assert f"| {what} | marked: {mark} |" in text


def submit(tmp_path: Path, record: RunRecord, evidence: bytes, board: ResultsFolder) -> None:
    """Pack the run without a check, as a cheat would, and hand it in."""
    theirs = store(tmp_path / "theirs", [(record, evidence)])
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("avbench.harness.records.submission._refuse", lambda record, reasons: None)
        write_submission(tmp_path / "s.zip", [record], theirs)
    accept_submission(tmp_path / "s.zip", board, said_by_methods)


def test_runs_of_one_code_that_tell_other_presets_are_marked(tmp_path: Path) -> None:
    """A method that is not installed: its record tells the presets by which a board calls its options off preset."""

    def telling(rate: float, seed: int, default: float) -> Run:
        option = ToldOption(name="rate", type="number", default=default)
        about = About(title="Mine", summary="", citation="", options=[option])
        return simulated_run("mine", OWN, seed=seed, options={"rate": rate}, about=about)

    def marked(folder: Path, *runs: Run) -> list[bool]:
        marks = judge_folder(store(folder, runs), [record for record, _ in runs], said_by_methods).marks
        return [OTHER_PRESETS in marks.get(record.identity, ()) for record, _ in runs]

    assert marked(tmp_path / "honest", telling(0.1, 0, 0.1), telling(0.2, 1, 0.1)) == [False, False]
    assert marked(tmp_path / "tuned", telling(0.1, 0, 0.1), telling(0.2, 1, 0.2)) == [True, True]
