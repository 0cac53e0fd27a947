"""Studies: trials that processes share and that outlive them, on validation alone."""

from __future__ import annotations

import os
import signal
import tomllib
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from simulated_features import ridge, simulated_features

from avbench.harness.errors import MethodError, UsageError
from avbench.harness.evaluation.protocol import ALIGNED
from avbench.harness.evaluation.two_stages import Epoch, EpochDone, EpochListener, run_stage_1, run_two_stages
from avbench.harness.features.featureset import FeatureSet
from avbench.harness.plugins.sources import load_features
from avbench.harness.records.planned import PlannedRun
from avbench.harness.records.results import ResultsFolder
from avbench.harness.running.runs import execute
from avbench.harness.tracks import Track
from avbench.harness.tuning import bench as bench_module
from avbench.harness.tuning import tune
from avbench.harness.tuning.bench import Bench
from avbench.harness.tuning.outcome import config_text, outcome
from avbench.harness.tuning.score import Score, difference, over_seeds
from avbench.harness.tuning.search import Sampler, Search, prepare
from avbench.harness.tuning.study import Course, Study
from avbench.harness.tuning.tune import conclude
from avbench.harness.tuning.work import News, TrialEnded, work

UCF = Track("ucf", "demo")
QUICK = {"epochs": 2, "batches_per_epoch": 2, "batch_size": 16}
CPU = torch.device("cpu")


class Hill(Bench):
    """No training: the validation HM is a function of the learning rate and the seed, best at 0.01."""

    def __init__(self, before: Callable[[PlannedRun], None] = lambda _: None) -> None:
        super().__init__(CPU)
        self.before = before
        self.epochs = 0

    def stage_1(self, run: PlannedRun, listener: EpochListener = lambda _: None) -> Any:
        self.before(run)
        c = run.configuration
        top = 60 - 1000 * abs(float(str(c.options["learning_rate"])) - 0.01) + c.seed
        epochs = int(str(c.options["epochs"]))
        for epoch in range(1, epochs + 1):
            self.epochs += 1
            found = Epoch(50, 50, top * epoch / epochs, 0)
            listener(EpochDone(1, epoch, epochs, found))
        return SimpleNamespace(best=found, epochs=epochs)


def sought(*texts: str, seeds: int = 1, sampler: Sampler = "random", method: str = "ale", **given: Any) -> Search:
    return prepare(
        method, [UCF], "aligned", seeds, texts or ["learning_rate=log:1e-4..1e-1"], QUICK | given, sampler=sampler
    )


def values(study: Study) -> list[tuple[object, ...]]:
    return [(t.number, t.state, dict(t.values), t.value) for t in study.trials()]


# stage 1 by itself


def with_nan(features: FeatureSet) -> FeatureSet:
    """The same features, but for those of the test clips."""
    audio, visual = features.audio.clone(), features.visual.clone()
    for part in ("test_seen", "test_unseen"):
        audio[features.rows[part]] = visual[features.rows[part]] = torch.nan
    return replace(features, audio=audio, visual=visual)


def test_stage_1_by_itself_is_stage_1_of_a_run_and_needs_no_test_clip() -> None:
    features = simulated_features()
    whole = run_two_stages(ridge, features, ALIGNED, epochs=3, seed=0)
    for held in (features, features.of_stage_1(), with_nan(features)):
        chosen = run_stage_1(ridge, held, ALIGNED, epochs=3, seed=0)
        assert (chosen.validation, chosen.offset, chosen.epochs) == (whole.validation, whole.offset, whole.epochs)
        assert chosen.best == whole.validation[whole.epochs - 1]
    with pytest.raises(MethodError):
        run_two_stages(ridge, with_nan(features), ALIGNED, epochs=3, seed=0)
    with pytest.raises(KeyError):
        run_two_stages(ridge, features.of_stage_1(), ALIGNED, epochs=3, seed=0)


def test_features_over_time_lose_their_test_clips_too() -> None:
    features = load_features(Track("ucf", "demo-temporal"))
    held = features.of_stage_1()
    clips = features.rows["val_unseen"].stop
    assert held.offsets is not None
    assert len(held.class_id) == len(held.offsets.audio) - 1 == clips < len(features.class_id)
    assert len(held.audio) == held.offsets.audio[-1] < len(features.audio)
    assert torch.equal(
        held.packed().take(torch.tensor([clips - 1])).audio, features.packed().take(torch.tensor([clips - 1])).audio
    )


