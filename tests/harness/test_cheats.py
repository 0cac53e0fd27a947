"""Ten methods that cheat: what is impossible, what comes to nothing, and what is told of as outside the boundary.

The table in docs/protocols.md says the same; a cheat that is "outside" works here, so that nobody believes otherwise.
"""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from simulated_cheats import (
    Collector,
    Disk,
    Frames,
    Loader,
    Oracle,
    Positions,
    ProgressObject,
    Storage,
    Tracebacks,
    attributes,
)
from simulated_features import Ridge, RidgeOptions, ridge, simulated_features

from avbench.harness.errors import MethodError
from avbench.harness.evaluation import stages
from avbench.harness.evaluation.evidence import TEST, Evidence, reduce_scores
from avbench.harness.evaluation.fit_progress import FitProgress, opaque
from avbench.harness.evaluation.protocol import ALIGNED
from avbench.harness.evaluation.shown_order import ShownOrder
from avbench.harness.evaluation.stages import stage_data
from avbench.harness.evaluation.two_stages import Result, run_two_stages
from avbench.harness.features.featureset import FeatureSet

CHANCE = 15.0
"""HM that no method without knowledge reaches on 51 classes; a cheat that works has 100."""
DOCS = Path(__file__).parents[2] / "docs" / "protocols.md"


def run(kind: type[Ridge], features: FeatureSet) -> Result:
    return run_two_stages(lambda: kind(RidgeOptions()), features, ALIGNED, epochs=2, seed=0)


@pytest.fixture
def hard() -> FeatureSet:
    """Features that an honest method learns little from."""
    return simulated_features(noise=20.0)


