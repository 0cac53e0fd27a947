"""Reader for the archive's label-vector file: a NumPy ``.npy`` that holds one pickled dict (ARCHIVE.md).

A pickle is a program. This reader runs it with every global replaced by an inert stand-in, so that NumPy's own array
reconstruction never sees a stranger's arguments, and only after its opcodes were checked against a short list.
"""

from __future__ import annotations

import io
import math
import pickle
import pickletools
from collections.abc import Callable
from typing import Any, NoReturn

import numpy as np
from numpy.typing import NDArray

from avbench.harness.errors import DataError

MAX_BYTES = 64 * 2**20
MAX_MEMO = 1_000_000
MAX_PROMPTS = 10_000
MAX_DIMENSION = 4_096

OPCODES = frozenset(
    [
        "PROTO",
        "FRAME",
        "STOP",
        "MARK",
        "POP",
        "POP_MARK",
        "NONE",
        "NEWTRUE",
        "NEWFALSE",
        "INT",
        "BININT",
        "BININT1",
        "BININT2",
        "LONG1",
        "BINFLOAT",
        "STRING",
        "BINSTRING",
        "SHORT_BINSTRING",
        "BINBYTES",
        "SHORT_BINBYTES",
        "BINBYTES8",
        "BYTEARRAY8",
        "UNICODE",
        "BINUNICODE",
        "SHORT_BINUNICODE",
        "BINUNICODE8",
        "EMPTY_TUPLE",
        "TUPLE",
        "TUPLE1",
        "TUPLE2",
        "TUPLE3",
        "EMPTY_LIST",
        "LIST",
        "APPEND",
        "APPENDS",
        "EMPTY_DICT",
        "DICT",
        "SETITEM",
        "SETITEMS",
        "PUT",
        "BINPUT",
        "LONG_BINPUT",
        "MEMOIZE",
        "GET",
        "BINGET",
        "LONG_BINGET",
        "GLOBAL",
        "STACK_GLOBAL",
        "REDUCE",
        "BUILD",
    ]
)
"""What a dict of arrays needs, in pickle protocols 0 to 5. No persistent ids, no extension codes, no instances."""


def read_label_vectors(content: bytes, where: str) -> dict[str, NDArray[np.float32]]:
    """The dict prompt -> label vector, each (Dt,) float32, finite, of one length.

    ``where`` names the file in errors. Raises :class:`DataError` for anything that is not such a file, and for a
    pickle that asks for any global but NumPy's array reconstruction.
    """
    if len(content) > MAX_BYTES:
        raise DataError(f"{where}: {len(content):,} bytes, more than any label-vector file has ({MAX_BYTES:,})")
    pickled = _after_header(content, where)
    _check_opcodes(pickled, where)
    try:
        value = _Unpickler(io.BytesIO(pickled), encoding="latin1").load()
        if isinstance(value, _Array):
            (value,) = value.items()
        if not isinstance(value, dict) or not all(isinstance(key, str) for key in value):
            raise ValueError("it holds no dict from prompt to vector")
        if not 0 < len(value) <= MAX_PROMPTS:
            raise ValueError(f"it holds {len(value)} prompts")
        vectors = {prompt: vector.floats() for prompt, vector in value.items()}
    except DataError as error:
        raise DataError(f"{where}: {error}") from None
    except Exception as error:  # whatever a hostile pickle can make the unpickler raise
        raise DataError(f"{where}: not a label-vector file ({type(error).__name__}: {error})") from None
    if len({len(vector) for vector in vectors.values()}) != 1:
        raise DataError(f"{where}: the label vectors differ in length")
    return vectors


def _after_header(content: bytes, where: str) -> bytes:
    """The pickle of a ``.npy`` file that holds one object, after its header."""
    stream = io.BytesIO(content)
    try:
        version = np.lib.format.read_magic(stream)
        read = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
        shape, _, dtype = read(stream)
    except Exception as error:  # the header is Python source, parsed by NumPy as literals only
        raise DataError(f"{where}: not a NumPy .npy file ({error})") from None
    if math.prod(shape) != 1 or dtype != np.dtype(object):
        raise DataError(f"{where}: holds {dtype} values of shape {shape}, not one pickled dict from prompt to vector")
    return content[stream.tell() :]


