"""A restricted reader of pickles that hold NumPy arrays, numbers, texts, bytes and builtin containers. Knows no torch.

A pickle is a program for a stack machine that may import and call anything. This reader never gives it to Python's
unpickler: it walks the opcodes itself, on a machine that knows texts, numbers, bytes, containers and the few names that
NumPy's arrays are written with, and that calls, imports, hashes, compares and prints nothing of a stranger's. Long
bytes are not copied: they are views of the given content.
"""

from __future__ import annotations

import pickletools
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from avbench.harness.printable import printable

Content = bytes | bytearray | memoryview


class RefusedError(ValueError):
    """The pickle is not one of the kind that is read."""


def read_pickled(content: Content, what: str, max_opcodes: int, begins: int = 0) -> Any:
    """What a pickle holds, with arrays as :class:`StatedArray`. ``what`` names the kind in errors: "label vectors".
    ``begins``: bytes of the file before it.

    Raises ValueError (:class:`RefusedError` for one that is sound but asks for more) and never runs anything.
    """
    return _Machine(what, max_opcodes).run(_opcodes(memoryview(content), begins))


@dataclass(frozen=True)
class _Name:
    """Something that a pickle may name: what a call of it builds. Known by identity; never NumPy's own."""

    build: Callable[[tuple[Any, ...]], Any]


@dataclass(eq=False)
class StatedDtype:
    """A stated ``numpy.dtype``: its code, such as ``f4``, and its byte order."""

    code: str
    order: str = "<"

    def set_state(self, state: tuple[Any, ...]) -> None:
        order = state[1] if len(state) > 1 else None
        if not isinstance(order, str) or order not in ("<", ">", "|"):
            raise RefusedError("a dtype without byte order")
        self.order = order


@dataclass(eq=False)
class StatedArray:
    """A stated ``numpy.ndarray``: nothing of it is checked until its values are wanted."""

    shape: Any = None
    dtype: Any = None
    content: Any = None
    fortran: Any = False
    """Whether the first index runs fastest."""

    def set_state(self, state: tuple[Any, ...]) -> None:
        if len(state) != 5:
            raise RefusedError("an array in no known form")
        _, self.shape, self.dtype, self.fortran, self.content = state

    def only_element(self) -> Any:
        """The element of an object array of one."""
        if not isinstance(self.content, list) or len(self.content) != 1:
            raise RefusedError("the outer array does not hold one object")
        return self.content[0]


def _frombuffer(arguments: tuple[Any, ...]) -> StatedArray:
    """NumPy's ``_frombuffer(buffer, dtype, shape, order)``, which pickle protocol 5 uses."""
    if len(arguments) != 4:
        raise RefusedError("an array in no known form")
    content, dtype, shape, order = arguments
    return StatedArray(shape, dtype, content, order == "F")


def _scalar(arguments: tuple[Any, ...]) -> StatedArray:
    """NumPy's ``scalar(dtype, content)``: an array without dimensions."""
    if len(arguments) != 2:
        raise RefusedError("a number or text in no known form")
    return StatedArray((), *arguments)


def _dtype(arguments: tuple[Any, ...]) -> StatedDtype:
    if not arguments or not isinstance(arguments[0], str):
        raise RefusedError("a dtype without code")
    return StatedDtype(arguments[0])


def _encoded(arguments: tuple[Any, ...]) -> str:
    """``_codecs.encode(text, "latin1")``, as which pickle protocols 0 to 2 write bytes: the text itself, no copy."""
    if not arguments or not isinstance(arguments[0], str):
        raise RefusedError("encoded bytes without text")
    return arguments[0]


