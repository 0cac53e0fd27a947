"""Zips from strangers: what could lead out of them, or expand without end, is refused before anything is read."""

from __future__ import annotations

import io
import re
import stat
import tracemalloc
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from simulated_archive import made_up, snapshot, zipped

from avbench.harness.errors import DataError
from avbench.harness.features import archive_files
from avbench.harness.features.archive import find_sets, read_set
from avbench.harness.features.archive_files import MAX_FILE_BYTES, MAX_MEMBERS, opened, reading
from avbench.harness.features.store import Store

CLASS_FILE = "UCF/features/main_features/audio/stage_1_train/Archery.h5"


def import_all(path: Path, root: Path) -> None:
    with opened(path) as folder:
        for found in find_sets(folder):
            Store(root).save(read_set(found, allow_missing=True))


@pytest.fixture(scope="module")
def sound(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("sound")
    return zipped(made_up(folder / "archive", "ucf", "main", clips=1), folder / "sound.zip")


def with_member(
    sound: Path, target: Path, name: str, content: bytes = b"x", change: Callable[[zipfile.ZipInfo], None] | None = None
) -> Path:
    """The sound zip with one more member, compressed."""
    target.write_bytes(sound.read_bytes())
    member = zipfile.ZipInfo("placeholder" if "\\" in name else name)
    member.filename = name
    member.compress_type = zipfile.ZIP_DEFLATED
    with zipfile.ZipFile(target, "a") as archive:
        if change:
            change(member)
        archive.writestr(member, content)
    return target


def test_a_zip_is_read_without_unpacking_it(sound: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    before = snapshot(sound.parent)
    import_all(sound, tmp_path / "store")
    manifest, data = sorted(p.name for p in tmp_path.rglob("*") if p.is_file())
    assert (manifest, data[:5], data[-12:]) == ("main.json", "main@", ".safetensors")
    assert snapshot(sound.parent) == before


@pytest.mark.parametrize(
    "name",
    [
        "../outside.h5",
        "UCF/../../outside.h5",
        "UCF/..",
        "/etc/passwd",
        "//host/share",
        "UCF//features/a.h5",
        "C:/windows/a.h5",
        "C:a.h5",
        "UCF\\features\\a.h5",
        "..\\outside.h5",
    ],
)
def test_a_name_that_leads_out(name: str, sound: Path, tmp_path: Path) -> None:
    path = with_member(sound, tmp_path / "a.zip", name)
    with pytest.raises(DataError, match=r"a\.zip: refused, its member .* has a name that leads out of the archive"):
        import_all(path, tmp_path / "store")
    assert sorted(p.name for p in tmp_path.rglob("*")) == ["a.zip"]


def test_a_link(sound: Path, tmp_path: Path) -> None:
    def link(member: zipfile.ZipInfo) -> None:
        member.create_system = 3
        member.external_attr = (stat.S_IFLNK | 0o777) << 16

    path = with_member(sound, tmp_path / "a.zip", "UCF/features/main_features/audio/link", b"/etc/passwd", link)
    with pytest.raises(DataError, match=r"main_features/audio/link' is a link"), opened(path):
        pass


def test_encrypted(sound: Path, tmp_path: Path) -> None:
    path = with_member(sound, tmp_path / "a.zip", "UCF/x.h5")
    content = bytearray(path.read_bytes())
    directory = content.rindex(b"PK\x01\x02")
    content[directory + 8] |= 1
    path.write_bytes(content)
    with pytest.raises(DataError, match=r"'UCF/x\.h5' is encrypted"), opened(path):
        pass


def test_one_member_expands_without_end(sound: Path, tmp_path: Path) -> None:
    path = with_member(sound, tmp_path / "a.zip", "UCF/x.h5", bytes(20 * 2**20))
    with pytest.raises(DataError, match=r"'UCF/x\.h5' unpacks from [\d,]+ to 20,971,520 bytes"), opened(path):
        pass


def test_a_member_larger_than_any_file(sound: Path, tmp_path: Path) -> None:
    path = with_member(sound, tmp_path / "a.zip", "UCF/x.npy")
    content = bytearray(path.read_bytes())
    directory = content.rindex(b"PK\x01\x02")
    content[directory + 20 : directory + 28] = (2**30).to_bytes(4, "little") + (MAX_FILE_BYTES + 1).to_bytes(
        4, "little"
    )
    path.write_bytes(content)
    with pytest.raises(DataError, match=r"'UCF/x\.npy' unpacks to 1,073,741,825 bytes"), opened(path):
        pass


def test_many_members_that_expand_together(tmp_path: Path) -> None:
    """Each is small enough for any ratio; together they are not."""
    with zipfile.ZipFile(tmp_path / "a.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        for number in range(40):
            archive.writestr(f"UCF/{number}.h5", bytes(2**20))
    with pytest.raises(DataError, match=r"refused, its [\d,]+ bytes unpack to 41,943,040"), opened(tmp_path / "a.zip"):
        pass


def test_what_is_not_read_may_compress_well(sound: Path, tmp_path: Path) -> None:
    path = with_member(sound, tmp_path / "a.zip", "UCF/_features_processed/cache.pkl", bytes(20 * 2**20))
    import_all(path, tmp_path / "store")


def test_too_many_members(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        for number in range(3):
            archive.writestr(f"{number}", b"")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(archive_files, "MAX_MEMBERS", 2)
        with (
            pytest.raises(DataError, match="3 members are more than any feature archive has"),
            opened(tmp_path / "a.zip"),
        ):
            pass
    assert MAX_MEMBERS < 100_000


def test_names_of_many_folders_cost_no_memory(tmp_path: Path) -> None:
    """Each folder of a name becomes a member of its own: three names of 64 kB took 3 GB."""
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        for number in range(3):
            archive.writestr(f"{number}" + "/a" * 32_000, b"")
    tracemalloc.start()
    try:
        with pytest.raises(DataError, match="more than 1,024 characters or 32 folders"), opened(tmp_path / "a.zip"):
            pass
        assert tracemalloc.get_traced_memory()[1] < 20 * 2**20
    finally:
        tracemalloc.stop()
    with zipfile.ZipFile(tmp_path / "b.zip", "w") as archive:
        archive.writestr("a/" * 33 + "x.h5", b"")
    with pytest.raises(DataError, match="more than 1,024 characters or 32 folders"), opened(tmp_path / "b.zip"):
        pass


def test_a_compression_that_cannot_be_read_is_found_first(sound: Path, tmp_path: Path) -> None:
    path = with_member(sound, tmp_path / "a.zip", "UCF/x.h5")
    content = bytearray(path.read_bytes())
    directory = content.rindex(b"PK\x01\x02")
    content[directory + 10] = 9
    path.write_bytes(content)
    wanted = r"'UCF/x\.h5' is compressed as Deflate64, which cannot be read here; unpack the zip and give the folder"
    with pytest.raises(DataError, match=wanted), opened(path):
        pass


def test_unprintable_names_are_escaped(sound: Path, tmp_path: Path) -> None:
    path = with_member(sound, tmp_path / "a.zip", "../\x1b[2J\n.h5")
    with pytest.raises(DataError) as error, opened(path):
        pass
    assert str(error.value).isprintable()


@pytest.mark.parametrize("share", [0.0, 0.1, 0.5, 0.9, 0.999])
def test_a_zip_cut_short(share: float, sound: Path, tmp_path: Path) -> None:
    content = sound.read_bytes()
    (tmp_path / "a.zip").write_bytes(content[: int(share * len(content))])
    with pytest.raises(DataError, match=r"a\.zip: neither a folder nor a whole zip file"):
        import_all(tmp_path / "a.zip", tmp_path / "store")


def test_a_damaged_member(sound: Path, tmp_path: Path) -> None:
    content = bytearray(sound.read_bytes())
    with zipfile.ZipFile(sound) as archive:
        member = archive.getinfo(CLASS_FILE)
    content[member.header_offset + 2000] ^= 255
    (tmp_path / "a.zip").write_bytes(content)
    with pytest.raises(DataError, match=re.escape(CLASS_FILE) + r": not an HDF5 file, or damaged.*CRC"):
        import_all(tmp_path / "a.zip", tmp_path / "store")
    assert not list((tmp_path / "store").rglob("*.*"))


def test_a_file_larger_than_any(tmp_path: Path) -> None:
    with (tmp_path / "a.h5").open("wb") as file:
        file.truncate(MAX_FILE_BYTES + 1)
    with pytest.raises(OSError, match="which no feature file is"), reading(tmp_path / "a.h5"):
        pass


@given(flips=st.lists(st.tuples(st.integers(0, 10**9), st.integers(0, 255)), min_size=1, max_size=6))
@settings(max_examples=100, deadline=None)
def test_changed_bytes_raise_nothing_but_data_errors(
    flips: list[tuple[int, int]], tmp_path_factory: pytest.TempPathFactory
) -> None:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED) as archive:
        for name in (CLASS_FILE, "UCF/class-split/a.csv", "UCF/features/main_features/text/a.npy"):
            archive.writestr(name, b"content" * 9)
    content = bytearray(stream.getvalue())
    for place, value in flips:
        content[place % len(content)] = value
    path = tmp_path_factory.getbasetemp() / "changed.zip"
    path.write_bytes(content)
    with pytest.raises(DataError):  # no class file is a true one, so nothing can be imported
        import_all(path, path.parent / "none")
