"""The reader of the label-vector file: genuine pickles of every protocol read well, no other pickle does anything."""

from __future__ import annotations

import io
import pickle
import struct
import sys
import types
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from avbench.harness.errors import DataError
from avbench.harness.features.legacy import MAX_BYTES, MAX_OPCODES, MAX_PROMPTS, read_label_vectors

VECTORS = {
    name: vector / np.linalg.norm(vector)
    for name, vector in zip(
        ("Apply Eye Makeup", "Weight Lifting", "Zupfen \u00fc"),
        np.random.default_rng(0).standard_normal((3, 300)).astype(np.float32),
        strict=True,
    )
}


def npy(pickled: bytes, descr: str = "|O", shape: tuple[int, ...] = ()) -> bytes:
    """A ``.npy`` file with that content."""
    stream = io.BytesIO()
    np.lib.format.write_array_header_1_0(stream, {"descr": descr, "fortran_order": False, "shape": shape})  # type: ignore[no-untyped-call]
    return stream.getvalue() + pickled


def genuine(value: Any = VECTORS, protocol: int = 4) -> bytes:
    """The file as ``numpy.save`` writes a dict: an object array that holds it."""
    return npy(pickle.dumps(np.array(value, dtype=object), protocol=protocol))


def same(found: dict[str, NDArray[np.float32]], wanted: dict[str, NDArray[np.float32]]) -> None:
    assert list(found) == list(wanted)
    for prompt, vector in wanted.items():
        assert found[prompt].dtype == np.float32
        np.testing.assert_array_equal(found[prompt], vector)


@pytest.mark.parametrize("protocol", range(6))
@pytest.mark.parametrize("core", ["numpy.core", "numpy._core"])
def test_every_protocol_and_spelling(protocol: int, core: str) -> None:
    content = genuine(protocol=protocol)
    for own in (b"numpy._core", b"numpy.core"):
        content = _respelt(content, own, core.encode())
    assert core.encode() in content
    same(read_label_vectors(content, "f.npy"), VECTORS)


def _respelt(content: bytes, own: bytes, other: bytes) -> bytes:
    """Another spelling of the module, with the lengths that stand before texts put right; frames are dropped."""
    for name in (b".multiarray", b".numeric"):
        content = content.replace(
            b"\x8c" + bytes([len(own + name)]) + own + name, b"\x8c" + bytes([len(other + name)]) + other + name
        )
        content = content.replace(b"c" + own + name, b"c" + other + name)
    return content


def test_what_numpy_save_writes() -> None:
    stream = io.BytesIO()
    np.save(stream, np.array(VECTORS, dtype=object), allow_pickle=True)
    same(read_label_vectors(stream.getvalue(), "f.npy"), VECTORS)


def test_the_reading_matches_numpy_for_other_floats() -> None:
    for kind in ("<f2", "<f8", ">f4", ">f8"):
        given_vectors = {k: v.astype(kind) for k, v in VECTORS.items()}
        found = read_label_vectors(genuine(given_vectors), "f.npy")
        same(found, {k: v.astype(np.float32) for k, v in given_vectors.items()})


def test_python_2_strings() -> None:
    """Protocol 2 of Python 2: bytes are BINSTRING, and the globals are old."""
    raw = VECTORS["Weight Lifting"].tobytes()
    array = (
        b"cnumpy.core.multiarray\n_reconstruct\ncnumpy\nndarray\nK\x00\x85U\x01b\x87R(K\x01M\x2c\x01\x85cnumpy\ndtype\n"
        b"U\x02f4K\x00K\x01\x87R(K\x03U\x01<NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\x00tb\x89T"
    ) + struct.pack("<I", len(raw))
    content = b"\x80\x02}U\x0eWeight Lifting" + array + raw + b"tbs."
    same(read_label_vectors(npy(content), "f.npy"), {"Weight Lifting": VECTORS["Weight Lifting"]})


class _Reduce:
    """Pickles as a call of anything."""

    def __init__(self, call: Callable[..., Any], *arguments: Any) -> None:
        self.call = (call, arguments)

    def __reduce__(self) -> tuple[Callable[..., Any], tuple[Any, ...]]:
        return self.call


