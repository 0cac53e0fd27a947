"""The content hash of a feature set: one function for all that makes, stores or checks features. Knows no torch."""

from __future__ import annotations

import hashlib
import struct
from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from torch import Tensor


def content_hash(tensors: Mapping[str, NDArray[np.generic] | Tensor]) -> str:
    """SHA-256 (hex) over the tensors in the order of their names: name, dtype, shape, then the little-endian bytes.

    A NumPy array, a memory map and a CPU torch tensor with the same content hash alike, whatever their strides.
    """
    digest = hashlib.sha256()
    for name in sorted(tensors):
        array = np.asarray(tensors[name], order="C")
        array = array.astype(array.dtype.newbyteorder("<"), copy=False)
        for text in (name, array.dtype.str):
            digest.update(struct.pack("<Q", len(text.encode())) + text.encode())
        digest.update(struct.pack(f"<{array.ndim + 1}Q", array.ndim, *array.shape))
        digest.update(array.reshape(-1).view(np.uint8).data)
    return digest.hexdigest()
