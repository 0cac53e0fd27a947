"""The content hash of a feature set: one function for all that makes, stores or checks features. Knows no torch."""

from __future__ import annotations

import hashlib
import math
import struct
from collections.abc import Mapping
from typing import TYPE_CHECKING, BinaryIO

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from torch import Tensor

BLOCK = 2**22
"""Bytes of a file that are read at once."""


def content_hash(tensors: Mapping[str, NDArray[np.generic] | Tensor]) -> str:
    """SHA-256 (hex) over the tensors in the order of their names: name, dtype, shape, then the little-endian bytes.

    A NumPy array, a memory map and a CPU torch tensor with the same content hash alike, whatever their strides.
    """
    digest = hashlib.sha256()
    for name in sorted(tensors):
        array = np.asarray(tensors[name], order="C")
        array = array.astype(array.dtype.newbyteorder("<"), copy=False)
        digest.update(_title(name, array.dtype.str, array.shape))
        digest.update(array.reshape(-1).view(np.uint8).data)
    return digest.hexdigest()


def content_hash_of_file(stream: BinaryIO, places: Mapping[str, tuple[str, tuple[int, ...], int]]) -> str:
    """The same hash of tensors in a file, read block by block. ``places``: little-endian dtype, shape, first byte."""
    digest = hashlib.sha256()
    for name in sorted(places):
        dtype, shape, start = places[name]
        digest.update(_title(name, dtype, shape))
        stream.seek(start)
        left = math.prod(shape) * np.dtype(dtype).itemsize
        while left:
            block = stream.read(min(left, BLOCK))
            if not block:
                raise OSError("the file is shorter than its tensors")
            digest.update(block)
            left -= len(block)
    return digest.hexdigest()


def _title(name: str, dtype: str, shape: tuple[int, ...]) -> bytes:
    texts = b"".join(struct.pack("<Q", len(text.encode())) + text.encode() for text in (name, dtype))
    return texts + struct.pack(f"<{len(shape) + 1}Q", len(shape), *shape)


class StreamedHash:
    """The hash of the bytes of one tensor that is written row by row, in order."""

    def __init__(self, dtype: str, shape: tuple[int, ...]) -> None:
        self._kind = f"{np.dtype(dtype).newbyteorder('<').str} {shape}".encode()
        self._digest = hashlib.sha256()

    def update(self, rows: NDArray[np.generic]) -> None:
        """Take the next rows, C-contiguous and little-endian."""
        self._digest.update(rows.reshape(-1).view(np.uint8).data)

    def digest(self) -> bytes:
        """32 bytes that follow from dtype, shape and content."""
        return hashlib.sha256(self._kind + b"\0" + self._digest.digest()).digest()


def streamed_hash(tensors: Mapping[str, bytes]) -> str:
    """SHA-256 (hex) over the digests of tensors in the order of their names: the content hash of a set over time.

    Its tensors may be larger than memory, so each is hashed while it is written, and none of them is read again.
    """
    digest = hashlib.sha256()
    for name in sorted(tensors):
        digest.update(struct.pack("<Q", len(name.encode())) + name.encode() + tensors[name])
    return digest.hexdigest()


def sequence_hash(tensors: Mapping[str, NDArray[np.generic] | Tensor], rows: int = 4096) -> str:
    """The same hash of tensors that are there already, ``rows`` rows at a time."""
    digests = {}
    for name, tensor in tensors.items():
        array = np.asarray(tensor)
        streamed = StreamedHash(array.dtype.str, array.shape)
        for start in range(0, len(array), rows):
            block = np.ascontiguousarray(array[start : start + rows])
            streamed.update(block.astype(block.dtype.newbyteorder("<"), copy=False))
        digests[name] = streamed.digest()
    return streamed_hash(digests)
