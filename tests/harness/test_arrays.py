"""``avbench data add``: features of any encoder as plain arrays become a track of their own."""

from __future__ import annotations

import pickle
import re
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from genuine_archive import needs_archive, video_list
from hypothesis import given, settings
from hypothesis import strategies as st
from simulated_arrays import AUDIO, TEXT, VISUAL, ArrayFiles, array_files

from avbench.harness.errors import DataError, UsageError
from avbench.harness.features.arrays import read_arrays
from avbench.harness.features.draft import ID_FORMS, Draft, ListedClips, differences
from avbench.harness.features.store import Store
from avbench.harness.plugins.sources import load_features
from avbench.harness.tracks import Track
from avbench.splits import ARCHIVE_NAMES, DATASETS, PARTS, load_split


def read(files: ArrayFiles, *, name: str = "own", dataset: str = "ucf", allow_missing: bool = True) -> Draft:
    return read_arrays(
        name,
        dataset,
        "main",
        audio=files.audio,
        visual=files.visual,
        clips=files.clips,
        text=files.text,
        text_names=files.text_names if files.text_names.exists() else None,
        allow_missing=allow_missing,
    )


@pytest.fixture
def files(tmp_path: Path) -> ArrayFiles:
    return array_files(tmp_path / "arrays")


def edit(change: Callable[[str], str]) -> Callable[[ArrayFiles], None]:
    def changed(files: ArrayFiles) -> None:
        files.clips.write_text(change(files.clips.read_text("utf-8")), "utf-8")

    return changed


def test_every_row_finds_its_place(files: ArrayFiles, tmp_path: Path) -> None:
    store = Store(tmp_path / "store")
    store.save(read(files))
    stored = store.load(Track("ucf", "own"))
    assert (stored.audio.shape[1], stored.visual.shape[1], stored.vectors.shape[1]) == (AUDIO, VISUAL, TEXT)
    audio, visual = np.load(files.audio), np.load(files.visual)
    table = [line.split(",") for line in files.clips.read_text().splitlines()[1:]]
    order = sorted(
        range(len(table)), key=lambda r: (PARTS.index(table[r][2]), stored.split.find(table[r][1]).id, table[r][0])
    )
    np.testing.assert_array_equal(stored.audio.numpy(), audio[order])
    np.testing.assert_array_equal(stored.visual.numpy(), visual[order])
    assert stored.class_id.tolist() == [stored.split.find(table[r][1]).id for r in order]
    text = np.load(files.text)
    np.testing.assert_allclose(stored.vectors.numpy(), text / np.linalg.norm(text, axis=1, keepdims=True), rtol=1e-6)


@needs_archive
def test_all_clips_of_the_split_give_no_warning(tmp_path: Path) -> None:
    rows = [
        (row["filename"], row["label"], ARCHIVE_NAMES[part] if part == "train" else part)
        for part in PARTS
        for row in video_list("ucf", "main", ARCHIVE_NAMES[part])
    ]
    files = array_files(tmp_path, rows)
    draft = read(files, allow_missing=False)
    assert draft.warnings == ()
    store = Store(tmp_path / "store")
    store.save(draft)
    assert store.verify(Track("ucf", "own")) == ()
    edit(lambda text: text.replace("v_Archery_g01_c01", "v_Archery_g99_c99"))(files)
    with pytest.raises(DataError, match=r"clips\.csv: not the features that the split describes:\s+train: the ids of"):
        read(files, allow_missing=False)


def test_missing_clips_are_told(files: ArrayFiles) -> None:
    with pytest.raises(DataError, match=r"train: 90 clips, the split has 3,174, so 3,084 too few"):
        read(files, allow_missing=False)
    assert len(read(files).warnings) == len(PARTS)


def test_a_table_as_a_spreadsheet_writes_it(files: ArrayFiles) -> None:
    """Byte order mark, other columns, other order, other case of the names."""
    rows = [line.split(",") for line in files.clips.read_text().splitlines()]
    lines = [f"{part},{owner.upper() if owner != 'class' else owner},x,{video}" for video, owner, part in rows]
    wanted = read(files)
    files.clips.write_text("\ufeff" + "\r\n".join(lines).replace(",x,", ",note,", 1), "utf-8")
    assert [(g.part, g.owner, g.ids) for g in read(files).groups] == [(g.part, g.owner, g.ids) for g in wanted.groups]