def _check_opcodes(pickled: bytes, where: str) -> None:
    try:
        for opcode, argument, _ in pickletools.genops(pickled):
            if opcode.name not in OPCODES:
                raise DataError(f"{where}: refused, its pickle uses {opcode.name}, which label vectors never need")
            if opcode.name in ("PUT", "LONG_BINPUT") and int(argument or 0) > MAX_MEMO:
                raise DataError(f"{where}: refused, its pickle asks for {argument} memo entries")
    except ValueError as error:
        raise DataError(f"{where}: truncated or broken pickle ({error})") from None


class _Dtype:
    """Stand-in for ``numpy.dtype``: keeps the code and byte order that the pickle states."""

    __slots__ = ("code", "order")

    def __init__(self, code: str, *_: object) -> None:
        self.code, self.order = str(code), "<"

    def __setstate__(self, state: tuple[Any, ...]) -> None:
        self.order = {"<": "<", ">": ">", "|": "|"}[state[1]]


class _Array:
    """Stand-in for ``numpy.ndarray``: keeps the state of the pickle and gives it out only when it is plain."""

    __slots__ = ("state",)

    def __setstate__(self, state: tuple[Any, ...]) -> None:
        self.state = state

    def items(self) -> list[Any]:
        """The elements of an object array."""
        *_, dtype, _fortran, elements = self.state
        if dtype.code not in ("O", "O4", "O8") or not isinstance(elements, list):
            raise ValueError("the outer array holds no object")
        return elements

    def floats(self) -> NDArray[np.float32]:
        """The values of a one-dimensional array of floats."""
        *_, shape, dtype, _fortran, raw = self.state
        if dtype.code not in ("f2", "f4", "f8") or not isinstance(shape, tuple) or len(shape) != 1:
            raise ValueError(f"a label vector is a row of floats, not {dtype.code} of shape {shape}")
        if not 0 < shape[0] <= MAX_DIMENSION:
            raise ValueError(f"a label vector has {shape[0]} values")
        content = raw.encode("latin1") if isinstance(raw, str) else raw
        if not isinstance(content, bytes | bytearray) or len(content) != shape[0] * int(dtype.code[1]):
            raise ValueError(f"the content of a label vector does not fit its {shape[0]} values")
        values = np.frombuffer(content, np.dtype(dtype.order + dtype.code)).astype(np.float32)
        if not np.isfinite(values).all():
            raise ValueError("a label vector holds NaN or infinity")
        return values


def _reconstruct(*_: object) -> _Array:
    """Stand-in for NumPy's ``_reconstruct``: the arguments are ignored, the state comes later."""
    return _Array()


def _frombuffer(raw: object, dtype: _Dtype, shape: object, _order: object) -> _Array:
    """Stand-in for NumPy's ``_frombuffer``, which pickle protocol 5 uses."""
    array = _Array()
    array.state = (shape, dtype, False, raw)
    return array


def _encode(text: str, *_: object) -> str:
    """Stand-in for ``_codecs.encode``, as which pickle protocol 2 writes bytes: the text itself, never a copy."""
    return text


class _Global:
    """A callable that cannot be changed from inside a pickle."""

    __slots__ = ("_call",)
    _call: Callable[..., Any]

    def __init__(self, call: Callable[..., Any]) -> None:
        object.__setattr__(self, "_call", call)

    def __call__(self, *arguments: Any) -> Any:
        return self._call(*arguments)

    def __setattr__(self, name: str, value: object) -> NoReturn:
        raise AttributeError("read-only")


GLOBALS = {
    (module, name): _Global(call)
    for modules, name, call in (
        (("numpy.core.multiarray", "numpy._core.multiarray"), "_reconstruct", _reconstruct),
        (("numpy.core.numeric", "numpy._core.numeric"), "_frombuffer", _frombuffer),
        (("numpy",), "dtype", _Dtype),
        (("numpy",), "ndarray", _Array),
        (("_codecs",), "encode", _encode),
    )
    for module in modules
}


class _Unpickler(pickle.Unpickler):
    def find_class(self, module: str, name: str) -> Any:
        try:
            return GLOBALS[module, name]
        except KeyError:
            raise DataError(f"refused, its pickle asks for {module}.{name}, which label vectors never need") from None
