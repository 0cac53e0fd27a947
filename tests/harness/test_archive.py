"""Import of the public archive: what comes in is what was there, and bad input leaves no trace."""

from __future__ import annotations

import csv
import errno
import os
import re
import shutil
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import h5py
import numpy as np
import pytest
import torch
from genuine_archive import ROOT, needs_archive
from simulated_archive import made_up, simulate, snapshot, write_class, write_vectors, zipped

from avbench.harness.errors import DataError
from avbench.harness.features import archive as archive_module
from avbench.harness.features import store as store_module
from avbench.harness.features.archive import find_sets, read_set
from avbench.harness.features.archive_files import opened
from avbench.harness.features.draft import Draft
from avbench.harness.features.manifest import Manifest
from avbench.harness.features.store import Store
from avbench.harness.features.tensorfile import TensorFile
from avbench.harness.plugins.sources import load_features
from avbench.harness.tracks import Track
from avbench.splits import ARCHIVE_NAMES, PARTS, PartFacts, Split, load_split

UCF = Track("ucf", "main")
CLIPS = 2
"""Clips per class and part of the made-up archives."""


def import_all(path: Path, root: Path, *, allow_missing: bool = False, force: bool = False) -> list[Manifest]:
    """Import every feature set of an archive, as the command does."""
    with opened(path) as folder:
        return [
            Store(root).save(read_set(found, allow_missing=allow_missing), replace=force) for found in find_sets(folder)
        ]


