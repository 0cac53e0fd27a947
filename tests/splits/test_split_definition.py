"""Names, digests, fingerprints and the checks on load."""

from __future__ import annotations

import hashlib
import pickle
import shutil
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import avbench.splits
from avbench.splits import ARCHIVE_NAMES, DATASETS, PARTITIONS, PARTS, STAGE_2_TRAIN, SplitError, load_split

# Records carry the fingerprint: a change here makes every stored result one of another split.
FINGERPRINTS = {
    ("ucf", "main"): "af1887ffeac260d6bcc94fc0931df5d619a54c798d073f00b5e03013f46dfd93",
    ("ucf", "cls"): "fa0ee4894b06495799983de88059ae8148d94f55a2e84c4985bfdb992dac08cf",
    ("activitynet", "main"): "3f91738907c5ab2ca18b5fa14fa1a5c2f9ec31c2df1967b164446dd9d58f75fa",
    ("activitynet", "cls"): "d9c1825041d3b77d653d14bfef96aa4d7b93a7ff18e42acf78cb136a696f744c",
    ("vggsound", "main"): "51a253db0a032d56929279570e8c39e6e9c7e752f71ac7e08eccec9c8bacad95",
    ("vggsound", "cls"): "8f131eb0f0fd341c44ce0ffe42feb675d19b2feb25880087c9fbd597c304f912",
}


@pytest.mark.parametrize(("names", "fingerprint"), FINGERPRINTS.items())
def test_fingerprint_is_stable(names: tuple[str, str], fingerprint: str) -> None:
    assert load_split(*names).fingerprint == fingerprint


def test_fingerprint_depends_on_what_a_result_depends_on() -> None:
    split = load_split("ucf", "main")
    first, *others = split.classes
    facts = split.parts["train"]
    changed = [
        replace(split, dataset="activitynet"),
        replace(split, partition="cls"),
        replace(split, classes=(replace(first, name="Apply"), *others)),
        replace(split, classes=(replace(first, prompt="Apply"), *others)),
        replace(split, classes=(replace(first, role="unused"), *others)),
        replace(split, classes=(replace(first, videos={**first.videos, "test_seen": 1}), *others)),
        replace(split, parts={**split.parts, "train": replace(facts, videos=1)}),
        replace(split, parts={**split.parts, "train": replace(facts, digest=None)}),
    ]
    assert len({split.fingerprint, *(other.fingerprint for other in changed)}) == 1 + len(changed)
    assert replace(split, classes=(replace(first, category="face"), *others)).fingerprint == split.fingerprint


def test_a_split_is_loaded_once_hashable_and_picklable() -> None:
    split = load_split("ucf", "main")
    assert load_split("ucf", "main") is split
    copy = pickle.loads(pickle.dumps(split))  # noqa: S301 - our own bytes
    assert copy == split
    assert hash(copy) == hash(split)


def test_archive_names_cover_every_part() -> None:
    assert set(ARCHIVE_NAMES) == {*PARTS, STAGE_2_TRAIN} == set(load_split("ucf", "main").parts)


@pytest.mark.parametrize("dataset", DATASETS)
def test_unseen_classes_are_never_trained(dataset: str) -> None:
    for partition in PARTITIONS:
        split = load_split(dataset, partition)
        train, val_unseen, test_unseen = (set(split.classes_of(p)) for p in ("train", "val_unseen", "test_unseen"))
        assert not train & val_unseen
        assert not (train | val_unseen) & test_unseen
        assert split.classes_of("val_seen") == split.classes_of("train")
        assert split.classes_of(STAGE_2_TRAIN) == split.classes_of("test_seen")
        assert set(split.classes_of("test_seen")) == train | val_unseen


@pytest.mark.parametrize(
    ("dataset", "written", "found"),
    [
        ("ucf", "HandStandPushups", "HandstandPushups"),
        ("activitynet", "archery", "Archery"),
        ("vggsound", "thunder", "thunder"),
    ],
)
def test_find(dataset: str, written: str, found: str) -> None:
    assert load_split(dataset, "main").find(written).name == found


def test_vggsound_names_match_exactly() -> None:
    with pytest.raises(SplitError, match=r"unknown vggsound class 'Thunder'\. Did you mean 'thunder'\?"):
        load_split("vggsound", "main").find("Thunder")


