"""The restricted reader of class files of the temporal archive: all forms of sound ones, and nothing else."""

from __future__ import annotations

import os
import pickle
import pickletools
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from simulated_temporal import clip_of, write_class_file

from avbench.harness.errors import DataError
from avbench.harness.features.pickled import read_pickled
from avbench.harness.features.sequencefile import opened_sequences

NAMES = [b"v_one_g01", b"v_two_g02", b"v_three_g03"]
FORMS: dict[str, Any] = {
    "bytes": NAMES,
    "scalars": [np.bytes_(name) for name in NAMES],
    "array": np.array(NAMES),
    "object array": np.array(NAMES, dtype=object),
}


def features(codes: bool = False, width: int = 12) -> list[np.ndarray]:
    generator = np.random.default_rng(0)
    return [clip_of(generator, width, codes) for _ in NAMES]


@pytest.mark.parametrize("protocol", [2, 3, 4, 5])
@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("codes", [False, True])
def test_all_forms_are_read(tmp_path: Path, protocol: int, form: str, codes: bool) -> None:
    path, given = tmp_path / "Class.pkl", features(codes)
    write_class_file(path, given, FORMS[form], protocol=protocol)
    with opened_sequences(path, "here", 12) as found:
        assert found.ids == tuple(name.decode() for name in NAMES)
        assert found.odd_rates == 0
        for one, other in zip(found.features, given, strict=True):
            assert one.dtype == other.dtype
            assert np.array_equal(one, other)


@pytest.mark.parametrize("protocol", [4, 5])
def test_the_order_of_memory_is_kept(tmp_path: Path, protocol: int) -> None:
    given = [np.asfortranarray(clip) for clip in features()]
    write_class_file(tmp_path / "c.pkl", given, NAMES, protocol=protocol)
    with opened_sequences(tmp_path / "c.pkl", "here", 12) as found:
        assert all(np.array_equal(one, other) for one, other in zip(found.features, given, strict=True))


@pytest.mark.parametrize("protocol", [3, 4, 5])
def test_arrays_are_views_of_the_content(protocol: int) -> None:
    given = np.arange(30_000, dtype=np.float32).reshape(10, 3000)
    content = bytearray(pickle.dumps({"features": [given]}, protocol=protocol))
    (stated,) = read_pickled(content, "class files", 1000)["features"]
    assert isinstance(stated.content, memoryview)
    place = content.index(given.tobytes())
    content[place] ^= 255
    assert bytes(stated.content[:1]) != given.tobytes()[:1]


def test_frame_rates_of_all_kinds(tmp_path: Path) -> None:
    for fps in ([25, 30, 25], [np.int64(25), np.int64(25), np.int64(30)], np.array([25, 25, 30])):
        write_class_file(tmp_path / "c.pkl", features(), NAMES, fps=fps)
        with opened_sequences(tmp_path / "c.pkl", "here", 12) as found:
            assert found.odd_rates == 1


class Evil:
    def __reduce__(self) -> tuple[Any, ...]:
        return os.mkdir, ("evil",)


HOSTILE: dict[str, tuple[dict[str, Any], str]] = {
    "code": ({"more": Evil()}, "which class files never need"),
    "no step": ({"features": [np.zeros((0, 12), np.float32)] * 3}, "has 0 steps"),
    "another width": ({"features": [np.zeros((2, 12)), np.zeros((2, 13)), np.zeros((2, 12))]}, "(2, 13)"),
    "averaged": ({"features": [np.zeros(12, np.float32)] * 3}, "expected (steps, 12)"),
    "texts": ({"features": [np.array([["a"] * 12])] * 3}, "expected floats or bytes"),
    "objects": ({"features": [np.array([[{}] * 12], dtype=object)] * 3}, "expected floats or bytes"),
    "twice": ({"video_names": [b"one", b"one", b"two"]}, "occur more than once (one)"),
    "no name": ({"video_names": [b"one", b"two", b""]}, "is no clip id"),
    "too few names": ({"video_names": [b"one"]}, "3 clips, but 1 names"),
    "numbers as names": ({"video_names": [1, 2, 3]}, "a name is no bytes"),
    "no features": ({"features": {}}, "no list"),
    "rates": ({"fps": [25]}, "not one a clip"),
}


@pytest.mark.parametrize("case", HOSTILE)
def test_what_is_broken_or_hostile_is_refused(tmp_path: Path, case: str) -> None:
    change, message = HOSTILE[case]
    content = {"features": features(), "video_names": NAMES, "fps": [25] * 3, **change}
    (tmp_path / "c.pkl").write_bytes(pickle.dumps(content, protocol=4))
    with pytest.raises(DataError) as caught, opened_sequences(tmp_path / "c.pkl", "here", 12):
        pass
    assert message in str(caught.value)
    assert not Path("evil").exists()


def test_no_damage_of_a_class_file_does_more_than_raise(tmp_path: Path) -> None:
    path = tmp_path / "c.pkl"
    write_class_file(path, features(), FORMS["scalars"])
    sound = path.read_bytes()
    generator = np.random.default_rng(0)
    for _ in range(300):
        content = bytearray(sound)
        for place in generator.integers(0, len(content), 3):
            content[place] = generator.integers(0, 256)
        path.write_bytes(content[: generator.integers(1, len(content) + 1)])
        try:
            with opened_sequences(path, "here", 12):
                pass
        except DataError:
            pass


def test_a_file_cut_short_anywhere_says_so(tmp_path: Path) -> None:
    path = tmp_path / "c.pkl"
    for protocol in (2, 4, 5):
        write_class_file(path, features(), FORMS["scalars"], protocol=protocol)
        sound = path.read_bytes()
        for end in (*range(1, 60), len(sound) // 2, len(sound) - 30, len(sound) - 1):
            path.write_bytes(sound[:end])
            with pytest.raises(DataError) as caught, opened_sequences(path, "here", 12):
                pass
            assert f"the file is cut short: it ends at byte {end:,}," in str(caught.value)
            assert "copy or download it again" in str(caught.value)
    path.write_bytes(b"")
    with pytest.raises(DataError, match="empty"), opened_sequences(path, "here", 12):
        pass


def test_a_length_beyond_the_file_allocates_nothing(tmp_path: Path) -> None:
    path = tmp_path / "c.pkl"
    opcode = next(o for o in pickletools.opcodes if o.name == "BINBYTES8")
    path.write_bytes(b"\x80\x04" + opcode.code.encode("latin1") + (2**62).to_bytes(8, "little") + b".")
    with pytest.raises(DataError, match="cut short: it ends at byte 12,"), opened_sequences(path, "here", 12):
        pass