@pytest.fixture(scope="module")
def made_up_ucf(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return made_up(tmp_path_factory.mktemp("made_up"), "ucf", "main", clips=CLIPS)


@pytest.fixture
def archive(made_up_ucf: Path, tmp_path: Path) -> Path:
    """A made-up archive of UCF main, free to be broken."""
    return shutil.copytree(made_up_ucf, tmp_path / "archive")


@pytest.fixture
def place(archive: Path) -> Path:
    return archive / "UCF" / "features" / "main_features"


@pytest.fixture(scope="module")
def draft(made_up_ucf: Path) -> Draft:
    with opened(made_up_ucf) as folder:
        return read_set(find_sets(folder)[0], allow_missing=True)


@pytest.fixture(scope="module")
def made_up_store(draft: Draft, tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("store")
    Store(root).save(draft)
    return root


@pytest.fixture
def filled(made_up_store: Path, tmp_path: Path) -> Path:
    """A store that holds UCF main already; a failed import must not change a byte of it."""
    return shutil.copytree(made_up_store, tmp_path / "filled")


# ---- the genuine names and sizes ----------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def genuine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """UCF main and cls at their genuine size, and the folders that an import must pass over."""
    target = tmp_path_factory.mktemp("genuine")
    for features in ("main", "cls"):
        simulate(target, "ucf", features)
    stage_2 = target / "UCF" / "features" / "main_features" / "audio" / "stage_2_train"
    stage_2.mkdir()
    (stage_2 / "Archery.h5").write_bytes(b"never read")
    caches = target / "UCF" / "_features_processed" / "main_features"
    caches.mkdir(parents=True)
    (caches / "cache.pkl").write_bytes(b"never read")
    yield target
    shutil.rmtree(target)


@needs_archive
def test_genuine_names_from_a_folder(genuine: Path, tmp_path: Path) -> None:
    main, cls = sorted(import_all(genuine, tmp_path), key=lambda m: m.partition, reverse=True)
    assert (main.partition, main.audio_dim, main.visual_dim, main.text_dim) == ("main", 512, 512, 300)
    assert (cls.partition, cls.audio_dim, cls.visual_dim, cls.text_dim) == ("cls", 128, 4096, 300)
    assert list(main.counts.values()) == [3174, 353, 1467, 555, 1267]
    assert list(cls.counts.values()) == [3174, 353, 1467, 555, 845]
    assert main.warnings == cls.warnings == ()
    store = Store(tmp_path)
    assert store.verify(UCF) == store.verify(Track("ucf", "cls")) == ()
    shutil.rmtree(tmp_path)


@needs_archive
def test_removed_classes_are_left_out_and_said(genuine: Path) -> None:
    with opened(genuine) as folder:
        cls, main = (read_set(found) for found in find_sets(folder))
    assert main.notes == ()
    (note,) = cls.notes
    assert note == "stage_2_test_unseen: left out 3 classes that this partition removes (" + (
        "BandMarching, BrushingTeeth, Typing)"
    )
    assert not {"BandMarching", "BrushingTeeth", "Typing"} & {group.owner.name for group in cls.groups}


@needs_archive
def test_a_zip_gives_the_same_features(genuine: Path, tmp_path: Path) -> None:
    prefix = "download/avgzsl_benchmark_datasets/"
    only_main = tmp_path / "only_main"
    shutil.copytree(genuine, only_main, ignore=shutil.ignore_patterns("cls_features"))
    (manifest,) = import_all(only_main, tmp_path / "a")
    (from_zip,) = import_all(zipped(only_main, tmp_path / "archive.zip", prefix), tmp_path / "b")
    assert from_zip == manifest
    assert snapshot(tmp_path / "a") == snapshot(tmp_path / "b")
    shutil.rmtree(tmp_path)


@needs_archive
def test_every_clip_has_its_own_features_and_class_its_own_vector(genuine: Path, tmp_path: Path) -> None:
    with opened(genuine) as folder:
        draft = read_set(find_sets(folder)[1])
    Store(tmp_path).save(draft)
    stored = Store(tmp_path).load(UCF)
    row = 0
    for group in draft.groups:
        for features, modality in ((stored.audio, "audio"), (stored.visual, "video")):
            path = genuine / "UCF/features/main_features" / modality / ARCHIVE_NAMES[group.part]
            with h5py.File(path / f"{group.owner.name}.h5") as file:
                source = dict(zip(file["video_urls"][:].tolist(), file["data"][:], strict=True))
            wanted = np.stack([source[video.encode()] for video in group.ids])
            np.testing.assert_array_equal(features[row : row + len(wanted)].numpy(), wanted)
        assert stored.class_id[row : row + len(group.ids)].unique().tolist() == [group.owner.id]
        row += len(group.ids)
    assert row == len(stored.audio)
    (file,) = (ROOT / "UCF/features/main_features/text").iterdir()
    vectors = np.load(file, allow_pickle=True).item()  # the genuine file, not a stranger's
    for c in stored.split.classes:
        np.testing.assert_array_equal(stored.vectors[c.id].numpy(), vectors[c.prompt])


@needs_archive
@pytest.mark.parametrize("spelling", ["class-split", "class_split"])
def test_other_prompts_in_the_mapping_table(genuine: Path, spelling: str, tmp_path: Path) -> None:
    (tmp_path / "UCF").mkdir()
    (tmp_path / "UCF" / "features").symlink_to(genuine / "UCF" / "features")
    lists = shutil.copytree(genuine / "UCF" / "class-split", tmp_path / "UCF" / spelling)
    with opened(tmp_path) as folder:
        assert read_set(find_sets(folder)[1]).warnings == ()
        table = lists / "ucf_w2v_class_names.csv"
        table.write_text(table.read_text().replace("Weight Lifting", "Lifting"))
        with pytest.raises(DataError, match="CleanAndJerk: 'Lifting', not 'Weight Lifting'"):
            read_set(find_sets(folder)[1])
        table.write_text("original,manual\ncleanandjerk,weight lifting\n")
        assert read_set(find_sets(folder)[1]).warnings == ()
        table.write_text("original,manual\nSkiing,Skiing\nFlying,Flying\n")
        with pytest.raises(DataError, match=r"1 classes that the data set does not have \(Flying\)"):
            read_set(find_sets(folder)[1])
        table.write_text("a,b\n1,2\n")
        with pytest.raises(DataError, match=r"ucf_w2v_class_names\.csv: not the table"):
            read_set(find_sets(folder)[1])


@needs_archive
def test_a_clip_taken_for_another_is_noticed(genuine: Path, tmp_path: Path) -> None:
    """The counts are right, only one id is not: the digest tells."""
    copy = shutil.copytree(genuine, tmp_path / "copy", ignore=shutil.ignore_patterns("cls_features"))
    for modality in ("audio", "video"):
        with h5py.File(copy / "UCF/features/main_features" / modality / "stage_1_val_seen/Archery.h5", "r+") as file:
            ids = file["video_urls"][:]
            ids[np.argmin(ids)] = b"v_Archery_g99_c99"
            file["video_urls"][:] = ids
    with pytest.raises(DataError, match=r"val_seen: the ids of the 353 clips are not those of the split \(digest") as e:
        import_all(copy, tmp_path / "store")
    assert str(e.value).splitlines()[2] == (
        "  val_seen: against the archive's own list of videos, 1 clips are missing (v_Archery_g01_c06) and "
        "1 clips are not in it (v_Archery_g99_c99)"
    )
    table = copy / "UCF" / "class-split" / "main_split" / "stage_1_val_seen.csv"
    table.write_text(table.read_text().replace("g01_c06", "g01_c07"))
    with pytest.raises(DataError) as e:
        import_all(copy, tmp_path / "store")
    assert "own list" not in str(e.value), "a list that the split's digest does not confirm is no evidence"
    shutil.rmtree(copy)


# ---- made-up archives: other spellings of the same --------------------------------------------------------------


def rewrite(path: Path, change: Callable[[np.ndarray, list[str]], tuple[np.ndarray, list[str]]]) -> None:
    """Change the features and ids of a class file."""
    with h5py.File(path) as file:
        data, ids = file["data"][:], [i.decode() for i in file["video_urls"][:]]
    write_class(path, *change(data, ids))


def test_ids_as_paths_and_in_any_order(archive: Path, place: Path, filled: Path, tmp_path: Path) -> None:
    for number, path in enumerate(sorted(place.rglob("*.h5"))):
        spelling = ("/data/UCF101/{}.avi", "C:\\videos\\{}.MP4", "{}.mp4", "{}")[number % 4]
        rewrite(path, lambda data, ids, s=spelling: (data[::-1], [s.format(i) for i in reversed(ids)]))
    (manifest,) = import_all(archive, tmp_path / "store", allow_missing=True)
    assert manifest == Store(filled).manifest(UCF)


def test_class_files_in_another_case(archive: Path, place: Path, filled: Path, tmp_path: Path) -> None:
    """UCF's lists write both ``HandstandPushups`` and ``HandStandPushups``; a class may even have both files."""
    split = load_split("ucf", "main")
    owner = split.find("handstandpushups")
    part = next(p for p in PARTS if owner in split.classes_of(p))
    for modality in ("audio", "video"):
        (path,) = (place / modality / ARCHIVE_NAMES[part]).glob(f"{owner.name}.h5")
        with h5py.File(path) as file:
            data, ids = file["data"][:], [i.decode() for i in file["video_urls"][:]]
        path.unlink()
        write_class(path.with_stem("HandStandPushups"), data[:1], ids[:1])
        write_class(path.with_stem("HANDSTANDPUSHUPS"), data[1:], ids[1:])
    assert import_all(archive, tmp_path / "store", allow_missing=True) == [Store(filled).manifest(UCF)]


def test_what_macos_adds_is_passed_over(archive: Path, place: Path, filled: Path, tmp_path: Path) -> None:
    for path in [*place.rglob("*.h5"), *place.rglob("*.npy")]:
        path.with_name(f"._{path.name}").write_bytes(b"\0\5\26\7")
    shutil.copytree(archive / "UCF", archive / "__MACOSX" / "UCF", ignore=shutil.ignore_patterns("*.h5"))
    assert import_all(archive, tmp_path / "store", allow_missing=True) == [Store(filled).manifest(UCF)]


def test_the_data_set_folder_itself(archive: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with opened(archive / "UCF") as folder:
        assert [s.track for s in find_sets(folder)] == [UCF]
    monkeypatch.chdir(archive / "UCF")
    with opened(Path()) as folder:
        assert [s.track for s in find_sets(folder)] == [UCF]


def test_any_subset_is_found(archive: Path) -> None:
    made_up(archive, "activitynet", "cls", clips=1)
    with opened(archive) as folder:
        assert [str(s.track) for s in find_sets(folder)] == ["activitynet/cls", "ucf/main"]


def test_nothing_or_too_much_to_import(tmp_path: Path, archive: Path) -> None:
    for path, message in (
        (tmp_path / "none", "there is no such file or folder"),
        (archive / "UCF" / "features" / "main_features", "no features found; expected folders such as UCF/features"),
        (next(archive.rglob("*.h5")), "neither a folder nor a whole zip file"),
    ):
        with pytest.raises(DataError, match=re.escape(str(path)) + ".*" + message), opened(path) as folder:
            find_sets(folder)
    shutil.copytree(archive / "UCF", archive / "copy" / "UCF")
    with opened(archive) as folder, pytest.raises(DataError, match="ucf/main is there twice"):
        find_sets(folder)
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(DataError, match="there is no such file"), opened(tmp_path / "pipe"):
        pass


def test_four_folders_down_is_too_far(archive: Path, tmp_path: Path) -> None:
    (tmp_path / "a" / "b").mkdir(parents=True)
    archive.rename(tmp_path / "a" / "b" / "c")
    with opened(tmp_path / "a") as folder:
        assert [s.track for s in find_sets(folder)] == [UCF]
    with opened(tmp_path) as folder, pytest.raises(DataError, match="at most 2 folders down"):
        find_sets(folder)


# ---- VGGSound: the list of its training clips is not public ------------------------------------------------------


def made_to_fit(split: Split) -> Split:
    """The split with the counts and digests of the made-up archive, but none where the genuine list is not public."""
    members = {part: set(split.classes_of(part)) for part in split.parts}
    classes = tuple(
        replace(
            c,
            videos={
                part: None if count is None else CLIPS if c in members[part] else 0 for part, count in c.videos.items()
            },
        )
        for c in split.classes
    )
    parts = {}
    for part, facts in split.parts.items():
        rows = [(f"{part}-{c.id}-{i}", c.name) for c in split.classes_of(part) for i in range(CLIPS)]
        parts[part] = PartFacts(part, facts.classes, len(rows), facts.digest and split.digest(rows))
    return Split(split.dataset, split.partition, classes, parts)


@pytest.fixture
def fitting_splits(monkeypatch: pytest.MonkeyPatch) -> None:
    for module in (archive_module, store_module):
        monkeypatch.setattr(
            module, "load_split", lambda dataset, partition: made_to_fit(load_split(dataset, partition))
        )


def test_vggsound(tmp_path: Path, request: pytest.FixtureRequest) -> None:
    """Names hold commas and spaces and are matched exactly; training clips are known by their number only."""
    archive = made_up(tmp_path / "archive", "vggsound", "cls", clips=CLIPS)
    with pytest.raises(DataError) as error:
        import_all(archive, tmp_path / "store")
    assert "train: 276 clips, the split has 70,351, so 70,075 too few\n" in str(error.value)
    assert "val_seen: 276 clips, the split has 7,817, so 7,541 too few (clips of 138 classes" in str(error.value)
    request.getfixturevalue("fitting_splits")
    (manifest,) = import_all(archive, tmp_path / "store")
    assert manifest.warnings == ()
    assert Store(tmp_path / "store").verify(Track("vggsound", "cls")) == ()
    check_video_lists(archive)
    path = next(archive.rglob("audio/*/child speech, kid speaking.h5"))
    path.rename(path.with_stem("Child speech, kid speaking"))
    with pytest.raises(DataError, match=r"unknown vggsound class .* Did you mean 'child speech, kid speaking'"):
        import_all(archive, tmp_path / "store", force=True, allow_missing=True)


def check_video_lists(archive: Path) -> None:
    """The archive's own list is believed where the split has no digest, and what it tells is no defect."""
    split = load_split("vggsound", "cls")
    lists = archive / "VGGSound" / "class-split" / "cls_split"
    lists.mkdir(parents=True)
    rows = [(f"train-{c.id}-{i}", c.name) for c in split.classes_of("train") for i in range(CLIPS)]
    with (lists / "stage_1_train.csv").open("w", newline="") as stream:
        csv.writer(stream).writerows([("filename", "label"), *rows[1:], ("else", rows[0][1])])
    (found,) = find_sets(archive)
    told = "train: against the archive's own list of videos, 1 clips are missing (else) and 1 clips are not in it (%s)"
    assert read_set(found).notes == (told % rows[0][0],)
    (lists / "stage_1_train.csv").write_text("filename\nelse\n")
    with pytest.raises(DataError, match=r"stage_1_train\.csv: not a list of videos"):
        read_set(found)
    shutil.rmtree(lists.parent)


# ---- what nothing forgives --------------------------------------------------------------------------------------

TRAIN, TEST = "stage_1_train", "stage_2_test_unseen"


def class_file(place: Path, modality: str = "audio", part: str = TRAIN) -> Path:
    return min((place / modality / part).glob("*.h5"))


def truncate(place: Path) -> None:
    path = class_file(place)
    path.write_bytes(path.read_bytes()[:-1000])


def set_value(value: float, modality: str) -> Callable[[Path], None]:
    def change(place: Path) -> None:
        with h5py.File(class_file(place, modality), "r+") as file:
            file["data"][1, 7] = value

    return change


def replace_vectors(change: Callable[[dict[str, np.ndarray]], object]) -> Callable[[Path], None]:
    def changed(place: Path) -> None:
        (path,) = (place / "text").iterdir()
        write_vectors(place, change(np.load(path, allow_pickle=True).item()))

    return changed


def scale_one(vectors: dict[str, np.ndarray]) -> object:
    return {**vectors, "Archery": vectors["Archery"] * 1.01}


def lose_one(vectors: dict[str, np.ndarray]) -> object:
    return {prompt: vector for prompt, vector in vectors.items() if prompt != "Archery"}


def rename_class(name: str, part: str = TRAIN) -> Callable[[Path], None]:
    def change(place: Path) -> None:
        path = class_file(place, part=part)
        path.rename(path.with_stem(name))

    return change


def pipe(place: Path) -> None:
    class_file(place).unlink()
    os.mkfifo(class_file(place, "video").parents[2] / "audio" / TRAIN / "Archery.h5")


FATAL: dict[str, tuple[Callable[[Path], object], str]] = {
    "truncated": (truncate, r"audio/stage_1_train/Archery\.h5: not an HDF5 file, or damaged or cut short"),
    "empty": (lambda p: class_file(p).write_bytes(b""), r"Archery\.h5: not an HDF5 file"),
    "not HDF5": (
        lambda p: class_file(p, "video", TEST).write_bytes(b"PK" * 5000),
        "video/stage_2_test_unseen/.*not an",
    ),
    "a folder": (lambda p: (p / "audio" / TRAIN / "Archery2.h5").mkdir(), "unknown ucf class 'Archery2'"),
    "a pipe": (pipe, r"Archery\.h5: .*not a regular file"),
    "wrong width": (
        lambda p: rewrite(class_file(p), lambda d, i: (d[:, :128], i)),
        "have 128 dimensions, expected 512",
    ),
    "averaged away": (
        lambda p: rewrite(class_file(p), lambda d, i: (d[:, 0], i)),
        r"of shape \(2,\), expected one row",
    ),
    "over time": (
        lambda p: rewrite(class_file(p), lambda d, i: (d[:, None], i)),
        "features over time come as .pkl files",
    ),
    "integers": (lambda p: rewrite(class_file(p), lambda d, i: (d.astype("i4"), i)), "holds int32 values"),
    "more ids than rows": (lambda p: rewrite(class_file(p), lambda d, i: (d[:1], i)), "for each of the 1 clips"),
    "an id twice": (
        lambda p: rewrite(class_file(p), lambda d, i: (d, i[:1] * 2)),
        r"Archery\.h5: 1 clip ids occur more than once \(train-2-",
    ),
    "an id in two spellings": (
        lambda p: rewrite(class_file(p), lambda d, i: (d, ["a/x.avi", "b/x.mp4"])),
        "1 clip ids occur more than once",
    ),
    "an empty id": (lambda p: rewrite(class_file(p), lambda d, i: (d, ["", i[1]])), "'' is no clip id"),
    "an id of another class": (
        lambda p: [
            rewrite(
                sorted((p / m / TRAIN).glob("*.h5"))[1],
                lambda d, i: (d, ["train-2-0", i[1] if i[1] != "train-2-0" else i[0]]),
            )
            for m in ("audio", "video")
        ],
        r"train: 1 clip ids occur more than once \(train-2-0\)",
    ),
    "an id in two files": (
        lambda p: shutil.copy(class_file(p), class_file(p).with_stem("ARCHERY")),
        "audio/stage_1_train: clips of class 'Archery' occur in more than one file",
    ),
    "NaN": (set_value(np.nan, "audio"), r"audio features of train, class 'Archery': 1 of 2 clips hold NaN or infinity"),
    "infinity": (set_value(-np.inf, "video"), "visual features of train, class 'Archery': 1 of 2 clips hold NaN"),
    "an unknown class": (rename_class("Archeri"), "Archeri.h5: unknown ucf class 'Archeri'. Did you mean 'Archery'"),
    "a training class in test-unseen": (rename_class("Archery", TEST), r"'Archery' has no clips in test_unseen"),
    "an unseen class in training": (
        rename_class("ShavingBeard"),
        r"ShavingBeard\.h5: class 'ShavingBeard' has no clips in train \(its role is test_unseen\)",
    ),
    "no label vectors": (lambda p: shutil.rmtree(p / "text"), "text: expected one .npy file of label vectors, found 0"),
    "two files of label vectors": (lambda p: write_vectors(p, {}, "b.npy"), "expected one .npy file.*found 2"),
    "wrong width of label vectors": (
        replace_vectors(lambda v: {k: x[:299] for k, x in v.items()}),
        r"normed\.npy: label vectors of 299 dimensions, expected 300",
    ),
    "no unit norm": (replace_vectors(scale_one), "1 label vectors are not of unit norm"),
    "a missing prompt": (replace_vectors(lose_one), r"no finite label vector for 1 used classes \(Archery\)"),
    "one prompt in two cases": (replace_vectors(lambda v: {**v, "archery": v["Archery"]}), "differ only in case"),
    "hostile label vectors": (replace_vectors(lambda v: {"a": os.system}), r"normed\.npy: .*asks for 'posix system'"),
    "an empty part": (
        lambda p: [shutil.rmtree(p / m / TEST) for m in ("audio", "video")],
        "no clips at all in test_uns",
    ),
    "no audio": (lambda p: shutil.rmtree(p / "audio"), "ucf/main: no clips at all in train, val_seen"),
}


@pytest.mark.parametrize("name", FATAL)
def test_bad_input_leaves_nothing(name: str, archive: Path, place: Path, filled: Path) -> None:
    spoil, message = FATAL[name]
    before = snapshot(filled)
    spoil(place)
    with pytest.raises(DataError, match=message) as error:
        import_all(archive, filled, allow_missing=True, force=True)
    assert "main" in str(error.value)
    assert snapshot(filled) == before


# ---- what --allow-missing forgives ------------------------------------------------------------------------------

FORGIVEN: dict[str, tuple[Callable[[Path], object], str]] = {
    "nothing": (lambda p: None, "train: 60 clips, the split has 3,174, so 3,114 too few (clips of 30 classes: Arch"),
    "no video folder of a part": (
        lambda p: shutil.rmtree(p / "video" / TRAIN),
        "train: no features at all in video/stage_1_train",
    ),
    "no audio of a class": (lambda p: class_file(p).unlink(), "train: class 'Archery' has no audio file"),
    "no video of a class": (
        lambda p: class_file(p, "video", TEST).unlink(),
        "test_unseen: class 'BandMarching' has no",
    ),
    "a class is missing": (
        lambda p: [class_file(p, m).unlink() for m in ("audio", "video")],
        "train: 58 clips, the split has 3,174, so 3,116 too few (clips of 30 classes: Archery 0 of 117,",
    ),
    "ids do not pair": (
        lambda p: rewrite(class_file(p), lambda d, i: (d, ["other", i[1]])),
        "train: 1 clips of class 'Archery' have no video features (other)",
    ),
}


@pytest.mark.parametrize("name", FORGIVEN)
def test_missing_data_are_told_or_stay_as_warnings(
    name: str, archive: Path, place: Path, filled: Path, tmp_path: Path
) -> None:
    spoil, message = FORGIVEN[name]
    spoil(place)
    before = snapshot(filled)
    with pytest.raises(DataError) as error:
        import_all(archive, filled, force=True)
    assert message in str(error.value)
    assert "Nothing was stored. --allow-missing imports them" in str(error.value)
    assert snapshot(filled) == before
    if name == "no video folder of a part":
        return  # nothing is left of that part
    (manifest,) = import_all(archive, tmp_path / "store", allow_missing=True)
    assert any(message in warning for warning in manifest.warnings)
    assert Store(tmp_path / "store").manifest(UCF) == manifest
    assert Store(tmp_path / "store").verify(UCF) == ()


@pytest.mark.usefixtures("fitting_splits")
def test_a_clip_too_many(archive: Path, place: Path, tmp_path: Path) -> None:
    assert import_all(archive, tmp_path / "store")[0].warnings == ()
    for modality in ("audio", "video"):
        rewrite(class_file(place, modality), lambda d, i: (np.concatenate([d, d[:1]]), [*i, "one-more"]))
    with pytest.raises(DataError, match=r"train: 61 clips, the split has 60, so 1 too many .*Archery 3 of 2"):
        import_all(archive, tmp_path / "store", force=True)


@pytest.mark.usefixtures("fitting_splits")
def test_a_clip_in_two_parts(archive: Path, place: Path, tmp_path: Path) -> None:
    for modality in ("audio", "video"):
        rewrite(class_file(place, modality, "stage_1_val_seen"), lambda d, i: (d, ["train-2-0", "val_seen-2-0"]))
    with pytest.raises(DataError, match=r"(?s)val_seen: the ids of.*1 clips are in both train and val_seen"):
        import_all(archive, tmp_path / "store")


def test_warnings_stand_in_every_record(filled: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from avbench.harness.records.results import ResultsFolder
    from avbench.harness.running.runs import execute, plan

    monkeypatch.setenv("AVBENCH_HOME", str(tmp_path))
    filled.rename(tmp_path / "features")
    load_features.cache_clear()
    try:
        budget = {"epochs": 1, "batches_per_epoch": 1, "batch_size": 8}
        (planned,) = plan(["avca"], [UCF], ["aligned"], [0], budget)
        record = execute(planned, ResultsFolder(tmp_path / "results"), torch.device("cpu"))
    finally:
        load_features.cache_clear()
    assert record.finished, record.failure
    assert not record.simulated
    assert tuple(record.warnings) == Store().manifest(UCF).warnings
    assert len(record.warnings) == 5


# ---- interruptions ----------------------------------------------------------------------------------------------


class Interruption:
    """Raises at one of the calls of a function, after it did its work in part."""

    def __init__(self, error: BaseException, call: int) -> None:
        self.error, self.left = error, call

    def at(self, function: Callable[..., object]) -> Callable[..., object]:
        def interrupted(*arguments: object, **named: object) -> object:
            if not self.left:
                raise self.error
            self.left -= 1
            return function(*arguments, **named)

        return interrupted


POINTS: tuple[tuple[object, str, int], ...] = (
    (TensorFile, "write", 0),
    (TensorFile, "write", 2),
    (TensorFile, "write", 100),
    (TensorFile, "finish", 0),
    (os, "fsync", 0),
    (os, "fsync", 1),
    (os, "replace", 0),
)
LAST = (os, "replace", 1)
"""Between the features and their manifest."""


@pytest.mark.parametrize("error", [KeyboardInterrupt(), OSError(errno.ENOSPC, "No space left on device")], ids=type)
@pytest.mark.parametrize(("owner", "name", "call"), POINTS, ids=lambda x: getattr(x, "__name__", str(x)))
def test_an_interruption_leaves_nothing(
    owner: object,
    name: str,
    call: int,
    error: BaseException,
    draft: Draft,
    filled: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    before = snapshot(filled)
    for root in (filled, tmp_path / "fresh"):
        with monkeypatch.context() as patch:
            patch.setattr(owner, name, Interruption(error, call).at(getattr(owner, name)))
            with pytest.raises(DataError if isinstance(error, OSError) else KeyboardInterrupt) as raised:
                Store(root).save(draft, replace=True)
        if isinstance(error, OSError):
            assert f"cannot write to {root}/ucf: No space left on device; nothing was changed." in str(raised.value)
    assert snapshot(filled) == before
    assert snapshot(tmp_path / "fresh") == {}


def test_an_interruption_at_the_last_moment(
    draft: Draft, filled: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A first import leaves nothing; a second leaves new features with the old manifest, and that is refused."""
    owner, name, call = LAST
    draft = replace(draft, vectors=-draft.vectors)
    for root in (tmp_path / "fresh", filled):
        with monkeypatch.context() as patch:
            patch.setattr(owner, name, Interruption(KeyboardInterrupt(), call).at(getattr(owner, name)))
            with pytest.raises(KeyboardInterrupt):
                Store(root).save(draft, replace=True)
    assert snapshot(tmp_path / "fresh") == {}
    with pytest.raises(DataError, match=r"does not belong to its manifest; 'avbench data remove ucf/main', then"):
        Store(filled).load(UCF)


def test_a_disk_too_small(draft: Draft, filled: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = snapshot(filled)
    free = shutil.disk_usage(filled)._replace(free=64 * 2**20)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: free)
    with pytest.raises(DataError, match=r"needs \d+ MB in .*, where 67 MB are free; make room, or set AVBENCH_HOME"):
        Store(filled).save(draft, replace=True)
    assert snapshot(filled) == before


def test_no_folder_can_be_made(draft: Draft, tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(DataError, match="cannot write to"):
        Store(tmp_path / "file" / "store").save(draft)