def test_label_vectors_of_the_used_classes_only(files: ArrayFiles, tmp_path: Path) -> None:
    wanted = read(files).vectors
    split = load_split("ucf", "main")
    used = [c.id for c in split.classes if c.role != "unused"]
    np.save(files.text, np.load(files.text)[used])
    files.text_names.write_text("\n".join(split.classes[i].name for i in used))
    draft = read(files)
    np.testing.assert_array_equal(draft.vectors[used], wanted[used])
    unused = sorted({c.id for c in split.classes} - set(used))
    assert np.isnan(draft.vectors[unused]).all()
    Store(tmp_path / "store").save(draft)
    assert not [p for p in Store(tmp_path / "store").verify(Track("ucf", "own")) if p not in draft.warnings]


def test_label_vectors_are_paired_by_name_not_by_position(files: ArrayFiles) -> None:
    """Case A5: an array in the order of the first 51 source classes was taken for the 51 used ones."""
    wanted, vectors = read(files).vectors, np.load(files.text)
    classes = np.array(files.text_names.read_text().splitlines())
    order = np.random.default_rng(1).permutation(len(classes))
    np.save(files.text, vectors[order])
    files.text_names.write_text("\n".join(classes[order]).upper())
    np.testing.assert_array_equal(read(files).vectors, wanted)
    with files.text.open("wb") as stream:
        np.savez(stream, names=classes[order[::-1]], vectors=vectors[order[::-1]])
    with pytest.raises(DataError, match="brings its own names"):
        read(files)
    files.text_names.unlink()
    np.testing.assert_array_equal(read(files).vectors, wanted)
    with files.text.open("wb") as stream:
        np.savez(stream, names=classes[:51], vectors=vectors[:51])
    with pytest.raises(DataError, match="no finite label vector for 20 used classes"):
        read(files)


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        ({"vectors": np.ones((2, 3))}, "has no arrays names and vectors"),
        ({"vectors": np.ones((2, 3)), "names": np.array(["Archery", 1], object)}, "not a plain NumPy .npz file"),
        ({"vectors": np.ones((2, 3)), "names": np.ones(2)}, "names are float64 values"),
        ({"vectors": np.ones((2, 3), int), "names": np.array(["Archery", "Biking"])}, "holds int64 values"),
        ({"vectors": np.ones((2, 3)), "names": np.array(["x" * 2**18] * 2)}, "larger than label vectors can be"),
    ],
)
def test_bad_archives_of_label_vectors(arrays: dict[str, Any], message: str, files: ArrayFiles) -> None:
    files.text_names.unlink()
    with files.text.open("wb") as stream:
        np.savez_compressed(stream, **arrays)
    with pytest.raises(DataError, match=message):
        read(files)


@pytest.mark.parametrize("source", ["", "x" * 301, "a\x1b[2J", "two\nlines"])
def test_a_source_is_one_printable_line(source: str, files: ArrayFiles) -> None:
    with pytest.raises(UsageError, match="--source: one line"):
        read_arrays(
            "own", "ucf", "main", audio=files.audio, visual=files.visual, clips=files.clips, text=files.text,
            text_names=files.text_names, source=source, allow_missing=True,
        )  # fmt: skip


@pytest.mark.parametrize("name", ["main", "cls", "demo"])
def test_reserved_names(name: str, files: ArrayFiles) -> None:
    with pytest.raises(UsageError, match=f"feature set name '{name}' is reserved"):
        read(files, name=name)


def save(which: str, change: Callable[[np.ndarray], Any]) -> Callable[[ArrayFiles], None]:
    def changed(files: ArrayFiles) -> None:
        path = getattr(files, which)
        np.save(path, change(np.load(path)), allow_pickle=True)

    return changed


def put(which: str, content: bytes | None) -> Callable[[ArrayFiles], None]:
    def changed(files: ArrayFiles) -> None:
        path = getattr(files, which)
        path.unlink()
        if content is not None:
            path.write_bytes(content)

    return changed


