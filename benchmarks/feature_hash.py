"""What it costs to make sure of the content of features: python benchmarks/feature_hash.py [GIGABYTES]

Hashes numbers of the size of the largest public track (VGGSound cls, 1.58 GB) with the function that loading uses, and
with other hashes and threads beside it. CPU seconds tell what a machine without other work takes; wall seconds, today.
"""

from __future__ import annotations

import hashlib
import sys
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import numpy as np
from tabulate import tabulate

from avbench.harness.features.hashing import content_hash

VGGSOUND_CLS = 1.58
"""Gigabytes of the stored features."""
PART = 2**22


def timed(call: Callable[[], object]) -> tuple[float, float]:
    """Wall and CPU seconds of a call."""
    wall, cpu = time.perf_counter(), time.process_time()
    call()
    return time.perf_counter() - wall, time.process_time() - cpu


def by_parts(name: str, content: memoryview, threads: int) -> None:
    """Hash parts of 4 MiB in threads, as a tree hash would."""
    parts = [content[begin : begin + PART] for begin in range(0, len(content), PART)]
    with ThreadPoolExecutor(threads) as pool:
        list(pool.map(lambda part: hashlib.new(name, part).digest(), parts))


def main() -> None:
    gigabytes = float(sys.argv[1]) if len(sys.argv) > 1 else VGGSOUND_CLS
    features = np.random.default_rng(0).standard_normal(int(gigabytes * 1e9 / 4), dtype=np.float32)
    content = memoryview(features.view(np.uint8))
    rows = [["content_hash (SHA-256)", 1, *timed(lambda: content_hash({"visual": features}))]]
    for name in ("sha256", "sha1", "blake2b"):
        rows.append([name, 1, *timed(lambda name=name: hashlib.new(name, content).digest())])  # type: ignore[misc]
    rows.append(["sha256 in parts of 4 MiB", 2, *timed(lambda: by_parts("sha256", content, 2))])
    print(f"{gigabytes} GB")
    print(tabulate(rows, headers=["hash", "threads", "wall seconds", "CPU seconds"], floatfmt=".2f"))


if __name__ == "__main__":
    main()
