"""Reader for the archive's label-vector file: a NumPy ``.npy`` that holds one pickled dict.

It is read by the restricted reader of :mod:`avbench.harness.features.pickled`, which runs nothing.
"""

from __future__ import annotations

import io
import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from avbench.harness.errors import DataError
from avbench.harness.features.pickled import RefusedError, StatedArray, StatedDtype, read_pickled
from avbench.harness.printable import printable

MAX_BYTES = 64 * 2**20
MAX_OPCODES = 1_000_000
MAX_PROMPTS = 10_000
MAX_DIMENSION = 4_096


def read_label_vectors(content: bytes, where: str) -> dict[str, NDArray[np.float32]]:
    """The dict prompt -> label vector, each (Dt,) float32, finite, of one length.

    ``where`` names the file in errors. Raises :class:`DataError` for anything that is not such a file, and for a
    pickle that asks for more than NumPy's array reconstruction.
    """
    if len(content) > MAX_BYTES:
        raise DataError(f"{where}: {len(content):,} bytes, more than any label-vector file has ({MAX_BYTES:,})")
    pickled = _after_header(content, where)
    try:
        value = read_pickled(pickled, "label vectors", MAX_OPCODES, len(content) - len(pickled))
        if isinstance(value, StatedArray):
            value = value.only_element()
        if not isinstance(value, dict):
            raise RefusedError("it holds no dict from prompt to vector")
        if not 0 < len(value) <= MAX_PROMPTS:
            raise RefusedError(f"it holds {len(value):,} prompts")
        vectors = {prompt: _vector(entry, prompt) for prompt, entry in value.items()}
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


def _vector(entry: Any, prompt: str) -> NDArray[np.float32]:
    """The values of a one-dimensional array of floats."""
    if not isinstance(entry, StatedArray) or not isinstance(entry.dtype, StatedDtype):
        raise RefusedError("a prompt has no array")
    dtype, shape, raw = entry.dtype, entry.shape, entry.content
    if dtype.code not in ("f2", "f4", "f8") or dtype.order == "|":
        raise RefusedError(f"a label vector is a row of floats, not {printable(dtype.code, 20)}")
    if not isinstance(shape, tuple) or len(shape) != 1 or not isinstance(shape[0], int):
        raise RefusedError("a label vector is a row, not of another shape")
    if not 0 < shape[0] <= MAX_DIMENSION:
        raise RefusedError(f"a label vector has 1 to {MAX_DIMENSION:,} values")
    content = raw.encode("latin1") if isinstance(raw, str) else raw
    if not isinstance(content, bytes | bytearray | memoryview) or len(content) != shape[0] * int(dtype.code[1]):
        raise RefusedError(f"the content of a label vector does not fit its {shape[0]} values")
    with np.errstate(over="ignore"):
        values = np.frombuffer(content, np.dtype(dtype.order + dtype.code)).astype(np.float32)
    if not np.isfinite(values).all():
        raise RefusedError(f"the label vector of {printable(prompt, 60)!r} holds NaN or infinity")
    return values