def names(one: str, other: str) -> Callable[[ArrayFiles], None]:
    def changed(files: ArrayFiles) -> None:
        files.text_names.write_text(files.text_names.read_text().replace(f"{one}\n", f"{other}\n"))

    return changed


def to_zip(files: ArrayFiles) -> None:
    array = files.audio.read_bytes()
    with zipfile.ZipFile(files.audio, "w") as archive:
        archive.writestr("a.npy", array)


def line(number: int, text: str) -> Callable[[ArrayFiles], None]:
    """Another text for a line of the table, counted from 1."""
    return edit(lambda content: "\n".join([*content.splitlines()[: number - 1], text, *content.splitlines()[number:]]))


BAD: dict[str, tuple[Callable[[ArrayFiles], object], str]] = {
    "too few rows": (save("audio", lambda a: a[:-1]), r"audio\.npy: 368 rows, but .*clips\.csv lists 369 clips"),
    "too many rows": (save("visual", lambda a: np.concatenate([a, a])), r"visual\.npy: 738 rows, but"),
    "objects": (save("audio", lambda a: a.astype(object)), r"audio\.npy: not a plain NumPy"),
    "a pickle": (put("audio", pickle.dumps([1.0])), r"audio\.npy: not a plain NumPy"),
    "pickled text vectors": (save("text", lambda a: {"a": a}), r"text\.npy: not a plain NumPy"),
    "no file": (put("audio", None), r"audio\.npy: not a plain NumPy"),
    "empty": (put("audio", b""), r"audio\.npy: not a plain NumPy"),
    "a broken header": (put("audio", b"\x93NUMPY\x01\x00\x04\x00((((data"), r"audio\.npy: not a plain NumPy"),
    "several arrays": (to_zip, "audio.npy: holds several arrays"),
    "integers": (save("audio", lambda a: a.astype(int)), r"holds int64 values of shape \(369, 16\), expected floats"),
    "one dimension": (save("audio", lambda a: a[:, 0]), r"of shape \(369,\), expected floats of shape \(rows, width\)"),
    "no columns": (save("audio", lambda a: a[:, :0]), r"of shape \(369, 0\)"),
    "NaN": (save("audio", lambda a: a * np.nan), "audio features of train, class 'Archery': 3 of 3 clips hold NaN"),
    "too large": (
        save("visual", lambda a: a.astype("f8") * 1e300),
        "visual features of train, class 'Archery': 3 of 3",
    ),
    "wrong number of vectors": (
        save("text", lambda a: a[:7]),
        r"names\.txt: 101 names for the 7 vectors of .*text\.npy",
    ),
    "vectors without names": (
        put("text_names", None),
        r"text\.npy: vectors without names.*'names' \(classes,\) and 'vectors'.*--text-names FILE",
    ),
    "an unknown name": (
        names("Archery", "Archeri"),
        r"names\.txt: unknown ucf class 'Archeri'. Did you mean 'Archery'",
    ),
    "a name twice": (names("Archery", "Biking"), r"names\.txt: 1 classes are named more than once \(Biking\)"),
    "a name left out": (put("text_names", b"Archery\n"), r"1 names for the 101 vectors"),
    "names that are no text": (put("text_names", b"\xff\xfe"), r"names\.txt: cannot be read"),
    "a list of classes too long": (put("text_names", b"a\n" * 2**20), "which no list of classes is"),
    "a zero vector": (
        save("text", lambda a: a * (np.arange(len(a)) > 0)[:, None]),
        r"the label vectors of 1 of 101 classes are zero \(A",
    ),
    "NaN in a vector": (
        save("text", lambda a: a * np.nan),
        "101 of 101 classes are NaN or infinite",
    ),
    "no table": (put("clips", None), r"clips\.csv: cannot be read"),
    "an empty table": (put("clips", b""), "needs the columns id, class, part"),
    "no column": (edit(lambda t: t.replace("class", "label", 1)), "needs the columns id, class, part"),
    "not UTF-8": (put("clips", b"id,class,part\n\xff\xfe,a,b\n"), r"clips\.csv: cannot be read"),
    "a field without end": (put("clips", b'id,class,part\n"' + b"x" * 200_000), r"clips\.csv: cannot be read"),
    "an unknown class": (line(5, "a,Archeri,train"), r"line 5: unknown ucf class 'Archeri'. Did you mean 'Archery'"),
    "an unknown part": (line(6, "a,Archery,trian"), "line 6: unknown part 'trian'; parts are train, val_seen"),
    "a class in another's part": (
        line(7, "a,ShavingBeard,train"),
        r"line 7: class 'ShavingBeard' \(test_unseen\) has no clips in train",
    ),
    "an unused class": (line(2, "a,YoYo,test_unseen"), r"line 2: class 'YoYo' \(unused\) has no clips in test_unseen"),
    "no id": (line(3, " ,Archery,train"), "line 3: no clip id"),
    "a short line": (line(4, "a"), "line 4: unknown part None"),
    "an unprintable id": (line(4, "a\x1b[2J,Archery,train"), "line 4: no clip id"),
    "an id twice": (
        edit(lambda t: t.replace("train-2-0,", "train-2-1,")),
        r"clips\.csv: train: 1 clip ids occur more than once \(train-2-1\)",
    ),
}


