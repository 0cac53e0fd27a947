"""One thread per test process: parallel processes with threads of their own wait for each other most of the time."""

from __future__ import annotations

import gc
import os
from pathlib import Path

import pytest

os.environ.setdefault("OMP_NUM_THREADS", "1")


@pytest.fixture(scope="module")
def little_garbage() -> None:
    """What is there now stays to the end: no search for garbage goes through it again. statsmodels starts one at each
    correction, which takes half a second among the objects of a thousand tests."""
    gc.collect()
    gc.freeze()


def pytest_runtest_setup(item: pytest.Item) -> None:
    """Tests marked ``cuda`` are skipped where there is no such device."""
    if item.get_closest_marker("cuda"):
        import torch

        if not torch.cuda.is_available():
            pytest.skip("no CUDA device")


@pytest.fixture(scope="session")
def avbench_wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A wheel of this checkout, built once per test process."""
    from fresh_environment import ROOT, build_wheel

    return build_wheel(ROOT, tmp_path_factory.mktemp("wheel"))