def test_unknown_names_are_refused_with_a_suggestion() -> None:
    with pytest.raises(
        SplitError, match=r"unknown data set 'UFC'\. Did you mean 'ucf'\? Known: ucf, activitynet, vggs"
    ):
        load_split("UFC", "main")
    with pytest.raises(SplitError, match=r"unknown class partition 'clss'\. Did you mean 'cls'\? Known: main, cls\."):
        load_split("ucf", "clss")
    with pytest.raises(SplitError, match=r"unknown part 'test_unsen'\. Did you mean 'test_unseen'\?"):
        load_split("ucf", "main").classes_of("test_unsen")
    with pytest.raises(SplitError, match=r"^unknown ucf class 'Boling'\. Did you mean 'Bowling'\?$"):
        load_split("ucf", "main").find("Boling")


def test_digest_is_the_documented_recipe() -> None:
    rows = [("v2", "bowling"), ("v10", "Archery"), ("v1", "HANDSTANDPUSHUPS")]
    text = "v1\tHandstandPushups\nv10\tArchery\nv2\tBowling"
    assert load_split("ucf", "main").digest(rows) == hashlib.sha256(text.encode()).hexdigest()
    assert load_split("ucf", "main").digest([]) == hashlib.sha256(b"").hexdigest()


_rows = st.lists(
    st.tuples(st.text("ab-_1", max_size=3), st.sampled_from([c.name for c in load_split("ucf", "main").classes])),
    min_size=1,
    max_size=6,
)


@settings(deadline=None, max_examples=50)
@given(rows=_rows, data=st.data())
def test_digest_tells_row_sets_apart_and_ignores_their_order(rows: list[tuple[str, str]], data: st.DataObject) -> None:
    split = load_split("ucf", "main")
    assert split.digest(data.draw(st.permutations(rows))) == split.digest(rows)
    other = data.draw(_rows)
    assert (split.digest(other) == split.digest(rows)) == (sorted(other) == sorted(rows))


@pytest.mark.parametrize("video", ["a\tb", "a\nb", "a\rb"])
def test_digest_refuses_ids_that_could_forge_rows(video: str) -> None:
    with pytest.raises(SplitError, match="tab or line break"):
        load_split("ucf", "main").digest([(video, "Archery")])


@pytest.mark.parametrize(
    ("dataset", "file", "old", "new", "reason"),
    [
        ("ucf", "ucf.csv", "prompt,category", "prompt,kind", "the columns are"),
        ("ucf", "ucf.csv", "117,13,0,15,0", "117,13,0,15", "line 4: not 11 fields"),
        ("ucf", "ucf.csv", "117,13,0,15,0", "117,13,0,15,0,1", "line 4: not 11 fields"),
        ("ucf", "ucf.csv", "117,13,0,15,0", "117,13,0,-15,0", "'-15' is not a number"),
        ("ucf", "ucf.csv", "117,13,0,15,0", "118,13,0,15,0", "the classes of train do not add up to 3174"),
        ("ucf", "ucf.csv", "117,13,0,15,0", "117,0,0,15,0", "'Archery' has the role train but 0 clips in val_seen"),
        ("ucf", "ucf.csv", "Archery,,train", "Archery,,trian", "unknown role 'trian'. Did you mean 'train'?"),
        ("ucf", "ucf.csv", "2,Archery", "3,Archery", "not the ranks of the names"),
        ("ucf", "ucf.csv", "2,Archery", "2,Aachery", "not the ranks of the names"),
        ("ucf", "ucf.csv", "3,BabyCrawling", "3,archery", "not the ranks of the names"),
        ("ucf", "ucf.csv", "Baby Crawling", "Archery", "two classes share a prompt"),
        ("activitynet", "activitynet.csv", "86,Longboarding", "86,LongJump", "two classes share a name"),
        (
            "ucf",
            "parts.csv",
            "ucf,main,val_seen,30",
            "ucf,main,val_seen,31",
            "states 31 classes, the class list has 30",
        ),
        ("ucf", "parts.csv", "ucf,main,val_seen,", "ucf,main,val_sen,", "the parts are"),
        (
            "ucf",
            "parts.csv",
            "train,30,3174,e930ff47",
            "train,30,3174,E930FF47",
            "the digest of train is not a SHA-256",
        ),
        (
            "vggsound",
            "parts.csv",
            "stage_2_train,207,81270",
            "stage_2_train,207,81271",
            "stage-2 training data are not",
        ),
    ],
)
def test_data_that_contradict_themselves_are_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, dataset: str, file: str, old: str, new: str, reason: str
) -> None:
    shutil.copytree(Path(avbench.splits.__file__).parent / "data", tmp_path / "data")
    text = (tmp_path / "data" / file).read_text(encoding="utf-8")
    assert old in text
    (tmp_path / "data" / file).write_text(text.replace(old, new, 1), encoding="utf-8")
    monkeypatch.setattr("avbench.splits.load.resources.files", lambda _: tmp_path)
    with pytest.raises(SplitError) as caught:
        load_split.__wrapped__(dataset, "main")
    assert reason in str(caught.value)
