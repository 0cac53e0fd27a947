"""Label vectors of the demo: sentence-encoder vectors of the prompts of all source classes, stored in the package.

They were made once by :mod:`avbench.harness.features.make_demo_text`.
"""

from __future__ import annotations

import hashlib
from importlib import resources
from typing import TYPE_CHECKING

import numpy as np
from safetensors import safe_open

from avbench.harness.errors import DataError
from avbench.splits import Split

if TYPE_CHECKING:
    from numpy.typing import NDArray

FILE = "demo_text.safetensors"
"""One (source classes, 384) float16 tensor per data set, row = class id. Its metadata hold ``model``, ``package``,
``weights_sha256``, ``license``, and ``prompts_sha256.<data set>``."""


def prompts_hash(split: Split) -> str:
    """SHA-256 of the prompts in the order of their class ids, joined by line feeds."""
    return hashlib.sha256("\n".join(c.prompt for c in split.classes).encode()).hexdigest()


def label_vectors(split: Split) -> NDArray[np.float32]:
    """Unit-norm label vectors of all source classes of the split's data set, (source classes, 384), row = class id.

    Squares of float16 numbers add up exactly in float64, so the result has the same bits on every machine. Raises
    :class:`DataError` when the stored vectors belong to other prompts.
    """
    with (
        resources.as_file(resources.files(__package__) / FILE) as path,
        safe_open(path, framework="numpy") as stored,
    ):
        made_from = (stored.metadata() or {}).get(f"prompts_sha256.{split.dataset}")
        if made_from != prompts_hash(split):
            raise DataError(f"{FILE}: its vectors do not belong to the prompts of {split.dataset}; reinstall avbench")
        vectors = stored.get_tensor(split.dataset).astype(np.float64)
    unit: NDArray[np.float32] = (vectors / np.sqrt((vectors**2).sum(axis=1, keepdims=True))).astype(np.float32)
    return unit
