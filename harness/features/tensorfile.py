"""A safetensors file that is filled block by block: features larger than memory can be stored. Knows no torch."""

from __future__ import annotations

import json
import math
import struct
from collections.abc import Mapping
from dataclasses import dataclass
from typing import BinaryIO

import numpy as np
from numpy.typing import NDArray

from avbench.harness.features.hashing import StreamedHash, content_hash_of_file, streamed_hash

ALIGNMENT = 64
HASH = "content_hash"
"""Key of the content hash in the metadata of the file."""
CODES = {"<i8": "I64", "<f8": "F64", "<f4": "F32", "<f2": "F16", "|u1": "U8"}
"""NumPy dtype -> its name in safetensors."""


@dataclass(frozen=True)
class Layout:
    """Dtype and shape of one tensor."""

    dtype: str
    shape: tuple[int, ...]

    @property
    def bytes(self) -> int:
        return math.prod(self.shape) * np.dtype(self.dtype).itemsize


class TensorFile:
    """Writes the tensors of ``layouts`` to a seekable stream; rows in any order, each row once, then :meth:`finish`.

    Tensors lie in the order given: begin with the widest dtype, and every tensor is aligned to its own.
    """

    def __init__(self, stream: BinaryIO, layouts: Mapping[str, Layout]) -> None:
        self._stream = stream
        self._layouts = dict(layouts)
        self._begin = len(self._header("0" * 64))
        self._offsets: dict[str, int] = {}
        self._unwritten = {name: layout.shape[0] for name, layout in self._layouts.items()}
        end = self._begin
        for name, layout in self._layouts.items():
            self._offsets[name] = end
            end += layout.bytes
        self.bytes = end

    def write(self, name: str, first_row: int, rows: NDArray[np.generic]) -> None:
        """Store consecutive rows of a tensor. The dtype is converted, the shape of a row must be that of the layout."""
        layout = self._layouts[name]
        if rows.shape[1:] != layout.shape[1:] or first_row + len(rows) > layout.shape[0]:
            raise ValueError(f"{name}: rows {rows.shape} from {first_row} do not fit {layout.shape}")
        self._unwritten[name] -= len(rows)
        row_bytes = layout.bytes // layout.shape[0]
        self._stream.seek(self._offsets[name] + first_row * row_bytes)
        self._stream.write(np.ascontiguousarray(rows, layout.dtype).reshape(-1).view(np.uint8).data)

    def finish(self) -> str:
        """Hash what was written, write the header with the hash in it, and return the hash."""
        if any(self._unwritten.values()):
            raise ValueError(f"rows not written: {self._unwritten}")
        self._stream.flush()
        found = self._hash()
        self._stream.seek(0)
        self._stream.write(self._header(found))
        return found

    def _hash(self) -> str:
        layouts = self._layouts.items()
        places = {name: (layout.dtype, layout.shape, self._offsets[name]) for name, layout in layouts}
        return content_hash_of_file(self._stream, places)

    def _header(self, found: str) -> bytes:
        header: dict[str, object] = {"__metadata__": {HASH: found}}
        end = 0
        for name, layout in self._layouts.items():
            begin, end = end, end + layout.bytes
            header[name] = {"dtype": CODES[layout.dtype], "shape": layout.shape, "data_offsets": [begin, end]}
        text = json.dumps(header, separators=(",", ":")).encode()
        text += b" " * (-(8 + len(text)) % ALIGNMENT)
        return struct.pack("<Q", len(text)) + text


class SequentialTensorFile(TensorFile):
    """The same for tensors whose rows are written in order: they are hashed on the way and not read again."""

    def __init__(self, stream: BinaryIO, layouts: Mapping[str, Layout]) -> None:
        super().__init__(stream, layouts)
        self._hashes = {name: StreamedHash(layout.dtype, layout.shape) for name, layout in self._layouts.items()}

    def append(self, name: str, rows: NDArray[np.generic]) -> None:
        """Store the next rows of a tensor."""
        layout = self._layouts[name]
        rows = np.ascontiguousarray(rows, layout.dtype)
        self.write(name, layout.shape[0] - self._unwritten[name], rows)
        self._hashes[name].update(rows)

    def _hash(self) -> str:
        return streamed_hash({name: found.digest() for name, found in self._hashes.items()})
