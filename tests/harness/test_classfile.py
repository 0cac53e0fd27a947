"""One HDF5 file of the archive: nothing outside the file is ever opened, and damage is an error that names it."""

from __future__ import annotations

import io
import os
import subprocess
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path

import h5py
import numpy as np
import pytest
from simulated_archive import write_class

from avbench.harness.errors import DataError
from avbench.harness.features.classfile import MAX_CLIPS, read_features, read_ids, video_id
from avbench.splits import DATASETS, load_split

WIDTH = 8


@pytest.fixture
def sound(tmp_path: Path) -> Path:
    path = tmp_path / "Archery.h5"
    write_class(path, np.arange(3 * WIDTH, dtype=np.float32).reshape(3, WIDTH), ["a", "b", "c"])
    return path


def read(path: Path) -> np.ndarray:
    read_ids(path, str(path), WIDTH)
    return read_features(path, str(path))


def test_ids_and_features(sound: Path) -> None:
    assert read_ids(sound, "f", WIDTH) == ["a", "b", "c"]
    np.testing.assert_array_equal(read_features(sound, "f"), np.arange(3 * WIDTH).reshape(3, WIDTH))


@pytest.mark.parametrize("kind", ["<f2", ">f4", "<f8"])
def test_other_floats_become_float32(kind: str, sound: Path) -> None:
    write_class(sound, np.array([[0.1, 1e300 if kind == "<f8" else 2]]).astype(kind), ["a"])
    assert read_ids(sound, "f", 2) == ["a"]
    found = read_features(sound, "f")
    assert found.dtype == np.float32
    assert np.isinf(found[0, 1]) == (kind == "<f8"), "what does not fit is infinite, and refused for that by the store"


def test_a_member_of_a_zip(sound: Path) -> None:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as archive:
        archive.write(sound, "a.h5")
        entry = zipfile.Path(archive) / "a.h5"
        assert read_ids(entry, "f", WIDTH) == ["a", "b", "c"]
        np.testing.assert_array_equal(read_features(entry, "f"), read(sound))


@pytest.mark.parametrize(
    ("url", "wanted"),
    [
        (b"v_Archery_g01_c01", "v_Archery_g01_c01"),
        (b"v_Archery_g01_c01.avi", "v_Archery_g01_c01"),
        (b"/data/UCF/v_Archery_g01_c01.avi", "v_Archery_g01_c01"),
        (b"D:\\UCF\\v_Archery_g01_c01.AVI", "v_Archery_g01_c01"),
        (b"-0a9Z.bcdEF_000030.mp4", "-0a9Z.bcdEF_000030"),
        (b"v_1.5", "v_1.5"),
        (b"  x.mkv ", "x"),
    ],
)
def test_video_id(url: bytes, wanted: str) -> None:
    assert video_id(url, "f") == wanted


@pytest.mark.parametrize("url", [b"", b" ", b"a/", b"a\tb", b"a\nb", b"\xff\xfe", b"a\x1b[2J"])
def test_no_video_id(url: bytes) -> None:
    with pytest.raises(DataError, match=r"^f: ") as error:
        video_id(url, "f")
    assert str(error.value).isprintable()


def _external_link(file: h5py.File, other: Path) -> None:
    file["data"] = h5py.ExternalLink(str(other), "/data")


def _link_within(file: h5py.File, other: Path) -> None:
    file["hidden"] = h5py.ExternalLink(str(other), "/")
    file["data"] = h5py.SoftLink("/hidden/data")


def _external_storage(file: h5py.File, other: Path) -> None:
    file.create_dataset("data", (3, WIDTH), "<f4", external=[(str(other), 0, 3 * WIDTH * 4)])


def _virtual(file: h5py.File, other: Path) -> None:
    layout = h5py.VirtualLayout((3, WIDTH), "<f4")
    layout[:] = h5py.VirtualSource(str(other), "data", (3, WIDTH))
    file.create_virtual_dataset("data", layout)


@pytest.mark.parametrize("elsewhere", [_external_link, _link_within, _external_storage, _virtual])
def test_features_in_another_file(elsewhere: Callable[[h5py.File, Path], None], sound: Path, tmp_path: Path) -> None:
    path = tmp_path / "hostile.h5"
    with h5py.File(path, "w") as file:
        elsewhere(file, sound)
        file["video_urls"] = np.array([b"a", b"b", b"c"])
    with h5py.File(path) as file:
        assert file["data"].shape == (3, WIDTH), "HDF5 itself would read the other file"
    with pytest.raises(DataError, match=r"hostile\.h5: (no dataset 'data'|'data' is not a plain dataset)"):
        read(path)


