"""Reader for the archive's label-vector file: a NumPy ``.npy`` that holds one pickled dict.

A pickle is a program for a stack machine that may import and call anything. This reader never gives it to Python's
unpickler: it walks the opcodes itself, on a machine that knows texts, numbers, bytes, containers and the few names that
NumPy's arrays are written with, and that calls, imports, hashes, compares and prints nothing of a stranger's.
"""

from __future__ import annotations

import io
import math
import pickletools
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from avbench.harness.errors import DataError
from avbench.harness.printable import printable

MAX_BYTES = 64 * 2**20
MAX_OPCODES = 1_000_000
MAX_PROMPTS = 10_000
MAX_DIMENSION = 4_096


class _RefusedError(ValueError):
    """The pickle is not that of label vectors."""


def read_label_vectors(content: bytes, where: str) -> dict[str, NDArray[np.float32]]:
    """The dict prompt -> label vector, each (Dt,) float32, finite, of one length.

    ``where`` names the file in errors. Raises :class:`DataError` for anything that is not such a file, and for a
    pickle that asks for more than NumPy's array reconstruction.
    """
    if len(content) > MAX_BYTES:
        raise DataError(f"{where}: {len(content):,} bytes, more than any label-vector file has ({MAX_BYTES:,})")
    pickled = _after_header(content, where)
    try:
        value = _Machine().run(pickled)
        if isinstance(value, _Array):
            value = value.only_element()
        if not isinstance(value, dict):
            raise _RefusedError("it holds no dict from prompt to vector")
        if not 0 < len(value) <= MAX_PROMPTS:
            raise _RefusedError(f"it holds {len(value):,} prompts")
        vectors = {prompt: _vector(entry) for prompt, entry in value.items()}
    except ValueError as error:
        raise DataError(f"{where}: not a label-vector file ({error})") from None
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


@dataclass(frozen=True)
class _Name:
    """Something that a pickle may name: what a call of it builds. Known by identity; never NumPy's own."""

    build: Callable[[tuple[Any, ...]], Any]


@dataclass(eq=False)
class _Dtype:
    """A stated ``numpy.dtype``: its code, such as ``f4``, and its byte order."""

    code: str
    order: str = "<"

    def set_state(self, state: tuple[Any, ...]) -> None:
        order = state[1] if len(state) > 1 else None
        if not isinstance(order, str) or order not in ("<", ">", "|"):
            raise _RefusedError("a dtype without byte order")
        self.order = order


@dataclass(eq=False)
class _Array:
    """A stated ``numpy.ndarray``: nothing of it is checked until its values are wanted."""

    shape: Any = None
    dtype: Any = None
    content: Any = None

    def set_state(self, state: tuple[Any, ...]) -> None:
        if len(state) != 5:
            raise _RefusedError("an array in no known form")
        _, self.shape, self.dtype, _, self.content = state

    def only_element(self) -> Any:
        """The element of an object array of one."""
        if not isinstance(self.content, list) or len(self.content) != 1:
            raise _RefusedError("the outer array does not hold one object")
        return self.content[0]


def _vector(entry: Any) -> NDArray[np.float32]:
    """The values of a one-dimensional array of floats."""
    if not isinstance(entry, _Array) or not isinstance(entry.dtype, _Dtype):
        raise _RefusedError("a prompt has no array")
    dtype, shape, raw = entry.dtype, entry.shape, entry.content
    if dtype.code not in ("f2", "f4", "f8") or dtype.order == "|":
        raise _RefusedError(f"a label vector is a row of floats, not {printable(dtype.code, 20)}")
    if not isinstance(shape, tuple) or len(shape) != 1 or not isinstance(shape[0], int):
        raise _RefusedError("a label vector is a row, not of another shape")
    if not 0 < shape[0] <= MAX_DIMENSION:
        raise _RefusedError(f"a label vector has 1 to {MAX_DIMENSION:,} values")
    content = raw.encode("latin1") if isinstance(raw, str) else raw
    if not isinstance(content, bytes | bytearray) or len(content) != shape[0] * int(dtype.code[1]):
        raise _RefusedError(f"the content of a label vector does not fit its {shape[0]} values")
    with np.errstate(over="ignore"):
        values = np.frombuffer(content, np.dtype(dtype.order + dtype.code)).astype(np.float32)
    if not np.isfinite(values).all():
        raise _RefusedError("a label vector holds NaN or infinity")
    return values


def _frombuffer(arguments: tuple[Any, ...]) -> _Array:
    """NumPy's ``_frombuffer(buffer, dtype, shape, order)``, which pickle protocol 5 uses."""
    if len(arguments) != 4:
        raise _RefusedError("an array in no known form")
    content, dtype, shape, _ = arguments
    return _Array(shape, dtype, content)


def _dtype(arguments: tuple[Any, ...]) -> _Dtype:
    if not arguments or not isinstance(arguments[0], str):
        raise _RefusedError("a dtype without code")
    return _Dtype(arguments[0])


def _encoded(arguments: tuple[Any, ...]) -> str:
    """``_codecs.encode(text, "latin1")``, as which pickle protocols 0 to 2 write bytes: the text itself, no copy."""
    if not arguments or not isinstance(arguments[0], str):
        raise _RefusedError("encoded bytes without text")
    return arguments[0]


