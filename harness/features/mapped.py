"""Tensors of a safetensors file, mapped: a file may be larger than memory. Imports torch when used.

``safetensors`` maps a file so that the system sets memory aside for every page that might be written to, and refuses a
file larger than memory. Here nothing is set aside. Pages that are written to are the process's own: the file stays.
"""

from __future__ import annotations

import json
import mmap
import struct
from pathlib import Path
from typing import TYPE_CHECKING

from safetensors import safe_open

if TYPE_CHECKING:
    from torch import Tensor

NO_RESERVE = getattr(mmap, "MAP_NORESERVE", 0x4000)
"""Of Linux; Python names it from 3.12 on."""


def mapped_tensors(path: Path) -> tuple[dict[str, str], dict[str, Tensor]]:
    """Metadata and tensors of a file. Raises OSError or ``safetensors.SafetensorError`` for a damaged one."""
    import torch

    kinds = {"I64": torch.int64, "F64": torch.float64, "F32": torch.float32, "F16": torch.float16, "U8": torch.uint8}
    with safe_open(path, framework="numpy") as checked:  # header and sizes are sound, or it raises
        metadata: dict[str, str] = checked.metadata() or {}
    with path.open("rb") as stream:
        (length,) = struct.unpack("<Q", stream.read(8))
        header = json.loads(stream.read(length))
        if hasattr(mmap, "MAP_PRIVATE"):
            pages = mmap.mmap(stream.fileno(), 0, mmap.MAP_PRIVATE | NO_RESERVE, mmap.PROT_READ | mmap.PROT_WRITE)
        else:
            pages = mmap.mmap(stream.fileno(), 0, access=mmap.ACCESS_COPY)
    tensors = {}
    for name, facts in header.items():
        if name == "__metadata__":
            continue
        if (dtype := kinds.get(facts["dtype"])) is None:
            raise OSError(f"{name} is {facts['dtype']}, which no feature set holds")
        shape, (begin, end) = facts["shape"], facts["data_offsets"]
        count = (end - begin) // dtype.itemsize
        place = 8 + length + begin
        flat = torch.frombuffer(pages, dtype=dtype, count=count, offset=place) if count else torch.empty(0, dtype=dtype)
        tensors[name] = flat.view(shape)
    return metadata, tensors
