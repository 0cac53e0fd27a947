"""The store: what goes in comes out, mapped and not copied; anything changed on disk is noticed."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import threading
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from simulated_archive import snapshot

from avbench.harness.atomic import FOREIGN_SECONDS
from avbench.harness.errors import DataError, UsageError
from avbench.harness.evaluation.protocol import ALIGNED
from avbench.harness.evaluation.stages import stage_data
from avbench.harness.features.draft import ClipGroup, Draft
from avbench.harness.features.store import Store
from avbench.harness.features.tensorfile import Layout, TensorFile
from avbench.harness.owner import me
from avbench.harness.tracks import Track
from avbench.splits import PARTS, SplitClass, load_split

TRACK = Track("ucf", "tiny")
AUDIO, VISUAL, TEXT = 6, 10, 5


def group(part: str, owner: SplitClass, clips: int, generator: np.random.Generator) -> ClipGroup:
    audio, visual = (generator.standard_normal((clips, w)).astype(np.float32) for w in (AUDIO, VISUAL))
    return ClipGroup(part, owner, tuple(f"{part}-{owner.id}-{i}" for i in range(clips)), lambda: (audio, visual))


def tiny(clips: int = 2, seed: int = 0, **changes: Any) -> Draft:
    """A feature set with few clips; their numbers differ from the split, which the draft has been forgiven."""
    split, generator = load_split("ucf", "main"), np.random.default_rng(seed)
    groups = [group(part, c, clips, generator) for part in PARTS for c in split.classes_of(part)]
    vectors = generator.standard_normal((len(split.classes), TEXT))
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    warnings = tuple(
        f"{part}: {clips * len(members):,} clips, the split has {split.parts[part].videos:,}, so "
        for part in PARTS
        if (members := split.classes_of(part))
    )
    draft = Draft(TRACK, split, "tests", AUDIO, VISUAL, vectors.astype(np.float32), tuple(groups), warnings)
    return replace(draft, **changes)


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "features")


def files(store: Store) -> tuple[Path, Path]:
    (data,) = (store.root / "ucf").glob("tiny*.safetensors")
    return data, store.root / "ucf" / "tiny.json"


def test_round_trip(store: Store) -> None:
    draft = tiny()
    manifest = store.save(draft)
    stored = store.load(TRACK)
    assert stored.manifest == manifest == store.manifest(TRACK) == store.list()[0]
    assert store.tracks() == (TRACK,)
    assert store.size(TRACK) == sum(p.stat().st_size for p in files(store))
    assert manifest.counts == {part: 2 * len(draft.split.classes_of(part)) for part in PARTS}
    assert (manifest.partition, manifest.simulated, manifest.warnings) == ("main", False, draft.warnings)
    audio, visual = (np.concatenate([g.read()[m] for g in draft.groups]) for m in (0, 1))
    np.testing.assert_array_equal(stored.audio.numpy(), audio)
    np.testing.assert_array_equal(stored.visual.numpy(), visual)
    np.testing.assert_array_equal(stored.vectors.numpy(), draft.vectors)
    assert stored.class_id.tolist() == [g.owner.id for g in draft.groups for _ in g.ids]
    assert stored.incomplete


def test_parts_lie_in_order(store: Store) -> None:
    store.save(tiny())
    stored = store.load(TRACK)
    assert list(stored.rows) == list(PARTS)
    starts = [rows.start for rows in stored.rows.values()]
    assert starts == [0, *(rows.stop for rows in stored.rows.values())][:-1]
    for stage, last in ((1, "train"), (2, "val_unseen")):
        training = stage_data(stored, ALIGNED, stage=stage).training_set(unseen_names=False)  # type: ignore[arg-type]
        assert len(training.clips.audio) == stored.rows[last].stop


def test_a_file_with_other_bits_is_not_loaded(store: Store) -> None:
    store.save(tiny())
    audio = store.load(TRACK).audio.numpy().tobytes()
    path, _ = files(store)
    content = path.read_bytes()
    begin = content.index(audio)
    flipped = bytes(byte ^ 0x80 if place % 4 == 3 else byte for place, byte in enumerate(audio))
    path.unlink()  # the mapped one stays as it was
    path.write_bytes(content[:begin] + flipped + content[begin + len(audio) :])
    with pytest.raises(DataError, match="was changed or damaged"):
        store.load(TRACK)


def test_equal_features_have_equal_bytes_wherever_they_come_from(tmp_path: Path) -> None:
    first, second = Store(tmp_path / "a"), Store(tmp_path / "b")
    first.save(tiny())
    second.save(tiny())
    assert snapshot(tmp_path / "a") == snapshot(tmp_path / "b")
    assert first.save(tiny(seed=1), replace=True).content_hash != second.manifest(TRACK).content_hash


def test_loading_maps_the_file(store: Store) -> None:
    """The tensors lie where the system has mapped the file, so a page is read when it is used and not before."""
    store.save(tiny())
    stored = store.load(TRACK)
    ranges = [
        tuple(int(end, 16) for end in line.split()[0].split("-"))
        for line in Path("/proc/self/maps").read_text().splitlines()
        if line.endswith(str(files(store)[0]))
    ]
    for tensor in (stored.audio, stored.visual, stored.vectors, stored.class_id):
        assert any(begin <= tensor.data_ptr() < end for begin, end in ranges)
    assert stored.to(torch.device("cpu")).audio.data_ptr() == stored.audio.data_ptr()


def test_saving_needs_no_memory_for_the_whole(store: Store) -> None:
    """Groups are read one by one: at no time do two of them exist."""
    alive, most = 0, 0

    class Block(np.ndarray):  # type: ignore[type-arg]
        def __del__(self) -> None:
            nonlocal alive
            alive -= self.base is None

    def read() -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        nonlocal alive, most
        blocks = [Block((2, width), np.float32) for width in (AUDIO, VISUAL)]
        for block in blocks:
            block[...] = 1
        alive += 2
        most = max(most, alive)
        return blocks[0], blocks[1]

    draft = tiny()
    store.save(replace(draft, groups=tuple(replace(g, read=read) for g in draft.groups)))
    assert 2 <= most <= 4
    assert most < len(draft.groups)


def test_replacing_must_be_asked_for(store: Store) -> None:
    store.save(tiny())
    before = snapshot(store.root)
    with pytest.raises(DataError, match="ucf/tiny: these features are installed already; --force replaces them"):
        store.save(tiny(seed=1))
    assert snapshot(store.root) == before
    old = store.load(TRACK)
    kept = old.audio.clone()
    store.save(tiny(seed=1), replace=True)
    assert torch.equal(old.audio, kept), "who has the old file open keeps it"
    assert not torch.equal(store.load(TRACK).audio, kept)
    assert len(snapshot(store.root)) == 2


def test_two_at_once_leave_one_sound_feature_set(store: Store) -> None:
    store.save(tiny())
    threads = [
        threading.Thread(target=store.save, args=(tiny(seed=seed),), kwargs={"replace": True}) for seed in range(1, 5)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(snapshot(store.root)) == 2


def test_what_a_killed_import_left_is_swept_at_once(store: Store) -> None:
    store.save(tiny())
    folder = store.root / "ucf"
    dead, living = (folder / f".tiny.{owner}-0.part" for owner in (replace(me(), pid=2**22 + 1), me()))
    for path in (dead, living):
        path.write_bytes(b"x")
    assert store.tracks() == (TRACK,)
    assert store.tidy() == 1
    assert (dead.exists(), living.exists()) == (False, True)


def test_what_an_earlier_version_left_is_swept_after_a_day(store: Store) -> None:
    store.save(tiny())
    old, young = (store.root / "ucf" / f".tiny.safetensors.{name}" for name in ("aaaaaaaa", "bbbbbbbb"))
    for path in (old, young):
        path.write_bytes(b"x")
    past = old.stat().st_mtime - FOREIGN_SECONDS - 1
    os.utime(old, (past, past))
    store.tidy()
    assert (old.exists(), young.exists()) == (False, True)


def test_the_store_of_an_earlier_version_is_read_and_replaced(store: Store) -> None:
    store.save(tiny())
    data, _ = files(store)
    earlier = data.rename(data.with_name("tiny.safetensors"))
    assert store.load(TRACK).manifest == store.manifest(TRACK)
    assert store.size(TRACK) == sum(p.stat().st_size for p in files(store))
    store.tidy()
    assert earlier.exists()
    store.save(tiny(seed=1), replace=True)
    assert not earlier.exists()
    store.remove(TRACK)
    assert snapshot(store.root) == {}


def test_two_that_add_different_features_at_once_are_told_apart(store: Store) -> None:
    """Both saw that nothing was installed; one takes the place, the other is told."""
    first, second = tiny(), tiny(seed=1)

    def meanwhile() -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        if not store.tracks():
            store.save(second)
        return first.groups[0].read()

    late = replace(first, groups=(replace(first.groups[0], read=meanwhile), *first.groups[1:]))
    with pytest.raises(DataError, match="installed already"):
        store.save(late)
    kept = Store(store.root.parent / "other").save(second)
    assert store.manifest(TRACK) == kept
    assert store.load(TRACK).manifest == kept
    assert len(snapshot(store.root)) == 2


def test_a_store_that_cannot_be_looked_into_is_no_empty_store(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    store.save(tiny())
    listdir = os.listdir

    def refused(path: Any) -> list[str]:
        if Path(path) == store.root / "ucf":
            raise PermissionError(13, "Permission denied", str(path))
        return listdir(path)

    monkeypatch.setattr(os, "listdir", refused)
    with pytest.raises(DataError, match="cannot be looked into"):
        store.tracks()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"audio_dim": 7}, r"audio features of train, class 'Archery': shape \(2, 6\), expected \(2, 7\)"),
        ({"visual_dim": 9}, "visual features of train, class 'Archery': shape"),
        ({"groups": ()}, "no clips at all in train, val_seen, val_unseen, test_seen, test_unseen"),
        ({"track": Track("ucf", "../up")}, "names are lower-case letters, digits"),
        ({"track": Track("ucf", "Main")}, "names are lower-case letters"),
        ({"track": Track("ufc", "main")}, "unknown data set 'ufc'. Did you mean 'ucf'"),
    ],
)
def test_refused_drafts(change: dict[str, Any], message: str, store: Store) -> None:
    with pytest.raises(UsageError if "track" in change else DataError, match=message):
        store.save(tiny(**change))
    assert snapshot(store.root) == {}


def test_ids_of_any_length_would_fill_the_disk(store: Store) -> None:
    draft = tiny()
    first = replace(draft.groups[0], ids=("x" * 256, "y"))
    with pytest.raises(DataError, match="a clip id of 256 bytes; at most 255 are stored"):
        store.save(replace(draft, groups=(first, *draft.groups[1:])))
    assert snapshot(store.root) == {}


def test_remove(store: Store) -> None:
    with pytest.raises(DataError, match=r"ucf/tiny: these features are not installed$"):
        store.remove(TRACK)
    store.save(tiny())
    store.remove(TRACK)
    assert store.tracks() == ()
    assert snapshot(store.root) == {}
    with pytest.raises(DataError, match=r"'avbench data add tiny --dataset ucf \.\.\.' stores your own"):
        store.load(TRACK)
    with pytest.raises(DataError, match="'avbench data import PATH' takes them from the public feature archive"):
        store.load(Track("ucf", "main"))


def test_verify(store: Store) -> None:
    store.save(tiny())
    found = store.verify(TRACK)
    assert [problem.partition(":")[0] for problem in found] == list(PARTS), "counts that no warning has told of"
    path = files(store)[1]
    content = json.loads(path.read_text())
    path.write_text(json.dumps(content | {"warnings": found}))
    assert store.verify(TRACK) == ()


def tensor_offsets(path: Path) -> dict[str, int]:
    """Where each tensor begins in a safetensors file."""
    content = path.read_bytes()
    length = int.from_bytes(content[:8], "little")
    header = json.loads(content[8 : 8 + length])
    return {name: 8 + length + entry["data_offsets"][0] for name, entry in header.items() if name != "__metadata__"}


@pytest.mark.parametrize("tensor", ["audio", "visual", "vectors", "video_id", "class_id"])
def test_a_changed_byte_is_found(tensor: str, store: Store) -> None:
    store.save(tiny())
    sound = store.verify(TRACK)
    path = files(store)[0]
    content = bytearray(path.read_bytes())
    place = tensor_offsets(path)[tensor]
    if tensor == "class_id":
        content[place] = load_split("ucf", "main").find("BabyCrawling").id  # belongs to val_unseen
    else:
        content[place] ^= 1
    path.write_bytes(content)
    found = store.verify(TRACK)
    if tensor == "class_id":
        assert re.search("train holds clips of classes that do not belong there; 'avbench data remove", found[0])
        with pytest.raises(DataError, match="train holds clips of classes that do not belong there"):
            store.load(TRACK)
    else:
        assert "the content hash is not that of the manifest: the file was changed or damaged" in found
        assert set(sound) < set(found)


@pytest.mark.parametrize(
    ("tensor", "value", "message"),
    [
        ("audio", np.nan, "audio: 1 clips hold NaN or infinity"),
        ("visual", -np.inf, "visual: 1 clips hold NaN or infinity"),
        ("vectors", 3.0, "label vectors are not of unit norm"),
    ],
)
def test_verify_looks_at_values(tensor: str, value: float, message: str, store: Store) -> None:
    store.save(tiny())
    path = files(store)[0]
    content = bytearray(path.read_bytes())
    place = tensor_offsets(path)[tensor]
    content[place : place + 4] = np.float32(value).tobytes()
    path.write_bytes(content)
    assert any(message in problem for problem in store.verify(TRACK))


def test_verify_finds_an_id_twice(store: Store) -> None:
    store.save(tiny())
    path = files(store)[0]
    content = path.read_bytes()
    path.write_bytes(content.replace(b"train-2-0", b"train-2-1"))
    assert store.verify(TRACK) == ("ucf/tiny: train: 1 clip ids occur more than once (train-2-1)",)


def test_a_clip_in_a_part_where_its_class_has_no_place(store: Store) -> None:
    draft = tiny()
    unseen = draft.split.find("ShavingBeard")
    misplaced = replace(draft.groups[0], owner=unseen)
    store.save(replace(draft, groups=(misplaced, *draft.groups[1:])))
    with pytest.raises(
        DataError, match=r"tiny@\w+\.safetensors: train holds clips of classes that do not belong there"
    ):
        store.load(TRACK)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "broken manifest"),
        (b"{", "broken manifest"),
        (b"[]", "broken manifest"),
        (b"null", "broken manifest"),
        (b"{}", r"broken manifest \('version'\)"),
        (b"\xff\xfe", "broken manifest"),
        (b"[" * 100_000, "broken manifest"),
        (b'{"version": 1}', "broken manifest .Field required"),
        (b'{"version": "2"}', "broken manifest"),
        (b'{"version": 3}', "version 3 of the store is newer than 2; upgrade avbench"),
    ],
)
def test_a_broken_manifest(content: bytes, message: str, store: Store) -> None:
    store.save(tiny())
    files(store)[1].write_bytes(content)
    for use in (store.manifest, store.load):
        with pytest.raises(DataError, match=r"ucf/tiny\.json: " + message) as error:
            use(TRACK)
        if "newer" not in message:
            assert "'avbench data remove ucf/tiny', then 'avbench data add" in str(error.value)
    assert store.verify(TRACK) == (str(error.value),)
    assert store.tracks() == (TRACK,)
    store.remove(TRACK)
    assert snapshot(store.root) == {}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"dataset": "activitynet"}, "the manifest of something else"),
        ({"features": "other"}, "the manifest of something else"),
        ({"counts": {"train": 1}}, "the manifest of something else"),
        ({"counts": dict.fromkeys(PARTS, -1)}, "broken manifest"),
        ({"partition": "third"}, "broken manifest"),
        ({"audio_dim": 0}, "broken manifest"),
        ({"unknown": 1}, "broken manifest"),
        ({"content_hash": "0"}, "broken manifest"),
        ({"audio_dim": 7}, "does not belong to its manifest"),
        ({"content_hash": "0" * 64}, r"tiny@0{12}\.safetensors: damaged or missing"),
        ({"counts": dict.fromkeys(PARTS, 1)}, "does not belong to its manifest"),
    ],
)
def test_a_changed_manifest(change: dict[str, Any], message: str, store: Store) -> None:
    store.save(tiny())
    path = files(store)[1]
    path.write_text(json.dumps(json.loads(path.read_text()) | change))
    with pytest.raises(DataError, match=message):
        store.load(TRACK)


@pytest.mark.parametrize("content", [b"", b"x" * 7, b"\xff" * 100, b"PK\x03\x04" * 100, None])
def test_a_broken_or_missing_data_file(content: bytes | None, store: Store) -> None:
    store.save(tiny())
    path = files(store)[0]
    path.unlink()
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(
        DataError, match=r"tiny@\w+\.safetensors: damaged or missing .*'avbench data remove ucf/tiny', then"
    ):
        store.load(TRACK)


def test_a_data_file_cut_short(store: Store) -> None:
    store.save(tiny())
    path = files(store)[0]
    content = path.read_bytes()
    for end in range(0, len(content), 999):
        path.write_bytes(content[:end])
        with pytest.raises(DataError, match="damaged or missing"):
            store.load(TRACK)


def test_strange_names_in_the_store_are_passed_over(store: Store) -> None:
    store.save(tiny())
    for name in ("UPPER.json", ".hidden.json", "a b.json"):
        (store.root / "ucf" / name).write_text("{}")
    (store.root / "other").mkdir()
    (store.root / "other" / "main.json").write_text("{}")
    assert store.tracks() == (TRACK,)


def test_listing_needs_no_torch(store: Store) -> None:
    store.save(tiny())
    code = (
        "import sys; from pathlib import Path; from avbench.harness.features.store import Store; "
        "print(Store(Path(sys.argv[1])).list()[0].features, 'torch' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code, str(store.root)], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["tiny", "False"]


def test_the_home_of_the_store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AVBENCH_HOME", str(tmp_path))
    assert Store().root == tmp_path / "features"
    monkeypatch.delenv("AVBENCH_HOME")
    assert Store().root.parts[-2:] == ("avbench", "features")


def test_a_tensor_file_wants_every_row_once(tmp_path: Path) -> None:
    with (tmp_path / "f").open("w+b") as stream:
        file = TensorFile(stream, {"a": Layout("<f4", (3, 2))})
        with pytest.raises(ValueError, match="do not fit"):
            file.write("a", 2, np.zeros((2, 2)))
        with pytest.raises(ValueError, match="do not fit"):
            file.write("a", 0, np.zeros((2, 3)))
        file.write("a", 0, np.zeros((2, 2)))
        with pytest.raises(ValueError, match="rows not written"):
            file.finish()