def text(value: str) -> bytes:
    return b"\x8c" + bytes([len(value)]) + value.encode()


def nested_tuples(depth: int) -> bytes:
    """A tuple that holds itself twice on every level: tiny to write, 2 ** depth to hash, compare or print."""
    return b"K\x00\x85" + b"".join(b"q\x01h\x01\x86" for _ in range(depth))


PREFIX = b"\x80\x04"


def hostile(marker: Path) -> dict[str, bytes]:
    """Pickles that create ``marker`` when any of their code runs, or that never end, or that fill the memory."""
    import builtins
    import os

    command = f"touch {marker}"
    python = f"open({str(marker)!r}, 'w')"
    system, call = text("os") + text("system") + b"\x93", text(command) + b"\x85R"
    array = {"a": _Reduce(os.system, command)}
    return {
        "os.system": pickle.dumps(_Reduce(os.system, command)),
        "os.system, protocol 0": pickle.dumps(_Reduce(os.system, command), 0),
        "builtins.eval": pickle.dumps(_Reduce(builtins.eval, python)),
        "builtins.exec": pickle.dumps(_Reduce(builtins.exec, python), 2),
        "builtins.open": pickle.dumps(_Reduce(open, str(marker), "w")),
        "numpy.load": pickle.dumps({"a": _Reduce(np.load, str(marker))}),
        "numpy.memmap": pickle.dumps(_Reduce(np.memmap, str(marker), "f4", "w+", 0, (4,))),
        "nested in a dict": pickle.dumps(array),
        "nested in an array": pickle.dumps(np.array([[array]], dtype=object)),
        "the state of an array": pickle.dumps(np.array({"a": [_Reduce(os.system, command)]}, dtype=object), 5),
        "stack global": PREFIX + system + call + b".",
        "stack global with a dotted name": PREFIX + text("numpy") + text("f2py.os.system") + b"\x93" + call + b".",
        "stack global with names from the memo": PREFIX
        + (text("os") + b"\x940" + text("system") + b"\x940h\x00h\x01\x93" + call + b"."),
        "stack global without text": PREFIX + b"K\x01K\x02\x93.",
        "getattr walk": b"cbuiltins\ngetattr\n(cos\nsystem\nV__call__\ntR(V" + command.encode() + b"\ntR.",
        "getattr on a known name": PREFIX + text("numpy") + text("dtype.__class__") + b"\x93.",
        "a method of a known name": PREFIX + text("_codecs") + text("encode.__call__") + b"\x93.",
        "encode by another codec": PREFIX + text("_codecs") + text("lookup") + b"\x93" + text("x") + b"\x85R.",
        "INST": b"(S'" + command.encode() + b"'\nios\nsystem\n.",
        "OBJ": b"(cos\nsystem\nS'" + command.encode() + b"'\no.",
        "NEWOBJ": PREFIX + system + text(command) + b"\x85\x81.",
        "NEWOBJ_EX": PREFIX + system + text(command) + b"\x85}\x92.",
        "EXT1": b"\x80\x02\x82\x01.",
        "EXT4": b"\x80\x02\x84\x01\x00\x00\x00.",
        "PERSID": b"Pid\n.",
        "BINPERSID": text("id") + b"Q.",
        "out-of-band buffer": b"\x80\x05\x97.",
        "sets": b"\x80\x04\x8f.",
        "frozen sets": b"\x80\x04(K\x01\x91.",
        "build on a name": PREFIX + text("numpy") + text("dtype") + b"\x93}" + text("build") + b"K\x01sb.",
        "slots of a name": PREFIX + text("numpy") + text("dtype") + b"\x93N}" + text("build") + b"K\x01s\x86b.",
        "build on a dict": PREFIX + b"}}" + text("__class__") + b"K\x01sb.",
        "call of a text": PREFIX + text("os") + b")R.",
        "keys that take for ever to hash": PREFIX + b"}" + nested_tuples(60) + b"K\x01s.",
        "keys by SETITEMS": PREFIX + b"}(" + nested_tuples(60) + b"K\x01u.",
        "keys by DICT": PREFIX + b"(" + nested_tuples(60) + b"K\x01d.",
        "a dtype code that takes for ever to print": PREFIX
        + (text("numpy") + text("dtype") + b"\x93" + nested_tuples(60) + b"\x85R."),
        "a byte order that takes for ever to hash": PREFIX
        + (text("numpy") + text("dtype") + b"\x93" + text("f4") + b"\x85R" + b"K\x03" + nested_tuples(60) + b"\x86b."),
        "a shape that takes for ever to print": _array_with(shape=nested_tuples(60)),
        "huge memo index": b"\x80\x02}r\xff\xff\xff\x7f.",
        "huge memo index as text": b"}p99999999999999999999\n0g1\n.",
        "huge text": PREFIX + b"\x8d" + struct.pack("<Q", 2**62) + b"x.",
        "huge bytes": PREFIX + b"\x8e" + struct.pack("<Q", 2**40) + b"x.",
        "huge number": b"L" + b"9" * 100_000 + b"L\n.",
        "huge shape": _array_with(shape=b"\x8a\x08" + struct.pack("<q", 2**62) + b"\x85"),
        "negative shape": _array_with(shape=b"J\xff\xff\xff\xff\x85"),
        "shape of text": _array_with(shape=text("300") + b"\x85"),
        "many dimensions": _array_with(shape=b"K\x01K\x01K\x01\x87"),
        "a dtype of objects": _array_with(code="O8"),
        "a dtype of records": _array_with(code="V4"),
        "content too short": _array_with(content=b"C\x02ab"),
        "content of no bytes": _array_with(content=b"]"),
        "no content": PREFIX + b"}" + text("a") + text("numpy") + text("ndarray") + b"\x93)Rs.",
        "endless steps": b"\x80\x02" + b"N0" * MAX_OPCODES + b".",
        "a list in itself": PREFIX + b"]\x94h\x00a.",
        "a dict in itself": PREFIX + b"}\x94" + text("a") + b"h\x00s.",
        "a thousand lists": PREFIX + b"]" * 100_000 + b"a" * 99_999 + b".",
        "nothing on the stack": PREFIX + b".",
        "marks without end": PREFIX + b"(" * 1000 + b"t.",
        "no mark": PREFIX + b"t.",
        "no stop": PREFIX + b"}",
        "empty": b"",
        "no pickle": b"\xff\xff\xff",
        "an empty dict": pickle.dumps({}),
        "no dict": pickle.dumps([1, 2]),
        "keys of bytes": pickle.dumps({b"a": VECTORS["Weight Lifting"]}),
        "values of numbers": pickle.dumps({"a": 1.5}),
        "values of texts": pickle.dumps({"a": "b"}),
        "integers": pickle.dumps({"a": np.arange(300)}),
        "matrices": pickle.dumps({"a": np.zeros((2, 300), np.float32)}),
        "different lengths": pickle.dumps({"a": np.ones(300, np.float32), "b": np.ones(299, np.float32)}),
        "NaN": pickle.dumps({"a": np.full(300, np.nan, np.float32)}),
        "too large for float32": pickle.dumps({"a": np.full(300, 1e300)}),
        "too many prompts": pickle.dumps({str(i): None for i in range(MAX_PROMPTS + 1)}),
    }


