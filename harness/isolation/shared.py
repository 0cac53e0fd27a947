"""Tensors in memory that judge and worker share: a nameless file, of which only the descriptor is handed over.

Imports torch.
"""

from __future__ import annotations

import mmap
import os
import tempfile
from collections.abc import Mapping

import torch
from torch import Tensor

from avbench.harness.isolation.messages import DType, Layout, Placed

ALIGNED = 64
"""Bytes, as torch places its own tensors."""
_DTYPES: Mapping[DType, torch.dtype] = {
    "float32": torch.float32,
    "float16": torch.float16,
    "bfloat16": torch.bfloat16,
    "int64": torch.int64,
    "bool": torch.bool,
}
_NAMES = {dtype: name for name, dtype in _DTYPES.items()}


def put(
    tensors: Mapping[str, Tensor], dtype: torch.dtype | None = None, *, on_disk: bool = False
) -> tuple[int, Layout]:
    """Copy tensors into a new piece of shared memory: its descriptor, which is the caller's, and the layout.

    ``dtype``: of all floating tensors; as they are by default. ``on_disk``: in a temporary file, for what may be larger
    than memory. Raises OSError where there is no room.
    """
    layout: Layout = {}
    size = 0
    for name, tensor in tensors.items():
        kind = dtype if dtype is not None and tensor.is_floating_point() else tensor.dtype
        layout[name] = Placed(dtype=_NAMES[kind], shape=tuple(tensor.shape), begin=size)
        size = -(-(size + tensor.numel() * kind.itemsize) // ALIGNED) * ALIGNED
    file = room(size, on_disk=on_disk)
    try:
        for name, place in _placed(file, layout).items():
            place.copy_(tensors[name])
    except BaseException:
        os.close(file)
        raise
    return file, layout


def get(file: int, layout: Layout) -> dict[str, Tensor]:
    """The tensors of a piece of shared memory, without a copy."""
    return _placed(file, layout)


def room(size: int, *, on_disk: bool = False) -> int:
    """A piece of shared memory of so many bytes, all zero. Pages are taken when they are written to."""
    if on_disk or not hasattr(os, "memfd_create"):
        with tempfile.TemporaryFile() as stream:
            file = os.dup(stream.fileno())
        if size and hasattr(os, "posix_fallocate"):  # a full disk is an error now, not a signal later
            os.posix_fallocate(file, 0, size)
    else:
        file = os.memfd_create("avbench")
    os.ftruncate(file, size)
    return file


def write(file: int, tensor: Tensor, begin: int) -> None:
    """Write the numbers of a float32 tensor on the CPU."""
    content = _bytes(tensor.contiguous())
    while len(content):
        done = os.pwrite(file, content, begin)
        content, begin = content[done:], begin + done


def read(file: int, shape: tuple[int, int], begin: int) -> Tensor | None:
    """A float32 tensor of exactly this shape, copied: later changes do not reach it. None where there is less."""
    tensor = torch.empty(shape)
    content = _bytes(tensor)
    while len(content):
        if not (done := os.preadv(file, [content], begin)):
            return None
        content, begin = content[done:], begin + done
    return tensor


def _bytes(tensor: Tensor) -> memoryview:
    """The memory of a contiguous tensor on the CPU."""
    return tensor.numpy().reshape(-1).view("uint8").data


def _placed(file: int, layout: Layout) -> dict[str, Tensor]:
    size = os.fstat(file).st_size
    pages = mmap.mmap(file, size) if size else None
    tensors = {}
    for name, place in layout.items():
        dtype = _DTYPES[place.dtype]
        count = torch.Size(place.shape).numel()
        flat = torch.empty(0, dtype=dtype)
        if count and pages is not None:
            flat = torch.frombuffer(pages, dtype=dtype, count=count, offset=place.begin)
        tensors[name] = flat.resize_(place.shape)  # no view: there is nothing behind it
    return tensors