def test_what_test_clips_are_changes_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    search = sought(seeds=2, sampler="tpe")
    found = []
    for name, change in (("as-they-are", lambda f: f), ("nan", with_nan)):
        monkeypatch.setattr(bench_module, "planned_features", lambda t, _, change=change: change(load_features(t)))
        study = Study(tmp_path / name, "one", search, Course(3))
        bench = Bench(CPU)
        work(study, bench)
        (held,) = bench._held.values()
        assert len(held.audio) == len(held.visual) == len(held.class_id) == held.rows["val_unseen"].stop
        assert set(held.rows) == {"train", "val_seen", "val_unseen"}
        found.append((values(study), [t.scores for t in study.trials()]))
    assert found[0] == found[1]


def test_a_trial_has_the_numbers_of_the_run_that_follows(tmp_path: Path) -> None:
    search = sought("margin=0.1,0.3", sampler="grid")
    study = Study(tmp_path, None, search, Course())
    work(study, Bench(CPU))
    best = outcome(study).best
    (run,) = search.runs_with(best.values)
    record = execute(run, ResultsFolder(tmp_path), CPU)
    assert record.outcome is not None
    assert best.value == record.outcome.validation[record.outcome.epochs - 1].HM


# the search


def test_the_preset_is_the_first_trial(tmp_path: Path) -> None:
    study = Study(tmp_path, None, sought(), Course(3))
    work(study, Hill())
    first, *others = study.trials()
    assert first.preset
    assert first.values == {"learning_rate": 0.001}
    assert not any(t.preset for t in others)


def test_a_preset_outside_the_spaces_is_tried_all_the_same(tmp_path: Path) -> None:
    search = sought("learning_rate=0.01..0.1", sampler="tpe")
    study = Study(tmp_path, None, search, Course(12))
    work(study, Hill())
    preset = study.trials()[0]
    assert preset.preset
    assert preset.values == {}
    assert preset.value == 60 - 1000 * 0.009
    assert all(0.01 <= float(str(t.values["learning_rate"])) <= 0.1 for t in study.trials()[1:])


def test_one_process_searches_in_the_same_way_every_time(tmp_path: Path) -> None:
    search = sought("learning_rate=log:1e-4..1e-1", "margin=0.1,0.2", sampler="tpe")
    whole = Study(tmp_path / "whole", "s", search, Course(12, seed=1))
    work(whole, Hill())
    for trials in (5, 12):
        halves = Study(tmp_path / "halves", "s", search, Course(trials, seed=1))
        work(halves, Hill())
        assert len(halves.trials()) == trials
    other = Study(tmp_path / "other", "s", search, Course(2, seed=2))
    work(other, Hill())
    assert values(whole) == values(halves)
    assert values(whole)[0] == values(other)[0]
    assert values(whole)[1] != values(other)[1]


def test_a_grid_is_tried_whole_and_once(tmp_path: Path) -> None:
    study = Study(
        tmp_path,
        None,
        sought("learning_rate=0.01,0.02", "margin=0.1,0.2,0.3", sampler="grid"),
        Course(),
    )
    assert study.total == 7, "six points, and the preset, which is none of them"
    work(study, Hill())
    tried = [tuple(t.values.values()) for t in study.trials()]
    assert tried == [(), *((rate, margin) for rate in (0.01, 0.02) for margin in (0.1, 0.2, 0.3))]
    with pytest.raises(UsageError, match="takes 7 trials with the preset, more than --trials 6"):
        Study(tmp_path, None, sought("learning_rate=0.01,0.02", "margin=0.1,0.2,0.3", sampler="grid"), Course(6))


def test_pruning_ends_trials_that_lag_behind(tmp_path: Path) -> None:
    search = sought(epochs=4)
    patient, pruning = Hill(), Hill()
    for name, bench, prune in (("all", patient, False), ("pruned", pruning, True)):
        study = Study(tmp_path / name, None, search, Course(14, prune=prune))
        work(study, bench)
        tuning = outcome(study)
        assert tuning.best.values["learning_rate"] == pytest.approx(0.01, rel=0.5)
        assert (tuning.counts["pruned"] > 2) == prune
        assert all(t.value is None for t in tuning.trials if t.state == "pruned")
    assert pruning.epochs < 0.8 * patient.epochs == 0.8 * 14 * 4


def test_a_trial_that_goes_wrong_counts_and_costs_no_other(tmp_path: Path) -> None:
    def breaks(run: PlannedRun) -> None:
        if float(str(run.configuration.options["learning_rate"])) > 0.01:
            raise SystemExit("enough")

    study = Study(tmp_path, None, sought(), Course(9))
    told: list[News] = []
    work(study, Hill(breaks), told.append)
    counts = outcome(study).counts
    assert counts["failed"] > 1 < counts["done"]
    assert sum(counts.values()) == 9 == sum(isinstance(news, TrialEnded) for news in told)
    assert {t.failure for t in study.trials()} == {None, "SystemExit: enough"}

    def unlucky(_: PlannedRun) -> None:
        raise MethodError("no luck")

    nothing = Study(tmp_path, "nothing", sought(), Course(1))
    work(nothing, Hill(unlucky))
    with pytest.raises(MethodError, match="no trial is done; trial 0: no luck"):
        outcome(nothing)


