"""What an array from Python must be to be taken as numbers: all of them there, each in a place of its own.

Loads torch only where the caller has.
"""

from __future__ import annotations

import sys

import numpy as np

NATIVE = ("f2", "f4", "f8", "i1", "i2", "i4", "i8", "u1", "b1")
"""Codes of the types of numbers that NumPy and torch share."""


def odd_kind(array: object) -> str | None:
    """What is odd about an array, and what to do; None for a plain NumPy array or dense torch tensor."""
    if isinstance(array, np.ma.MaskedArray):
        return "a masked array: put numbers in place of what is masked, with .filled(VALUE)"
    if isinstance(array, np.ndarray):
        if array.dtype.kind in "fiub" and array.dtype.newbyteorder("=").str[1:] not in NATIVE:
            return f"of type {array.dtype}, which torch does not know: convert it with .astype('float64')"
        if not array.dtype.isnative:
            return f"of type {array.dtype}, of another byte order: convert it with .astype('{array.dtype.kind}4')"
        return None
    torch = sys.modules.get("torch")
    if torch is None or not isinstance(array, torch.Tensor):
        return f"a {type(array).__name__}, not a NumPy array or a torch tensor"
    if array.is_nested:
        return "a nested tensor: make it one of equal rows, with torch.nested.to_padded_tensor"
    if array.layout != torch.strided:
        return f"a sparse tensor ({array.layout}): make it dense, with .to_dense()"
    if array.is_meta:
        return "a tensor on the meta device, which holds no numbers: make it on 'cpu'"
    return None
