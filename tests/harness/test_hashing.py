from __future__ import annotations

import numpy as np
import pytest
import torch

from avbench.harness.features.hashing import content_hash

ARRAYS = {"audio": np.arange(12, dtype=np.float32).reshape(3, 4), "class_id": np.array([0, 2, 5])}


def test_order_of_names_strides_and_library_do_not_matter() -> None:
    expected = content_hash(ARRAYS)
    fortran = {"class_id": ARRAYS["class_id"], "audio": np.asfortranarray(ARRAYS["audio"])}
    assert content_hash(fortran) == expected
    assert content_hash({name: torch.from_numpy(array) for name, array in ARRAYS.items()}) == expected
    assert (
        content_hash({name: array.astype(array.dtype.newbyteorder(">")) for name, array in ARRAYS.items()}) == expected
    )


def test_hash_is_pinned() -> None:
    """Stores and records keep these hashes, so the rule may never change silently."""
    assert content_hash(ARRAYS) == "95d79691e0215bcaf6b059a9bca9de2a7610431b530c64c2990661e2118a3832"


@pytest.mark.parametrize(
    "changed",
    [
        {"audio": ARRAYS["audio"].reshape(4, 3)},
        {"audio": ARRAYS["audio"].view(np.int32)},
        {"audio": np.where(ARRAYS["audio"] == 5, np.float32(5.0000005), ARRAYS["audio"])},
        {"more": np.zeros((0, 3), np.float32)},
        {"more": np.float32(0)},
    ],
)
def test_any_change_of_shape_dtype_value_or_name_changes_the_hash(changed: dict[str, np.ndarray]) -> None:
    assert content_hash(ARRAYS | changed) != content_hash(ARRAYS)
