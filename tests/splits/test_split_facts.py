"""Every count of parts and of displaced label vectors, from the shipped data alone."""

from __future__ import annotations

from collections import Counter

import pytest

from avbench.splits import DATASETS, PARTITIONS, STAGE_2_TRAIN, Split, SplitClass, load_split

SOURCE_CLASSES = {"ucf": 101, "activitynet": 200, "vggsound": 309}
SEEN_PARTS = {"train", "val_seen", "val_unseen", "test_seen", STAGE_2_TRAIN}


@pytest.mark.parametrize("partition", PARTITIONS)
@pytest.mark.parametrize(("dataset", "count"), SOURCE_CLASSES.items())
def test_all_source_classes_are_listed(dataset: str, partition: str, count: int) -> None:
    classes = load_split(dataset, partition).classes
    assert [c.id for c in classes] == list(range(count))
    assert [c.name for c in classes] == sorted(c.name for c in classes)


@pytest.mark.parametrize(
    ("dataset", "partition", "used", "test_unseen"),
    [
        ("ucf", "main", 51, 9),
        ("ucf", "cls", 48, 6),
        ("activitynet", "main", 200, 50),
        ("activitynet", "cls", 198, 48),
        ("vggsound", "main", 276, 69),
        ("vggsound", "cls", 271, 64),
    ],
)
def test_classes_used(dataset: str, partition: str, used: int, test_unseen: int) -> None:
    split = load_split(dataset, partition)
    assert sum(c.role != "unused" for c in split.classes) == used
    assert len(split.classes_of("test_unseen")) == split.parts["test_unseen"].classes == test_unseen


@pytest.mark.parametrize("partition", PARTITIONS)
@pytest.mark.parametrize(
    ("dataset", "train", "val_unseen", "stage_2"),
    [("ucf", 30, 12, 42), ("activitynet", 99, 51, 150), ("vggsound", 138, 69, 207)],
)
def test_classes_of_seen_parts(dataset: str, partition: str, train: int, val_unseen: int, stage_2: int) -> None:
    split = load_split(dataset, partition)
    expected = {"train": train, "val_seen": train, "val_unseen": val_unseen, "test_seen": stage_2}
    for part, count in {**expected, STAGE_2_TRAIN: stage_2}.items():
        assert len(split.classes_of(part)) == split.parts[part].classes == count


@pytest.mark.parametrize(
    ("dataset", "train", "val_seen", "val_unseen", "test_seen", "test_unseen", "test_unseen_cls"),
    [
        ("ucf", 3174, 353, 1467, 555, 1267, 845),
        ("activitynet", 9204, 1023, 4307, 1615, 4199, 4052),
        ("vggsound", 70351, 7817, 3102, 9032, 3450, 3200),
    ],
)
def test_videos(
    dataset: str, train: int, val_seen: int, val_unseen: int, test_seen: int, test_unseen: int, test_unseen_cls: int
) -> None:
    for partition, unseen in (("main", test_unseen), ("cls", test_unseen_cls)):
        parts = load_split(dataset, partition).parts
        assert {part: facts.videos for part, facts in parts.items()} == {
            "train": train,
            "val_seen": val_seen,
            "val_unseen": val_unseen,
            "test_seen": test_seen,
            "test_unseen": unseen,
            STAGE_2_TRAIN: train + val_seen + val_unseen,
        }


@pytest.mark.parametrize("partition", PARTITIONS)
@pytest.mark.parametrize("dataset", DATASETS)
def test_only_the_vggsound_training_lists_are_unknown(dataset: str, partition: str) -> None:
    split = load_split(dataset, partition)
    without_digest = {part for part, facts in split.parts.items() if facts.digest is None}
    assert without_digest == ({"train", STAGE_2_TRAIN} if dataset == "vggsound" else set())
    for part in split.parts:
        counts = [c.videos[part] for c in split.classes_of(part)]
        unknown = dataset == "vggsound" and part in ("train", STAGE_2_TRAIN)
        assert (None in counts) == unknown
        if not unknown:
            assert sum(count or 0 for count in counts) == split.parts[part].videos


@pytest.mark.parametrize(
    ("dataset", "val_seen", "val_unseen", "test_seen", "test_unseen"),
    [("ucf", 9, 98, 10, 110), ("activitynet", 5, 50, 6, 45), ("vggsound", 16, 44, 5, 50)],
)
def test_fewest_videos(dataset: str, val_seen: int, val_unseen: int, test_seen: int, test_unseen: int) -> None:
    expected = {"val_seen": val_seen, "val_unseen": val_unseen, "test_seen": test_seen, "test_unseen": test_unseen}
    assert {part: _fewest(load_split(dataset, "main"), part) for part in expected} == expected


@pytest.mark.parametrize(("dataset", "fewest"), [("ucf", 85), ("activitynet", 49)])
def test_fewest_training_videos(dataset: str, fewest: int) -> None:
    assert _fewest(load_split(dataset, "main"), "train") == fewest