def test_an_external_link_is_not_even_followed(tmp_path: Path) -> None:
    """The link leads to a pipe: opening it would wait for ever."""
    os.mkfifo(tmp_path / "pipe")
    with h5py.File(tmp_path / "hostile.h5", "w") as file:
        file["data"] = h5py.ExternalLink(str(tmp_path / "pipe"), "/data")
        file["video_urls"] = np.array([b"a"])
    code = (
        "import sys; from pathlib import Path; from avbench.harness.features.classfile import read_ids\n"
        "try: read_ids(Path(sys.argv[1]), 'f', 8)\nexcept Exception as error: print(type(error).__name__)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path / "hostile.h5")],
        capture_output=True,
        text=True,
        timeout=300,
        check=True,
    )
    assert done.stdout.strip() == "DataError"


def _named_type(file: h5py.File) -> None:
    file["data"] = np.dtype("f4")


def _bit_field(file: h5py.File) -> None:
    space, kind = h5py.h5s.create_simple((3, WIDTH)), h5py.h5t.STD_B8LE
    h5py.h5d.create(file.id, b"data", kind, space)


def _huge_chunk(file: h5py.File) -> None:
    file.create_dataset("data", (3, WIDTH), "<f4", chunks=(2**24, WIDTH), maxshape=(None, WIDTH), compression="gzip")


@pytest.mark.parametrize(
    ("features", "message"),
    [
        (lambda f: None, "no dataset 'data'"),
        (lambda f: f.create_group("data"), "'data' is not a plain dataset"),
        (_named_type, "'data' is not a plain dataset"),
        (_bit_field, "f: "),
        (_huge_chunk, "larger than any feature file needs"),
        (lambda f: f.create_dataset("data", data=[[b"a"] * WIDTH] * 3), "expected one row of floats"),
        (lambda f: f.create_dataset("data", data=np.zeros((3, WIDTH), "c8")), "expected one row of floats"),
        (lambda f: f.create_dataset("data", data=h5py.Empty("f4")), "f: "),
        (lambda f: f.create_dataset("data", (), "f4"), "expected one row of floats"),
        (lambda f: f.create_dataset("data", (3,), h5py.vlen_dtype(np.float32)), "expected one row of floats"),
    ],
)
def test_strange_features(features: Callable[[h5py.File], object], message: str, tmp_path: Path) -> None:
    with h5py.File(tmp_path / "a.h5", "w") as file:
        features(file)
        file["video_urls"] = np.array([b"a", b"b", b"c"])
    with pytest.raises(DataError, match=message):
        read_ids(tmp_path / "a.h5", "f", WIDTH)


@pytest.mark.parametrize(
    "ids",
    [
        np.arange(3),
        np.array([[b"a"], [b"b"], [b"c"]]),
        np.array([b"a", b"b"]),
        np.array([b"x" * 5000] * 3),
        np.array(["a", "b", "c"], h5py.string_dtype()),
    ],
)
def test_strange_ids(ids: np.ndarray, tmp_path: Path) -> None:
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file["data"] = np.zeros((3, WIDTH), "f4")
        file["video_urls"] = ids
    with pytest.raises(DataError, match=r"f: 'video_urls' holds .* expected one byte string for each of the 3 clips"):
        read_ids(tmp_path / "a.h5", "f", WIDTH)


def test_more_clips_than_a_class_has(tmp_path: Path) -> None:
    """A tiny file may claim any shape: unwritten chunks take no room."""
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file.create_dataset("data", (MAX_CLIPS + 1, WIDTH), "f4", chunks=(1, WIDTH))
        file.create_dataset("video_urls", (MAX_CLIPS + 1,), "S80", chunks=(1,))
    with pytest.raises(DataError, match="10,001 clips, more than a class can have"):
        read_ids(tmp_path / "a.h5", "f", WIDTH)


def test_cut_short_anywhere(sound: Path) -> None:
    content = sound.read_bytes()
    for end in range(0, len(content), 37):
        sound.write_bytes(content[:end])
        with pytest.raises(DataError, match=r"Archery\.h5: not an HDF5 file, or damaged or cut short"):
            read(sound)


def test_changed_bytes_raise_nothing_but_data_errors(sound: Path) -> None:
    content = sound.read_bytes()
    random = np.random.default_rng(0)
    for _ in range(400):
        changed = bytearray(content)
        for place in random.integers(0, len(content), random.integers(1, 5)):
            changed[place] = random.integers(256)
        sound.write_bytes(changed)
        try:
            found = read(sound)
        except DataError:
            continue
        assert found.shape[1:] == (WIDTH,)


def test_the_limit_on_clips_fits_every_split() -> None:
    most = max(c.videos[part] or 0 for d in DATASETS for c in load_split(d, "main").classes for part in c.videos)
    assert most * 5 < MAX_CLIPS