_NDARRAY = _Name(lambda _: StatedArray())  # the state comes later
_FROMBUFFER = _Name(_frombuffer)
NAMES = {
    "numpy ndarray": _NDARRAY,
    "numpy dtype": _Name(_dtype),
    "numpy.core.multiarray _reconstruct": _NDARRAY,
    "numpy._core.multiarray _reconstruct": _NDARRAY,
    "numpy.core.numeric _frombuffer": _FROMBUFFER,
    "numpy._core.numeric _frombuffer": _FROMBUFFER,
    "numpy.core.multiarray scalar": _Name(_scalar),
    "numpy._core.multiarray scalar": _Name(_scalar),
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

    def __init__(self, what: str, max_opcodes: int) -> None:
        self.what, self.max_opcodes = what, max_opcodes
        self.stack: list[Any] = []
        self.below: list[list[Any]] = []
        """The stacks under each mark."""
        self.memo: dict[int, Any] = {}

    def run(self, opcodes: Iterable[tuple[str, Any]]) -> Any:
        """What the pickle leaves on the stack. Raises ValueError for an opcode or a use that its kind lacks."""
        try:
            for number, (name, argument) in enumerate(opcodes):
                if number >= self.max_opcodes:
                    raise RefusedError(f"its pickle has more than {self.max_opcodes:,} steps")
                self._step(name, argument)
            return self.stack.pop()
        except (IndexError, KeyError):
            raise RefusedError("its pickle takes what it never gave") from None

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
                raise RefusedError(f"its pickle uses {name}, which {self.what} never need")
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
            raise RefusedError("its pickle fills what is no list")
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
            raise RefusedError("it holds a dict with keys that are no texts")
        self.stack[-1].update(zip(keys, pairs[1::2], strict=True))

    def _global(self, name: str) -> None:
        if name not in NAMES:
            raise RefusedError(f"its pickle asks for {printable(name, 80)!r}, which {self.what} never need")
        self.stack.append(NAMES[name])

    def _stack_global(self) -> None:
        name, module = self.stack.pop(), self.stack.pop()
        if not isinstance(name, str) or not isinstance(module, str):
            raise RefusedError("its pickle asks for something without a name")
        self._global(f"{module} {name}")

    def _reduce(self) -> None:
        arguments, called = self.stack.pop(), self.stack.pop()
        if not isinstance(called, _Name) or not isinstance(arguments, tuple):
            raise RefusedError("its pickle calls what cannot be called")
        self.stack.append(called.build(arguments))

    def _build(self) -> None:
        state, built = self.stack.pop(), self.stack[-1]
        if not isinstance(built, StatedArray | StatedDtype) or not isinstance(state, tuple):
            raise RefusedError("its pickle gives a state to what has none")
        built.set_state(state)


LONG_BYTES = {"BINBYTES": 4, "BINBYTES8": 8, "BYTEARRAY8": 8}
"""Opcodes whose argument may be long -> bytes of its length."""


BY_CODE: dict[str, Any] = {opcode.code: opcode for opcode in pickletools.opcodes}


def _opcodes(pickled: memoryview, begins: int) -> Iterator[tuple[str, Any]]:
    """Name and argument of each opcode. Long bytes are views; ``pickletools`` reads all other arguments."""
    stream = _Stream(pickled)
    cut_short = RefusedError(
        f"the file is cut short: it ends at byte {begins + len(pickled):,}, in the middle of its content; "
        "copy or download it again and compare its size with the original's"
    )
    while True:
        code = stream.read(1)
        if not code:
            raise cut_short
        opcode = BY_CODE.get(code.decode("latin1"))
        if opcode is None:
            raise RefusedError(f"its pickle has an unknown step {code!r}")
        argument: Any = None
        if width := LONG_BYTES.get(opcode.name):
            length = int.from_bytes(stream.read(width), "little")
            argument = stream.view(length)
            if len(argument) != length:
                raise cut_short
        elif opcode.arg is not None:
            try:
                argument = opcode.arg.reader(stream)
            except ValueError:
                if stream.at_end:
                    raise cut_short from None
                raise
        yield opcode.name, argument
        if opcode.name == "STOP":
            return


class _Stream:
    """A view, read as a file."""

    def __init__(self, content: memoryview) -> None:
        self._content = content
        self._place = 0

    @property
    def at_end(self) -> bool:
        return self._place == len(self._content)

    def read(self, count: int) -> bytes:
        """A copy of the next bytes, fewer at the end."""
        return bytes(self.view(count))

    def view(self, count: int) -> memoryview:
        """The next bytes, fewer at the end."""
        found = self._content[self._place : self._place + count]
        self._place += len(found)
        return found

    def readline(self) -> bytes:
        """The next bytes up to a line feed."""
        end, block = self._place, 256
        while end < len(self._content):
            if (found := bytes(self._content[end : end + block]).find(b"\n")) >= 0:
                end += found + 1
                break
            end += block
        return self.read(end - self._place)