def _array_with(shape: bytes = b"K\x01\x85", code: str = "f4", content: bytes = b"C\x04abcd") -> bytes:
    """A dict with one array, of which something is wrong."""
    dtype = text("numpy") + text("dtype") + b"\x93" + text(code) + b"\x85R(K\x03" + text("<") + b"tb"
    array = text("numpy") + text("ndarray") + b"\x93)R"
    return PREFIX + b"}" + text("a") + array + b"(K\x01" + shape + dtype + b"\x89" + content + b"tbs."


def test_the_builder_of_broken_arrays_builds_a_sound_one() -> None:
    (vector,) = read_label_vectors(npy(_array_with()), "f.npy").values()
    np.testing.assert_array_equal(vector, np.frombuffer(b"abcd", "<f4"))


@pytest.mark.parametrize("name", hostile(Path("x")))
def test_a_hostile_pickle_is_refused_and_nothing_runs(name: str, tmp_path: Path) -> None:
    marker = tmp_path / "ran"
    content = npy(hostile(marker)[name])
    with pytest.raises(DataError, match=r"^vectors\.npy: ") as error:
        read_label_vectors(content, "vectors.npy")
    assert not marker.exists()
    assert len(str(error.value)) < 500


def test_the_hostile_pickles_would_run(tmp_path: Path) -> None:
    """The plain unpickler does what these pickles ask for, so that the test above can fail."""
    for name in (
        "os.system",
        "os.system, protocol 0",
        "stack global",
        "nested in a dict",
        "getattr walk",
        "INST",
        "OBJ",
    ):
        marker = tmp_path / name.replace(" ", "_").replace(",", "")
        pickle.loads(hostile(marker)[name])  # noqa: S301
        assert marker.exists(), name