@pytest.mark.parametrize(
    ("dataset", "removed"),
    [
        ("ucf", ["BandMarching", "BrushingTeeth", "Typing"]),
        ("activitynet", ["Brushingteeth", "Knitting"]),
        ("vggsound", ["airplane", "helicopter", "sharpen knife", "thunder", "wind chime"]),
    ],
)
def test_cls_leaves_out_some_test_unseen_classes_and_nothing_else(dataset: str, removed: list[str]) -> None:
    main, cls = load_split(dataset, "main"), load_split(dataset, "cls")
    different = [(m, c) for m, c in zip(main.classes, cls.classes, strict=True) if m != c]
    assert [m.name for m, _ in different] == removed
    assert {(m.role, c.role) for m, c in different} == {("test_unseen", "unused")}
    assert all(set(c.videos.values()) == {0} for _, c in different)
    assert all(main.parts[part] == cls.parts[part] for part in SEEN_PARTS)


@pytest.mark.parametrize(
    ("dataset", "everything", "train", "val_unseen", "stage_2", "test_unseen", "test_unseen_cls"),
    [
        ("ucf", 79, 23, 8, 31, 5, 4),
        ("activitynet", 8, 5, 2, 7, 1, 1),
        ("vggsound", 205, 84, 51, 135, 42, 38),
    ],
)
def test_displaced_classes(
    dataset: str, everything: int, train: int, val_unseen: int, stage_2: int, test_unseen: int, test_unseen_cls: int
) -> None:
    seen = {"train": train, "val_seen": train, "val_unseen": val_unseen, "test_seen": stage_2, STAGE_2_TRAIN: stage_2}
    for partition, unseen in (("main", test_unseen), ("cls", test_unseen_cls)):
        split = load_split(dataset, partition)
        assert len(_displaced(split, split.classes)) == everything
        counts = {part: len(_displaced(split, split.classes_of(part))) for part in split.parts}
        assert counts == {**seen, "test_unseen": unseen}


@pytest.mark.parametrize(
    ("dataset", "trained", "test_unseen", "outside"),
    [("ucf", 2, 0, 3), ("activitynet", 1, 0, 0), ("vggsound", 31, 9, 2)],
)
def test_whose_vector_displaced_test_unseen_classes_get(
    dataset: str, trained: int, test_unseen: int, outside: int
) -> None:
    split = load_split(dataset, "main")
    roles = Counter(split.vector_owner(c).role for c in _displaced(split, split.classes_of("test_unseen")))
    assert roles["train"] + roles["val_unseen"] == trained
    assert (roles["test_unseen"], roles["unused"]) == (test_unseen, outside)


def test_ucf_is_one_cycle_of_79() -> None:
    split = load_split("ucf", "main")
    assert split.permuted_ids == (*range(20), *range(21, 99), 20, 99, 100)
    assert split.find("CleanAndJerk").id == 20
    assert split.classes[20].prompt == "Weight Lifting"
    assert split.classes[98].name == "WallPushups"
    assert {c.name: split.vector_owner(c).prompt for c in _displaced(split, split.classes_of("test_unseen"))} == {
        "CuttingInKitchen": "Diving",
        "PlayingFlute": "Playing Guitar",
        "PlayingSitar": "Playing Tabla",
        "ShavingBeard": "Shotput",
        "Typing": "Uneven Bars",
    }


def test_activitynet_is_four_swaps() -> None:
    split = load_split("activitynet", "main")
    pairs = {frozenset((c.name, split.vector_owner(c).name)) for c in _displaced(split, split.classes)}
    assert pairs == {
        frozenset({"Longboarding", "Longjump"}),
        frozenset({"Makinganomelette", "Makingasandwich"}),
        frozenset({"Rock-paper-scissors", "Rockclimbing"}),
        frozenset({"Snowboarding", "Snowtubing"}),
    }
    assert split.vector_owner(split.find("Makinganomelette")).prompt == "Making a sandwich"


def test_vggsound_displacements() -> None:
    split = load_split("vggsound", "main")
    assert sum(c.name != c.prompt for c in split.classes) == 24
    assert split.find("child speech, kid speaking").prompt == "kid speaking"
    right = [c.id for c in split.classes if split.vector_owner(c) is c]
    assert right == [
        i for a, b in ((0, 4), (8, 35), (38, 43), (56, 82), (211, 236), (244, 250), (304, 308)) for i in range(a, b + 1)
    ]
    rank_minus_id = Counter(split.permuted_ids.index(c.id) - c.id for c in split.classes)
    outliers = dict.fromkeys((13, 27, 50, 67, 220, -141, -236), 1)
    assert rank_minus_id == {0: 104, 1: 106, -1: 78, -2: 14, **outliers}


@pytest.mark.parametrize(
    ("dataset", "fold_names", "displaced"), [("ucf", True, 77), ("activitynet", False, 18)], ids=["both", "prompts"]
)
def test_traps_of_a_lower_cased_sort(dataset: str, fold_names: bool, displaced: int) -> None:
    """A reader who lower-cases a sort gets these wrong counts."""
    classes = load_split(dataset, "main").classes
    by_name = sorted(classes, key=lambda c: c.name.lower() if fold_names else c.name)
    by_prompt = sorted(classes, key=lambda c: c.prompt.lower())
    assert sum(a is not b for a, b in zip(by_name, by_prompt, strict=True)) == displaced


def _fewest(split: Split, part: str) -> int:
    return min(c.videos[part] or 0 for c in split.classes_of(part))


def _displaced(split: Split, classes: tuple[SplitClass, ...]) -> list[SplitClass]:
    return [c for c in classes if split.permuted_ids[c.id] != c.id]
