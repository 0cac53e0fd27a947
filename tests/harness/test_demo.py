"""The demo features have the properties that make a zero-shot run on them meaningful, shown by a ridge regression."""

from __future__ import annotations

from functools import cache

import numpy as np
import pytest

from avbench.harness.features.demo import MIN_CLIPS, demo
from avbench.harness.features.hashing import content_hash
from avbench.splits import DATASETS, PARTS

HASHES = {
    "ucf": "40d7ba3c4f6370826bdaf15c391257388c1cd78aa36759efdb3e3387ea144711",
    "activitynet": "72f4324aefd28863a2bc8880b893214a0c53441ca22e6e4e420e92ef6f9c9e81",
    "vggsound": "d8394c1cf479997fc26f78bd668752c64b65476aa895e64d05268a10754fc992",
}
features = cache(demo)


def unit(x: np.ndarray) -> np.ndarray:
    return x / np.linalg.norm(x, axis=1, keepdims=True)


@cache
def accuracy(dataset: str, modality: str, part: str, pairing: str = "own") -> float:
    """Mean class accuracy in percent on a test part, among the classes of that part.

    Ridge regression, in closed form, from the clips of stage 2 to the label vectors; nearest label vector by cosine.
    ``pairing``: whose label vector each class gets: its ``own``, by the as-published rule (``permuted``), or that of
    a class half the list away in the evaluated part (``shifted``; training keeps its own).
    """
    demo_set = features(dataset)
    class_id, rows = demo_set.class_id.numpy(), demo_set.rows
    vectors = demo_set.vectors.numpy().astype(np.float64)
    if pairing == "permuted":
        vectors = vectors[list(demo_set.split.permuted_ids)]
    vectors = unit(vectors - vectors.mean(axis=0))
    clips = unit(getattr(demo_set, modality).numpy().astype(np.float64))
    trained = slice(0, rows["val_unseen"].stop)
    clips -= clips[trained].mean(axis=0)
    x, y = clips[trained], vectors[class_id[trained]]
    weights = np.linalg.solve(x.T @ x + np.eye(x.shape[1]), x.T @ y)
    candidates = np.array([c.id for c in demo_set.split.classes_of(part)])
    texts = vectors[np.roll(candidates, len(candidates) // 2) if pairing == "shifted" else candidates]
    predicted = candidates[(clips[rows[part]] @ weights @ texts.T).argmax(axis=1)]
    truth = class_id[rows[part]]
    return float(100 * np.mean([(predicted[truth == c] == c).mean() for c in candidates]))


def chance(dataset: str, part: str) -> float:
    return 100 / len(features(dataset).split.classes_of(part))


@pytest.mark.parametrize("dataset", DATASETS)
def test_parts_hold_the_real_classes_in_order(dataset: str) -> None:
    demo_set = features(dataset)
    assert tuple(demo_set.rows) == PARTS
    stop = 0
    for part, rows in demo_set.rows.items():
        assert rows.start == stop
        stop = rows.stop
        ids, counts = np.unique(demo_set.class_id[rows].numpy(), return_counts=True)
        assert ids.tolist() == [c.id for c in demo_set.split.classes_of(part)]
        assert counts.min() >= (5 if part == "train" else MIN_CLIPS)
        assert demo_set.manifest.counts[part] == rows.stop - rows.start
    assert stop == len(demo_set.class_id) == len(demo_set.audio) == len(demo_set.visual)
    assert 900 <= stop <= 5000


@pytest.mark.parametrize("dataset", DATASETS)
def test_manifest_describes_the_tensors(dataset: str) -> None:
    demo_set = features(dataset)
    manifest = demo_set.manifest
    assert str(demo_set.track) == f"{dataset}/demo"
    assert manifest.simulated
    assert not manifest.warnings
    assert demo_set.audio.shape[1:] == (manifest.audio_dim,) == (128,)
    assert demo_set.visual.shape[1:] == (manifest.visual_dim,) == (256,)
    assert demo_set.vectors.shape == (len(demo_set.split.classes), manifest.text_dim)
    assert manifest.content_hash == content_hash(
        {name: getattr(demo_set, name) for name in ("audio", "visual", "class_id", "vectors")}
    )


@pytest.mark.parametrize("dataset", DATASETS)
def test_bits_are_the_same_everywhere(dataset: str) -> None:
    """Results name their features by this hash: change it knowingly."""
    assert demo(dataset).manifest.content_hash == HASHES[dataset]


def test_another_seed_gives_other_clips_of_the_same_classes() -> None:
    one, other = features("ucf"), demo("ucf", seed=1)
    assert other.manifest.content_hash != one.manifest.content_hash
    assert not np.array_equal(other.visual, one.visual)
    assert not np.array_equal(other.audio, one.audio)
    np.testing.assert_array_equal(other.vectors, one.vectors)
    np.testing.assert_array_equal(other.class_id, one.class_id)


@pytest.mark.parametrize("modality", ["audio", "visual"])
@pytest.mark.parametrize("dataset", DATASETS)
def test_clips_look_like_features_of_a_network(dataset: str, modality: str) -> None:
    clips = getattr(features(dataset), modality).numpy()
    assert clips.dtype == np.float32
    assert np.isfinite(clips).all()
    assert clips.min() == 0
    assert 0.4 < (clips == 0).mean() < 0.6
    assert 0.9 < np.linalg.norm(clips, axis=1).mean() < 1.1
    assert len(np.unique(clips, axis=0)) == len(clips)


@pytest.mark.parametrize(("dataset", "least", "most"), [("ucf", 35, 65), ("activitynet", 20, 60), ("vggsound", 20, 55)])
def test_unseen_classes_are_recognised_but_not_solved(dataset: str, least: float, most: float) -> None:
    zsl = accuracy(dataset, "visual", "test_unseen")
    assert least < zsl < most
    assert zsl > 3 * chance(dataset, "test_unseen")


@pytest.mark.parametrize("dataset", DATASETS)
def test_unseen_classes_are_recognised_through_their_text_only(dataset: str) -> None:
    """With the texts of the unseen classes exchanged among them, nothing is left."""
    own, shifted = (accuracy(dataset, "visual", "test_unseen", pairing) for pairing in ("own", "shifted"))
    assert shifted < 1.5 * chance(dataset, "test_unseen")
    assert shifted < own / 2


@pytest.mark.parametrize("dataset", DATASETS)
def test_seen_classes_are_easier_than_unseen_ones(dataset: str) -> None:
    seen, unseen = (accuracy(dataset, "visual", part) for part in ("test_seen", "test_unseen"))
    assert seen > unseen + 15  # although there are more of them
    assert seen / chance(dataset, "test_seen") > 2 * unseen / chance(dataset, "test_unseen")


@pytest.mark.parametrize("part", ["test_seen", "test_unseen"])
@pytest.mark.parametrize("dataset", DATASETS)
def test_vision_is_stronger_than_audio_and_audio_better_than_chance(dataset: str, part: str) -> None:
    audio, visual = (accuracy(dataset, modality, part) for modality in ("audio", "visual"))
    assert 1.5 * chance(dataset, part) < audio < visual - 10


@pytest.mark.parametrize("dataset", ["ucf", "vggsound"])
def test_the_published_label_defect_costs_unseen_accuracy(dataset: str) -> None:
    """Where it displaces many classes; on ActivityNet it displaces one unseen class of 50."""
    own, permuted = (accuracy(dataset, "visual", "test_unseen", pairing) for pairing in ("own", "permuted"))
    assert permuted < own - 10