_NDARRAY = _Name(lambda _: _Array())  # the state comes later
_FROMBUFFER = _Name(_frombuffer)
NAMES = {
    "numpy ndarray": _NDARRAY,
    "numpy dtype": _Name(_dtype),
    "numpy.core.multiarray _reconstruct": _NDARRAY,
    "numpy._core.multiarray _reconstruct": _NDARRAY,
    "numpy.core.numeric _frombuffer": _FROMBUFFER,
    "numpy._core.numeric _frombuffer": _FROMBUFFER,
    "_codecs encode": _Name(_encoded),
}
"""Module and name -> what stands for it."""

LITERALS = frozenset(
    [
        "INT",
        "BININT",
        "BININT1",
        "BININT2",
        "LONG",
        "LONG1",
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
    ]
)
"""Opcodes that push their argument."""
CONSTANTS: dict[str, Callable[[], Any]] = {
    "NONE": lambda: None,
    "NEWTRUE": lambda: True,
    "NEWFALSE": lambda: False,
    "EMPTY_TUPLE": tuple,
    "EMPTY_LIST": list,
    "EMPTY_DICT": dict,
}
"""Opcodes that push something new without an argument."""


class _Machine:
    """The stack and memo of one pickle."""

    def __init__(self) -> None:
        self.stack: list[Any] = []
        self.below: list[list[Any]] = []
        """The stacks under each mark."""
        self.memo: dict[int, Any] = {}

    def run(self, pickled: bytes) -> Any:
        """What the pickle leaves on the stack. Raises ValueError for an opcode or a use that label vectors lack."""
        try:
            for number, (opcode, argument, _) in enumerate(pickletools.genops(pickled)):
                if number >= MAX_OPCODES:
                    raise _RefusedError(f"its pickle has more than {MAX_OPCODES:,} steps")
                self._step(opcode.name, argument)
            return self.stack.pop()
        except (IndexError, KeyError):
            raise _RefusedError("its pickle takes what it never gave") from None

    def _step(self, name: str, argument: Any) -> None:
        stack = self.stack
        if name in LITERALS:
            stack.append(argument)
        elif name in CONSTANTS:
            stack.append(CONSTANTS[name]())
        elif name in ("BINGET", "LONG_BINGET", "GET"):
            stack.append(self.memo[argument])
        elif name in ("BINPUT", "LONG_BINPUT", "PUT"):
            self.memo[argument] = stack[-1]
        elif name not in ("PROTO", "FRAME", "STOP"):
            step = getattr(self, f"_{name.lower()}", None)
            if step is None:
                raise _RefusedError(f"its pickle uses {name}, which label vectors never need")
            step() if argument is None else step(argument)

    def _memoize(self) -> None:
        self.memo[len(self.memo)] = self.stack[-1]

    def _mark(self) -> None:
        self.below.append(self.stack)
        self.stack = []

    def _pop(self) -> None:
        self.stack.pop()

    def _pop_mark(self) -> list[Any]:
        """What lies above the last mark."""
        above, self.stack = self.stack, self.below.pop()
        return above

    def _tuple(self) -> None:
        above = self._pop_mark()
        self.stack.append(tuple(above))

    def _tuple1(self) -> None:
        self._top(1)

    def _tuple2(self) -> None:
        self._top(2)

    def _tuple3(self) -> None:
        self._top(3)

    def _top(self, count: int) -> None:
        if len(self.stack) < count:
            raise IndexError
        self.stack[-count:] = [tuple(self.stack[-count:])]

    def _list(self) -> None:
        above = self._pop_mark()
        self.stack.append(above)

    def _append(self) -> None:
        self._extend([self.stack.pop()])

    def _appends(self) -> None:
        self._extend(self._pop_mark())

    def _extend(self, elements: list[Any]) -> None:
        if not isinstance(self.stack[-1], list):
            raise _RefusedError("its pickle fills what is no list")
        self.stack[-1].extend(elements)

    def _dict(self) -> None:
        above = self._pop_mark()
        self.stack.append({})
        self._update(above)

    def _setitem(self) -> None:
        value, key = self.stack.pop(), self.stack.pop()
        self._update([key, value])

    def _setitems(self) -> None:
        self._update(self._pop_mark())

    def _update(self, pairs: list[Any]) -> None:
        keys = pairs[::2]
        if not isinstance(self.stack[-1], dict) or not all(isinstance(key, str) for key in keys) or len(pairs) % 2:
            raise _RefusedError("it holds no dict from prompt to vector")
        self.stack[-1].update(zip(keys, pairs[1::2], strict=True))

    def _global(self, name: str) -> None:
        if name not in NAMES:
            raise _RefusedError(f"its pickle asks for {printable(name, 80)!r}, which label vectors never need")
        self.stack.append(NAMES[name])

    def _stack_global(self) -> None:
        name, module = self.stack.pop(), self.stack.pop()
        if not isinstance(name, str) or not isinstance(module, str):
            raise _RefusedError("its pickle asks for something without a name")
        self._global(f"{module} {name}")

    def _reduce(self) -> None:
        arguments, called = self.stack.pop(), self.stack.pop()
        if not isinstance(called, _Name) or not isinstance(arguments, tuple):
            raise _RefusedError("its pickle calls what cannot be called")
        self.stack.append(called.build(arguments))

    def _build(self) -> None:
        state, built = self.stack.pop(), self.stack[-1]
        if not isinstance(built, _Array | _Dtype) or not isinstance(state, tuple):
            raise _RefusedError("its pickle gives a state to what has none")
        built.set_state(state)