def test_options_that_a_method_refuses_together_are_a_failed_trial(tmp_path: Path) -> None:
    search = sought("output=audio,visual", "modalities=audio,visual", method="avca", sampler="grid", learning_rate=0.01)
    study = Study(tmp_path, None, search, Course())
    work(study, Hill())
    counts = outcome(study).counts
    assert counts == {"done": 3, "pruned": 0, "failed": 2}


def test_several_tracks_have_one_choice_and_the_mean_counts(tmp_path: Path) -> None:
    both = [UCF, Track("activitynet", "demo")]
    search = prepare("ale", both, "aligned", 2, ["learning_rate=0.001,0.01"], QUICK, sampler="grid")
    assert search.subject.objective == "mean validation HM over 2 seeds and 2 tracks"
    study = Study(tmp_path, None, search, Course())
    work(study, Hill())
    tuning = outcome(study)
    assert [(s.track, s.seed) for s in tuning.best.scores] == [(str(t), seed) for t in both for seed in (0, 1)]
    assert tuning.best.value == 60.5
    told = tomllib.loads(config_text(tuning))
    assert (told["dataset"], told["features"]) == (["ucf", "activitynet"], ["demo"])
    assert told["options"] == {**QUICK, "learning_rate": 0.01}


# processes


def joined(results: Path, search: Search, course: Course, said: int) -> int:
    """A child that does trials of a study, and writes a byte for each. Its process id."""

    def told(news: News) -> None:
        if isinstance(news, TrialEnded):
            os.write(said, b".")

    child = os.fork()
    if child == 0:
        try:
            work(Study(results, "shared", search, course), Hill(), told)
            os._exit(0)
        except BaseException as error:
            os.write(2, f"{type(error).__name__}: {error}\n".encode())
            os._exit(1)
    return child


def test_three_processes_share_a_study_and_are_killed_and_resumed(tmp_path: Path) -> None:
    search, course = sought(sampler="random"), Course(60)
    reading, said = os.pipe()
    first = [joined(tmp_path, search, course, said) for _ in range(3)]
    for _ in range(20):
        os.read(reading, 1)
    for child in first:
        os.kill(child, signal.SIGKILL)
    assert {os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) for child in first} == {-signal.SIGKILL}
    second = [joined(tmp_path, search, course, said) for _ in range(3)]
    assert {os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) for child in second} == {0}
    os.close(said)
    os.close(reading)

    study = Study(tmp_path, "shared", search, course)
    trials = study.trials()
    assert len(trials) == 60
    assert {t.state for t in trials} == {"done"}
    everything = study.optuna_study().get_trials()
    assert {t.state.name for t in everything} <= {"COMPLETE", "FAIL"}, "none stays open"
    again = {t.user_attrs["again"]: t for t in everything if "again" in t.user_attrs}
    assert {t.number for t in everything if t.state.name == "FAIL"} == set(again), "what was lost was done again"
    for lost in everything:
        if lost.number in again and lost.params:
            assert again[lost.number].params == lost.params
    assert sum(t.preset for t in trials) == 1
    assert len({str(t.values) for t in trials}) == 60
    assert not list((tmp_path / "tune" / ".claims").glob("*")), "no claim is left"


def test_a_trial_whose_process_dies_again_and_again_has_failed(tmp_path: Path) -> None:
    search, course = sought(), Course(2)
    for _ in range(3):
        child = os.fork()
        if child == 0:
            Study(tmp_path, "deadly", search, course).take()
            os._exit(9)
        os.waitpid(child, 0)
    study = Study(tmp_path, "deadly", search, course)
    work(study, Hill())
    failed, done = study.trials()
    assert failed.failure == "its process died 3 times"
    assert failed.preset
    assert done.state == "done"


def test_an_interrupt_hands_the_open_trial_back(tmp_path: Path) -> None:
    def interrupted(_: PlannedRun) -> None:
        raise KeyboardInterrupt

    study = Study(tmp_path, None, sought(), Course(2))
    for _ in range(4):
        with pytest.raises(KeyboardInterrupt):
            work(study, Hill(interrupted))
        assert study.trials() == []
    work(study, Hill())
    assert [t.state for t in study.trials()] == ["done", "done"]


# what is refused, and what comes out


