"""Runs over time: the demo, features of a package's source, and methods that cannot read what a track has."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
import torch

from avbench.harness.cli.planning import planned_runs
from avbench.harness.contract.packed import PackedClips
from avbench.harness.errors import DataError, UsageError
from avbench.harness.evaluation.protocol import PROTOCOLS
from avbench.harness.evaluation.stages import stage_data
from avbench.harness.evaluation.two_stages import run_two_stages
from avbench.harness.features.assemble import Sequences, check, feature_set_over_time
from avbench.harness.features.demo import demo_clips
from avbench.harness.features.demo_temporal import demo_mean, demo_temporal
from avbench.harness.features.featureset import FeatureSet
from avbench.harness.plugins.registry import plugins
from avbench.harness.records.record import Numerics
from avbench.harness.running.runs import plan
from avbench.harness.tracks import Track
from avbench.methods.tcaf import TCaF
from avbench.splits import load_split

TRACK = Track("ucf", "stranger")


def foreign(track: Track = TRACK) -> FeatureSet:
    """Features as the source of a package would make them."""
    split, generator = load_split("ucf", "main"), np.random.default_rng(0)
    class_id, counts = demo_clips(split)
    packed = []
    for width, seconds in ((6, 0.5), (9, 1.0)):
        offsets = np.concatenate([[0], np.cumsum(generator.integers(1, 4, len(class_id)))])
        values = generator.standard_normal((offsets[-1], width), dtype=np.float32)
        packed.append(Sequences(values, offsets.astype(np.int64), seconds))
    vectors = generator.standard_normal((len(split.classes), 5)).astype(np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    return feature_set_over_time(
        track,
        split,
        counts=counts,
        class_id=class_id,
        audio=packed[0],
        visual=packed[1],
        vectors=vectors,
        source="made up",
    )


def test_features_of_a_source_are_checked() -> None:
    check(foreign(), TRACK)
    assert foreign().manifest.content_hash == foreign().manifest.content_hash


def with_offsets(features: FeatureSet, change: Callable[[torch.Tensor], torch.Tensor]) -> FeatureSet:
    assert features.offsets is not None
    return replace(features, offsets=replace(features.offsets, audio=change(features.offsets.audio.clone())))


def nan(features: FeatureSet) -> FeatureSet:
    features.visual[4, 2] = torch.nan
    return features


BROKEN: dict[str, tuple[Callable[[FeatureSet], FeatureSet], str]] = {
    "a clip without a step": (lambda f: with_offsets(f, lambda o: o.index_fill(0, torch.tensor([1]), 0)), "ascend"),
    "other lengths": (lambda f: with_offsets(f, lambda o: shifted(o)), "lengths|content hash"),
    "NaN": (nan, "NaN or infinity"),
    "other steps": (lambda f: replace(f, audio=f.audio + 1), "content hash"),
    "clips that lack without a word": (
        lambda f: replace(f, manifest=f.manifest.model_copy(update={"warnings": ()})),
        "do not say that train: .* the split has",
    ),
    "no offsets": (lambda f: replace(f, offsets=None), "speak of time"),
}


def shifted(offsets: torch.Tensor) -> torch.Tensor:
    long = int((offsets.diff()[1:] > 1).nonzero()[0, 0]) + 1
    offsets[long] += 1
    return offsets


@pytest.mark.parametrize("case", BROKEN)
def test_broken_features_of_a_source_are_refused(case: str) -> None:
    break_, message = BROKEN[case]
    with pytest.raises(DataError, match=message):
        check(break_(foreign()), TRACK)


def test_offsets_of_training_clips_are_copies() -> None:
    """Behind a view, a method would learn how long the clips of the test are."""
    features = foreign()
    held = features.packed()
    clips = stage_data(features, PROTOCOLS["aligned"], stage=1).training_set(unseen_names=False).clips
    assert isinstance(clips, PackedClips)
    for given, whole in (
        (clips.audio_offsets, held.audio_offsets),
        (clips.visual_offsets, held.visual_offsets),
    ):
        assert len(given) < len(whole)
        assert given.untyped_storage().nbytes() == given.nbytes
        before = whole.clone()
        given.zero_()
        assert torch.equal(whole, before)


def test_a_run_over_time_gives_the_same_bits_again() -> None:
    features = foreign()
    options = TCaF.Options(epochs=1, batches_per_epoch=2, batch_size=8, layers=1, hidden_encoder=8, train_steps=2)
    found = [run_two_stages(lambda: TCaF(options), features, PROTOCOLS["aligned"], epochs=1, seed=5) for _ in range(2)]
    for name, array in found[0].evidence["test"].to_arrays().items():
        assert np.array_equal(array, found[1].evidence["test"].to_arrays()[name])


@pytest.mark.parametrize("dataset", ["ucf", "activitynet", "vggsound"])
def test_the_demo_over_time(dataset: str) -> None:
    features, view = demo_temporal(dataset), demo_mean(dataset)
    check(features, features.track)
    check(view, view.track)
    assert features.manifest.simulated
    assert view.manifest.simulated
    assert torch.equal(features.class_id, view.class_id)
    assert features.manifest.time is not None
    assert features.manifest.time.audio.shortest < features.manifest.time.audio.longest
    batch = features.packed().take(torch.arange(40))
    assert batch.time is not None
    means = batch.audio.sum(1) / batch.time.audio_lengths[:, None]
    torch.testing.assert_close(view.audio[:40], means, atol=2e-4, rtol=0)
    assert 1e6 < features.audio.nbytes + features.visual.nbytes < 64e6


def test_what_a_method_cannot_read_is_refused_before_anything_starts() -> None:
    over_time, averaged = Track("ucf", "demo-temporal"), Track("ucf", "demo-temporal.mean")
    with pytest.raises(UsageError, match=r"'avca' reads averaged features.*demo-temporal\.mean"):
        plan(["avca"], [over_time], ["aligned"], [0])
    assert len(plan(["avca", "tcaf"], [averaged], ["aligned"], [0])) == 2
    assert plan(["tcaf"], [over_time], ["aligned"], [0])[0].inputs == "temporal"


def test_all_methods_are_those_that_can_read_the_features() -> None:
    track = Track("ucf", "demo-temporal")
    runs, said = planned_runs(list(plugins().methods), (), [track], ["aligned"], [0], {}, Numerics(), lenient=True)
    methods = {run.configuration.method for run in runs}
    assert {"tcaf", "perceiver", "attention-fusion", "ez-avgzl"} <= methods
    assert not {"avca", "clipclap"} & methods
    assert any("left out" in note for note in said)
