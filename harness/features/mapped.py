"""Tensors of a safetensors file, mapped: a file may be larger than memory. Imports torch when used.

``safetensors`` maps a file so that the system sets memory aside for every page that might be written to, and refuses a
file larger than memory. Here nothing is set aside. Pages that are written to are the process's own: the file stays.
"""

from __future__ import annotations

import json
import math
import mmap
import struct
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from safetensors import safe_open

if TYPE_CHECKING:
    import torch
    from torch import Tensor

NO_RESERVE = getattr(mmap, "MAP_NORESERVE", 0x4000)
"""Of Linux; Python names it from 3.12 on."""


def mapped_tensors(path: Path) -> tuple[dict[str, str], dict[str, Tensor]]:
    """Metadata and tensors of a file. Raises OSError or ``safetensors.SafetensorError`` for a damaged one."""
    import torch

    with safe_open(path, framework="numpy") as checked:  # header and sizes are sound, or it raises
        metadata: dict[str, str] = checked.metadata() or {}
    places = _places(path)
    pages = _mapped(path, 0, max((place.end for place in places.values()), default=0))
    tensors = {}
    for name, place in places.items():
        count = (place.end - place.begin) // place.dtype.itemsize
        flat = torch.empty(0, dtype=place.dtype)
        if count:
            flat = torch.frombuffer(pages, dtype=place.dtype, count=count, offset=place.begin)
        tensors[name] = flat.view(place.shape)
    return metadata, tensors


def mapped_rows(path: Path, name: str, rows: int) -> Tensor:
    """The first rows of a tensor of a file, mapped by themselves: what follows in the file is not behind them."""
    import torch

    place = _places(path)[name]
    size = rows * math.prod(place.shape[1:]) * place.dtype.itemsize
    begin = place.begin // mmap.ALLOCATIONGRANULARITY * mmap.ALLOCATIONGRANULARITY
    pages = _mapped(path, begin, place.begin + size - begin)
    flat = torch.frombuffer(pages, dtype=place.dtype, count=size // place.dtype.itemsize, offset=place.begin - begin)
    return flat.view(rows, *place.shape[1:])


@dataclass(frozen=True)
class _Place:
    """Where a tensor lies in its file."""

    dtype: torch.dtype
    shape: tuple[int, ...]
    begin: int
    end: int


def _places(path: Path) -> dict[str, _Place]:
    import torch

    kinds = {"I64": torch.int64, "F64": torch.float64, "F32": torch.float32, "F16": torch.float16, "U8": torch.uint8}
    with path.open("rb") as stream:
        (length,) = struct.unpack("<Q", stream.read(8))
        header = json.loads(stream.read(length))
    header.pop("__metadata__", None)
    found = {}
    for name, facts in header.items():
        if (dtype := kinds.get(facts["dtype"])) is None:
            raise OSError(f"{name} is {facts['dtype']}, which no feature set holds")
        begin, end = (8 + length + place for place in facts["data_offsets"])
        found[name] = _Place(dtype, tuple(facts["shape"]), begin, end)
    return found


def _mapped(path: Path, begin: int, size: int) -> mmap.mmap:
    """Pages of a file. What is written to them is the process's own."""
    with path.open("rb") as stream:
        if hasattr(mmap, "MAP_PRIVATE"):
            flags, protection = mmap.MAP_PRIVATE | NO_RESERVE, mmap.PROT_READ | mmap.PROT_WRITE
            return mmap.mmap(stream.fileno(), size, flags, protection, offset=begin)
        return mmap.mmap(stream.fileno(), size, access=mmap.ACCESS_COPY, offset=begin)