@pytest.mark.parametrize("name", BAD)
def test_bad_input(name: str, files: ArrayFiles, tmp_path: Path) -> None:
    spoil, message = BAD[name]
    spoil(files)
    with pytest.raises(DataError, match=message):
        Store(tmp_path / "store").save(read(files))
    assert not list((tmp_path / "store").rglob("*.*"))


def test_a_list_too_long(files: ArrayFiles) -> None:
    with files.clips.open("r+b") as stream:
        stream.truncate(2**28 + 1)
    with pytest.raises(DataError, match="which no list of clips is"):
        read(files)


@given(flips=st.lists(st.tuples(st.integers(0, 127), st.integers(0, 255)), min_size=1, max_size=5))
@settings(max_examples=100, deadline=None)
def test_changed_headers_raise_nothing_but_data_errors(
    flips: list[tuple[int, int]], tmp_path_factory: pytest.TempPathFactory
) -> None:
    folder = tmp_path_factory.getbasetemp() / "flipped"
    files = ArrayFiles(folder) if folder.is_dir() else array_files(folder)
    sound = files.audio.read_bytes()
    content = bytearray(sound)
    for place, value in flips:
        content[place] = value
    files.audio.write_bytes(content)
    try:
        Store(folder / "store").save(read(files), replace=True)
    except DataError:
        pass
    finally:
        files.audio.write_bytes(sound)


def test_a_method_runs_on_the_added_track(files: ArrayFiles, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from avbench.harness.records.results import ResultsFolder
    from avbench.harness.running.runs import execute, plan

    monkeypatch.setenv("AVBENCH_HOME", str(tmp_path / "home"))
    manifest = Store().save(read(files))
    load_features.cache_clear()
    try:
        (planned,) = plan(["avca"], [Track("ucf", "own")], ["aligned"], [0], {"epochs": 1, "batches_per_epoch": 2})
        record = execute(planned, ResultsFolder(tmp_path / "results"), torch.device("cpu"))
    finally:
        load_features.cache_clear()
    assert record.finished, record.failure
    assert record.configuration.feature_hash == manifest.content_hash
    assert tuple(record.warnings) == manifest.warnings
    assert not record.simulated


def test_scaled_vectors_are_told(tmp_path: Path) -> None:
    files = array_files(tmp_path)
    (note,) = read(files).notes
    assert re.search(r"^101 label vectors were scaled to unit norm \(norms [\d.]+ to [\d.]+\)$", note)
    vectors = np.load(files.text)
    np.save(files.text, vectors / np.linalg.norm(vectors, axis=1, keepdims=True))
    assert not read(files).notes


def test_ids_of_another_form_are_told_the_right_one() -> None:
    split = load_split("ucf", "main")
    groups = [
        ListedClips("test_unseen", c, tuple(f"clip{c.id}-{n}" for n in range(c.videos["test_unseen"] or 0)))
        for c in split.classes_of("test_unseen")
    ]
    found = next(text for text in differences(split, groups, "clips") if text.startswith("test_unseen"))
    assert "they are written as the file's name without its ending, such as v_Archery_g01_c01" in found
    assert set(ID_FORMS) == set(DATASETS)