@pytest.mark.parametrize("shuffled", [False, True])
def test_positions_are_impossible(hard: FeatureSet, shuffled: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in (("split", hard.split), ("clips_per_class", 3), ("shuffled", shuffled)):
        monkeypatch.setattr(Positions, name, value, raising=False)
    assert run(Positions, hard).metrics.ZSL < 2 * CHANCE
    assert run(Positions, hard).metrics.HM < CHANCE


def test_the_order_follows_from_the_clips_alone(hard: FeatureSet) -> None:
    """Other labels, another order in the store, other runs: the same clips are shown in the same order."""
    rows = stage_data(hard, ALIGNED, stage=2).rows
    audio, visual = hard.audio[rows], hard.visual[rows]
    shown = audio[torch.from_numpy(ShownOrder.of(audio, visual).order())]
    mixed = torch.randperm(len(rows))
    again = audio[mixed][torch.from_numpy(ShownOrder.of(audio[mixed], visual[mixed]).order())]
    assert torch.equal(shown, again)
    labels = hard.class_id[rows][torch.from_numpy(ShownOrder.of(audio, visual).order())].double()
    place = torch.arange(len(rows)).double()
    assert abs(np.corrcoef(labels, place)[0, 1]) < 4 / len(rows) ** 0.5


def test_clips_without_any_difference_are_shown_in_an_order_of_chance() -> None:
    same = ShownOrder.of(torch.zeros(50, 3), torch.ones(50, 2))
    orders = {tuple(same.order().tolist()) for _ in range(5)}
    assert len(orders) == 5
    assert all(sorted(order) == list(range(50)) for order in orders)


@pytest.mark.parametrize("rows", [1, 13, 271, 8191])
def test_the_bits_do_not_depend_on_the_order_of_the_store(rows: int) -> None:
    """Scores of the last rows of a batch may differ in their last bit by their place: the order must not move them."""
    generator = torch.Generator().manual_seed(0)
    audio, visual, map_ = (torch.randn(n, m, generator=generator) for n, m in ((rows, 33), (rows, 65), (98, 51)))

    def scores(keep: torch.Tensor) -> bytes:
        a, v = audio[keep], visual[keep]
        order = torch.from_numpy(ShownOrder.of(a, v).order())
        found = torch.empty(rows, 51)
        found[keep[order]] = torch.tanh(torch.cat([a[order], v[order]], 1) @ map_).softmax(1)
        return found.numpy().tobytes()

    plain = scores(torch.arange(rows))
    assert all(scores(torch.randperm(rows)) == plain for _ in range(10))


def test_evidence_is_in_canonical_order(hard: FeatureSet) -> None:
    for table in run(Ridge, hard).evidence.values():
        seen = np.isin(table.label, table.seen_classes)
        assert (np.diff(seen.astype(int)) <= 0).all()
        for side in (seen, ~seen):
            assert (np.diff(table.label[side]) >= 0).all()


def test_evidence_in_canonical_order_holds_the_scores_of_its_clips(hard: FeatureSet) -> None:
    stage, method = stage_data(hard, ALIGNED, stage=2), ridge()
    method.fit(stage.training_set(unseen_names=False), FitProgress(1, torch.device("cpu"), 0, lambda _: 0.0))
    found = stage.evidence(method)
    scores = method.predict(
        stages.Clips(hard.audio[stage.rows], hard.visual[stage.rows]), stage.classes(stage.candidates, stage.seen)
    )
    ids = [c.id for c in stage.candidates]
    expected = reduce_scores(scores, ids, [c in stage.seen for c in stage.candidates], hard.class_id[stage.rows])
    np.testing.assert_allclose(found.seen_score, expected.seen_score, rtol=1e-5)
    assert np.array_equal(found.label, expected.label)
    assert np.array_equal(found.seen_class, expected.seen_class)


def test_what_the_harness_raises_leads_nowhere(hard: FeatureSet) -> None:
    assert run(Tracebacks, hard).metrics.HM < CHANCE


def test_the_progress_object_leads_nowhere(hard: FeatureSet) -> None:
    assert run(ProgressObject, hard).metrics.HM < CHANCE

    class Holder:
        secret = object()

        def answer(self, method: object) -> float:
            return float(self.secret is not None)

    holder = Holder()
    reachable = list(attributes(FitProgress(1, torch.device("cpu"), 0, opaque(holder.answer))))
    assert not any(value is holder or value is Holder.secret for value in reachable)
    open_one = list(attributes(FitProgress(1, torch.device("cpu"), 0, holder.answer)))
    assert any(value is holder for value in open_one)  # the search would have found it


def test_nothing_lies_behind_the_training_clips(hard: FeatureSet) -> None:
    Storage.behind.clear()
    run(Storage, hard)
    assert Storage.behind == [0] * 8


PLUGIN = """
from avbench.harness.contract.method import Method, MethodInfo
from avbench.harness.contract.options import Options
from avbench.harness.plugins.hookspecs import hookimpl
KEPT = []
class Keeper(Method):
    info = MethodInfo(slug="keeper", title="K", year=2026, summary="s", citation="c")
    def fit(self, train, progress):
        self.runs_before = len(KEPT)
    def predict(self, clips, classes):
        import torch
        KEPT.append(clips)
        if self.runs_before > 1:  # one request belongs to the first stage of its own run
            raise RuntimeError(f"holds {self.runs_before} sets of clips")
        return torch.zeros(len(clips), len(classes)) - torch.arange(len(classes)) % 7
    def state(self): return {}
    def load_state(self, state): ...
@hookimpl
def avbench_methods(): return [Keeper]
"""


def test_module_globals_end_with_the_run(tmp_path: Path) -> None:
    """An installed package whose module keeps the test clips: with two seeds in one command, neither finds any."""
    (tmp_path / "keeper_mod.py").write_text(PLUGIN)
    info = tmp_path / "keeper-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: keeper\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[avbench]\nkeeper = keeper_mod\n")
    (info / "RECORD").write_text("keeper_mod.py,,\n")
    (info / "top_level.txt").write_text("keeper_mod\n")
    command = ["run", "--method", "keeper", "--dataset", "ucf", "--features", "demo", "--seeds", "2", "--json"]
    code = "import sys; from avbench.harness.cli import main; sys.argv[0] = 'avbench'; main()"
    done = subprocess.run(
        [sys.executable, "-c", code, *command, "--results", str(tmp_path / "results"), "--device", "cpu"],
        env={"PYTHONPATH": str(tmp_path), "PATH": "/usr/bin:/bin", "HOME": str(tmp_path), "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    records = json.loads(done.stdout)
    assert [r["configuration"]["seed"] for r in records] == [0, 1]
    assert all(r["failure"] is None for r in records)


def test_the_oracle_answers_once_an_epoch(hard: FeatureSet) -> None:
    """And only about validation clips, which stage 2 trains on anyway: the test is scored once, after the last fit."""
    with pytest.raises(MethodError, match="more epochs than the 2"):
        run(Oracle, hard)


def test_a_tensor_that_takes_part_in_its_reduction_is_refused(hard: FeatureSet) -> None:
    class Sly(torch.Tensor):
        pass

    class Returns(Ridge):
        def predict(self, clips: stages.Clips, classes: stages.Classes) -> torch.Tensor:
            return super().predict(clips, classes).as_subclass(Sly)

    with pytest.raises(MethodError, match="must return a tensor, not Sly"):
        run(Returns, hard)


@pytest.mark.parametrize("kind", [Collector, Frames, Loader])
def test_code_in_the_same_process_is_outside_the_boundary(
    kind: type[Ridge], hard: FeatureSet, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Loader, "source", hard, raising=False)
    features = replace(hard)  # the only one in the process, but for what other tests left
    monkeypatch.setattr("gc.get_objects", lambda: [features])
    assert run(kind, features).metrics.HM == 100


def test_a_patched_reduction_is_outside_the_boundary(hard: FeatureSet, monkeypatch: pytest.MonkeyPatch) -> None:
    def patched(scores: torch.Tensor, ids: list[int], seen: list[bool], labels: np.ndarray) -> Evidence:
        right = torch.tensor(ids) == torch.tensor(labels)[:, None]
        return reduce_scores(right.float(), ids, seen, labels)

    monkeypatch.setattr(stages, "reduce_scores", patched)
    assert run(Ridge, hard).metrics.HM == 100


def test_the_file_system_is_outside_the_boundary(
    hard: FeatureSet, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Disk, "path", tmp_path / "kept.json", raising=False)
    result = run(Disk, hard)
    kept = json.loads((tmp_path / "kept.json").read_text())
    assert len(kept) == len(result.evidence[TEST].label)


def test_the_docs_tell_of_all_ten() -> None:
    text = DOCS.read_text("utf-8")
    table = text[text.index("## What a plugin could try") : text.index("## A run apart from the answers")]
    told = [line.split("|")[2].strip() for line in table.splitlines() if line.startswith("| ")][1:]
    assert sorted(told) == sorted(["impossible"] * 4 + ["caught"] * 1 + ["outside"] * 5)