def test_a_study_of_something_else_is_refused(tmp_path: Path) -> None:
    Study(tmp_path, "mine", sought(), Course(2))
    for other, difference_ in (
        (sought(method="sje"), "is of method ale, not sje"),
        (sought(seeds=2), "is of seeds 1, not 2"),
        (sought("margin=0.1,0.2"), "searches learning_rate=log:0.0001..0.1, not margin=0.1,0.2"),
        (sought(epochs=3), "fixes epochs=2, batches_per_epoch=2, batch_size=16, not epochs=3"),
        (sought(sampler="tpe"), "is of sampler random, not tpe"),
        (
            prepare("ale", [Track("vggsound", "demo")], "aligned", 1, [], QUICK),
            "is of tracks ucf/demo, not vggsound/demo",
        ),
        (prepare("ale", [UCF], "as-published", 1, [], QUICK), "is of protocol aligned version 1, not as-published"),
    ):
        with pytest.raises(UsageError, match="name another with --study") as refused:
            Study(tmp_path, "mine", other, Course(2))
        assert difference_ in str(refused.value)
    changed = sought()
    plugin = changed.subject.plugin.model_copy(update={"source_hash": "0" * 64})
    changed = replace(changed, subject=changed.subject.model_copy(update={"plugin": plugin}))
    with pytest.raises(UsageError, match="whose code has changed"):
        Study(tmp_path, "mine", changed, Course(2))


def test_a_file_that_is_no_study_is_refused(tmp_path: Path) -> None:
    (tmp_path / "tune").mkdir()
    (tmp_path / "tune" / "odd.db").write_text("no database")
    with pytest.raises(UsageError, match="no study that can be read"):
        Study(tmp_path, "odd", sought(), Course(2))
    for name in ("../up", "a b", "x" * 101):
        with pytest.raises(UsageError, match="a name is at most"):
            Study(tmp_path, name, sought(), Course(2))


def test_fresh_seeds_confirm_the_best(tmp_path: Path) -> None:
    search = sought(seeds=2)
    study = Study(tmp_path, None, search, Course(8))
    work(study, Hill())
    tuning = outcome(study)
    assert tuning.gain is not None
    assert tuning.gain.mean == pytest.approx(tuning.best.value - 51.5)  # type: ignore[operator]
    assert "confirm it on seeds that no trial used" in tuning.text()


def test_confirmation_runs_on_seeds_that_follow_and_is_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("avbench.harness.tuning.tune.Bench", lambda _: Hill())
    study = Study(tmp_path, None, sought(seeds=2), Course(8))
    work(study, Hill())
    tuning, _ = conclude(study, CPU, 3)
    assert tuning.confirmation is not None
    assert [s.seed for s in tuning.confirmation.best] == [2, 3, 4] == [s.seed for s in tuning.confirmation.preset]
    assert "the same on 3 fresh seeds: +" in tuning.text()
    assert outcome(study).confirmation == tuning.confirmation


def test_importances_are_told_of_trials_enough(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    study = Study(tmp_path, None, sought("learning_rate=log:1e-4..1e-1", "margin=log:1e-2..1"), Course(4))
    work(study, Hill())
    assert outcome(study).importances == {}
    monkeypatch.setattr("avbench.harness.tuning.outcome.TELLING", 4)
    assert set(outcome(study).importances) == {"learning_rate", "margin"}
    assert "importance: " in outcome(study).text()


@pytest.mark.parametrize(("names", "jobs", "expected"), [(["cuda:0", "cuda:1"], 2, [0, 0, 1, 1]), (["cuda:1"], 1, [])])
def test_each_device_has_processes_of_its_own(
    names: list[str], jobs: int, expected: list[int], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[str] = []
    monkeypatch.setattr(tune, "work_in_processes", lambda orders, _: asked.extend(order.device for order in orders))
    monkeypatch.setattr(tune, "Bench", lambda _: Hill())
    study = Study(tmp_path, None, sought(), Course(1))
    tune.search_through(study, [torch.device(name) for name in names], jobs)
    assert asked == [f"cuda:{number}" for number in expected]


def test_intervals_are_over_seeds_and_paired() -> None:
    one = [Score("a", seed, 10.0 + seed, 1) for seed in range(3)] + [
        Score("b", seed, 20.0 + seed, 1) for seed in range(3)
    ]
    other = [replace(score, HM=score.HM - 2) for score in one]
    found = over_seeds(one)
    assert found.mean == 16
    assert found.half == pytest.approx(4.302652729911275 / 3**0.5)
    assert difference(one, other).mean == 2
    assert difference(one, other).half == 0
    assert over_seeds(one[:1]).half is None
