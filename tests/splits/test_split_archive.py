"""The shipped split data against the genuine lists and label vectors, where they are at hand."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
from genuine_archive import FOLDERS, ROOT, class_list, needs_archive, video_list

from avbench.harness.features.legacy import read_label_vectors
from avbench.splits import ARCHIVE_NAMES, DATASETS, PARTITIONS, PARTS, STAGE_2_TRAIN, Split, load_split

pytestmark = needs_archive

SPLITS = [load_split(dataset, partition) for dataset in DATASETS for partition in PARTITIONS]
_each_split = pytest.mark.parametrize("split", SPLITS, ids=lambda split: f"{split.dataset}-{split.partition}")
_each_part = pytest.mark.parametrize("part", ARCHIVE_NAMES)


@_each_part
@_each_split
def test_class_lists(split: Split, part: str) -> None:
    listed = {split.find(name) for name in class_list(split.dataset, split.partition, ARCHIVE_NAMES[part])}
    assert listed == set(split.classes_of(part))


@_each_part
@_each_split
def test_videos_and_digest(split: Split, part: str) -> None:
    classes = set(split.classes_of(part))
    listed = video_list(split.dataset, split.partition, ARCHIVE_NAMES[part])
    assert all(int(row["label_code"]) == split.find(row["label"]).id for row in listed)
    rows = [(row["filename"], row["label"]) for row in listed if split.find(row["label"]) in classes]
    assert Counter(split.find(name).name for _, name in rows) == {c.name: c.videos[part] for c in classes}
    assert len(rows) == len({video for video, _ in rows}) == split.parts[part].videos
    assert split.digest(rows) == split.parts[part].digest


@_each_split
def test_stage_2_training_list_is_the_union(split: Split) -> None:
    stage_2, *parts = (
        [(row["filename"], split.find(row["label"]).id) for row in video_list(split.dataset, split.partition, name)]
        for name in (ARCHIVE_NAMES[part] for part in (STAGE_2_TRAIN, "train", "val_seen", "val_unseen"))
    )
    assert sorted(stage_2) == sorted(row for part in parts for row in part)


@_each_split
def test_no_video_is_in_two_parts(split: Split) -> None:
    public = [part for part in PARTS if split.parts[part].digest is not None]
    videos = [
        row["filename"] for part in public for row in video_list(split.dataset, split.partition, ARCHIVE_NAMES[part])
    ]
    assert len(videos) == len(set(videos))


@pytest.mark.parametrize(
    ("dataset", "displaced", "any_two"),
    [("ucf", 0.333, 0.266), ("activitynet", 0.523, 0.349), ("vggsound", 0.499, 0.396)],
)
def test_mean_cosine_of_wrong_and_right_vector(dataset: str, displaced: float, any_two: float) -> None:
    split = load_split(dataset, "main")
    (path,) = (ROOT / FOLDERS[dataset] / "features" / "main_features" / "text").glob("*.npy")
    by_prompt = read_label_vectors(path.read_bytes(), path.name)
    assert set(by_prompt) == {c.prompt for c in split.classes}
    vectors = np.stack([by_prompt[c.prompt] for c in split.classes]).astype(np.float64)
    cosine = vectors @ vectors.T
    wrong = [(c, owner) for c, owner in enumerate(split.permuted_ids) if c != owner]
    assert np.mean([cosine[pair] for pair in wrong]) == pytest.approx(displaced, abs=6e-4)
    assert cosine[~np.eye(len(cosine), dtype=bool)].mean() == pytest.approx(any_two, abs=6e-4)