def test_no_module_is_imported(monkeypatch: pytest.MonkeyPatch) -> None:
    loaded = []

    class Finder:
        @staticmethod
        def find_spec(name: str, *_: object) -> types.ModuleType | None:
            loaded.append(name)
            return None

    monkeypatch.setattr(sys, "meta_path", [Finder, *sys.meta_path])
    with pytest.raises(DataError, match=r"asks for 'antigravity\.x y'"):
        read_label_vectors(npy(PREFIX + text("antigravity.x") + text("y") + b"\x93."), "f.npy")
    assert not loaded


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "not a NumPy .npy file"),
        (b"\x93NUMPY", "not a NumPy .npy file"),
        (b"\x93NUMPY\x09\x00\x10\x00" + b" " * 16, "not a NumPy .npy file"),
        (pickle.dumps(VECTORS), "not a NumPy .npy file"),
        (b"\x93NUMPY\x01\x00\x20\x00" + b"(" * 32, "not a NumPy .npy file"),
        (b"\x93NUMPY\x01\x00\x20\x00" + b"__import__('os').system('true') " + b"x", "not a NumPy .npy file"),
        (npy(b"", "<f4", (2, 3)), "float32 values of shape"),
        (npy(pickle.dumps(VECTORS), "|O", (2,)), "not one pickled dict"),
    ],
)
def test_other_files(content: bytes, message: str) -> None:
    with pytest.raises(DataError, match=message):
        read_label_vectors(content, "f.npy")


def test_a_file_too_large() -> None:
    with pytest.raises(DataError, match="more than any label-vector file"):
        read_label_vectors(bytes(MAX_BYTES + 1), "f.npy")


def test_truncated_anywhere() -> None:
    content = genuine({"a": VECTORS["Weight Lifting"][:5]})
    for end in range(len(content)):
        with pytest.raises(DataError):
            read_label_vectors(content[:end], "f.npy")


@given(
    protocol=st.integers(0, 5),
    flips=st.lists(st.tuples(st.integers(0, 10**6), st.integers(0, 255)), min_size=1, max_size=8),
)
@settings(max_examples=100, deadline=None)
def test_changed_bytes_raise_nothing_but_data_errors(protocol: int, flips: list[tuple[int, int]]) -> None:
    content = bytearray(genuine({k: v[:4] for k, v in VECTORS.items()}, protocol))
    for place, value in flips:
        content[place % len(content)] = value
    try:
        found = read_label_vectors(bytes(content), "f.npy")
    except DataError:
        return
    assert all(v.dtype == np.float32 and np.isfinite(v).all() for v in found.values())


@given(pickled=st.binary(max_size=60))
@settings(max_examples=100, deadline=None)
def test_random_bytes_raise_nothing_but_data_errors(pickled: bytes) -> None:
    with pytest.raises(DataError):
        read_label_vectors(npy(PREFIX + pickled), "f.npy")
