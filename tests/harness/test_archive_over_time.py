"""Import of the temporal archive, as folder and zip, beside the averaged one."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner
from genuine_archive import FOLDERS
from simulated_archive import made_up, snapshot, zipped
from simulated_temporal import made_up_over_time, write_class_file

from avbench.harness.cli import cli
from avbench.harness.errors import DataError
from avbench.harness.features.archive import find_sets
from avbench.harness.features.archive_files import opened
from avbench.harness.features.archive_over_time import read_set_over_time
from avbench.harness.features.store import Store
from avbench.harness.tracks import Track
from avbench.splits import load_split

TRACK = Track("ucf", "cls-temporal")


@pytest.fixture(scope="module")
def archive(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return made_up_over_time(tmp_path_factory.mktemp("archive"), "ucf", "cls", clips=1)


@pytest.fixture
def copy(archive: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(archive, tmp_path / "copy"))


def imported(root: Path, store: Store, allow_missing: bool = True) -> None:
    with opened(root) as place:
        (found,) = [f for f in find_sets(place) if f.over_time]
        store.save(read_set_over_time(found, allow_missing=allow_missing))


def test_folder_and_zip_give_the_same(archive: Path, tmp_path: Path) -> None:
    hashes = []
    for number, root in enumerate((archive, zipped(archive, tmp_path / "a.zip", "deep/"))):
        store = Store(tmp_path / str(number))
        imported(root, store)
        hashes.append([store.manifest(track).content_hash for track in store.tracks()])
    assert hashes[0] == hashes[1]
    manifest = store.manifest(TRACK)
    assert manifest.time is not None
    assert (manifest.time.audio.seconds, manifest.time.visual.seconds) == (0.96, 0.64)
    assert manifest.partition == "cls"
    assert store.verify(TRACK) == ()
    audio = store.load(TRACK).audio
    assert audio.max() > 200  # codes are kept as they are
    assert (audio == audio.round()).all()


def test_both_archives_side_by_side(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AVBENCH_HOME", str(tmp_path / "home"))
    root = made_up_over_time(
        made_up(tmp_path / "a", "ucf", "main", clips=1), "ucf", "main", clips=1, folder="no_averaged"
    )
    result = CliRunner().invoke(cli, ["data", "import", str(root), "--allow-missing"])
    assert result.exit_code == 0, result.output
    assert {str(track) for track in Store().tracks()} == {"ucf/main", "ucf/main-temporal", "ucf/main-temporal.mean"}
    assert "ucf/main-temporal.mean beside ucf/main: audio: 0.0 % of" in result.output
    again = CliRunner().invoke(cli, ["data", "import", str(root)])
    assert again.exit_code == 0
    assert "left as they are" in again.output


def test_digests_are_verified(archive: Path, tmp_path: Path) -> None:
    with pytest.raises(DataError, match="train: 30 clips, the split has 3,174"):
        imported(archive, Store(tmp_path), allow_missing=False)


def place(root: Path, name: str) -> Path:
    return root / FOLDERS["ucf"] / "features" / "cls_features_non_averaged" / name


def first(root: Path, modality: str = "video") -> Path:
    return min(place(root, f"{modality}/stage_1_train").iterdir())


def with_nan(root: Path) -> None:
    features = np.zeros((3, 4096), np.float32)
    features[1, 5] = np.nan
    write_class_file(first(root), [features], [own_id(first(root))])


def own_id(path: Path) -> bytes:
    """The id of the one clip of a class in training."""
    return f"train-{load_split('ucf', 'cls').find(path.stem).id}-0".encode()


BROKEN: dict[str, tuple[Callable[[Path], object], str]] = {
    "NaN at one step": (lambda r: with_nan(r), "NaN or infinity at step 1"),
    "no step": (
        lambda r: write_class_file(first(r), [np.zeros((0, 4096), np.float32)], [b"x"]),
        "has 0 steps; 1 to 100,000 are taken",
    ),
    "another width": (
        lambda r: write_class_file(first(r), [np.zeros((1, 128), np.float32)], [b"x"]),
        "features of shape (1, 128), expected (steps, 4096)",
    ),
    "cut short": (lambda r: first(r).write_bytes(first(r).read_bytes()[:-9000]), "not a class file"),
    "a stranger": (lambda r: first(r).rename(first(r).with_name("Nobody.pkl")), "Nobody"),
    "no text": (lambda r: shutil.rmtree(place(r, "text")), "expected one .npy file of label vectors"),
}


@pytest.mark.parametrize("case", BROKEN)
def test_what_is_broken_is_refused_and_leaves_nothing(copy: Path, tmp_path: Path, case: str) -> None:
    break_, message = BROKEN[case]
    break_(copy)
    store = Store(tmp_path / "store")
    with pytest.raises(DataError) as caught:
        imported(copy, store)
    assert message in str(caught.value)
    assert not (tmp_path / "store").exists() or snapshot(tmp_path / "store") == {}


def test_audio_without_video_is_told(copy: Path, tmp_path: Path) -> None:
    owner = first(copy).stem
    first(copy).unlink()
    store = Store(tmp_path / "store")
    with pytest.raises(DataError, match=f"class '{owner}' has no video file"):
        imported(copy, store, allow_missing=False)
    imported(copy, store)
    assert any("has no video file" in warning for warning in store.manifest(TRACK).warnings)


@pytest.mark.parametrize("fps", [[30], None])
def test_step_lengths_that_are_assumed_are_told_for_ever(
    copy: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fps: list[int] | None
) -> None:
    monkeypatch.setenv("AVBENCH_HOME", str(tmp_path))
    path = first(copy)
    write_class_file(path, [np.ones((1, 4096), np.float32)], [own_id(path)], fps=fps)
    imported(copy, Store())
    manifest = Store().manifest(TRACK)
    (told,) = manifest.assumed
    assert "0.64 s, is assumed: it rests on 25 frames a second, and for 1 clips the archive says" in told
    assert not any("frames a second" in warning for warning in manifest.warnings)  # no clip is missing for it
    assert f"note: {TRACK}: {told}" in CliRunner().invoke(cli, ["data", "status"]).output


def test_step_lengths_that_the_archive_tells_are_not_assumed(archive: Path, tmp_path: Path) -> None:
    imported(archive, Store(tmp_path))
    assert Store(tmp_path).manifest(TRACK).assumed == ()
