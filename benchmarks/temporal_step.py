"""A training step of TCaF over time: beside its matrix products, and how long it waits for steps on a disk.

    python benchmarks/temporal_step.py [--threads 1] [--gigabytes 4] [--quick]

Products: those of a real step, repeated alone. Waiting: a set of the shape of VGGSound cls (10 audio steps of 128, 15
visual steps of 4096, float16) is written to a file of ``--gigabytes`` and mapped; after every step the system is told
to forget the pages of the file (``posix_fadvise``), as if the set were far larger than memory. What a step waits is the
time between asking for a batch and having it; the share is that over the time of the epoch.
"""

from __future__ import annotations

import argparse
import os
import statistics
import tempfile
import time
from pathlib import Path
from typing import Any

from avbench.harness.running.spin import SHORT_SPIN

os.environ.setdefault(*SHORT_SPIN)  # as `avbench run` does

import numpy as np
import torch
from matrix_products import MatrixProducts

from avbench.harness.contract.data import TrainingSet
from avbench.harness.contract.packed import PackedClips
from avbench.harness.testing.simulated import simulated_classes
from avbench.methods.learning.batch import Dims
from avbench.methods.learning.sequences import EpochSequences
from avbench.methods.tcaf import TCaF

AUDIO, VISUAL, BATCH, CLASSES = (10, 128), (15, 4096), 64, 138


def mapped_set(folder: Path, gigabytes: float) -> tuple[TrainingSet, Path, Path]:
    """A training set of that size, its values in two mapped files."""
    clips = max(BATCH, int(gigabytes * 1e9 / (2 * (AUDIO[0] * AUDIO[1] + VISUAL[0] * VISUAL[1]))))
    files, tensors = [], []
    block = np.random.default_rng(0).random((1500, VISUAL[1]), dtype=np.float32).astype(np.float16)
    for name, (steps, width) in (("audio", AUDIO), ("visual", VISUAL)):
        path = folder / f"{name}.bin"
        with path.open("wb") as stream:
            left = clips * steps
            while left:
                rows = min(left, len(block))
                stream.write(np.ascontiguousarray(block[:rows, :width]).tobytes())
                left -= rows
            stream.flush()
            os.fsync(stream.fileno())
        files.append(path)
        tensors.append(torch.from_file(str(path), size=clips * steps * width, dtype=torch.float16).view(-1, width))
    offsets = [torch.arange(clips + 1) * steps for steps in (AUDIO[0], VISUAL[0])]
    packed = PackedClips(
        *tensors, audio_offsets=offsets[0], visual_offsets=offsets[1], audio_step=0.96, visual_step=0.64
    )
    labels = torch.arange(clips) % CLASSES
    return TrainingSet(packed, labels, simulated_classes(CLASSES)), files[0], files[1]


def forget(*files: Path) -> None:
    """Let the system drop the cached pages of files."""
    for path in files:
        with path.open("rb") as stream:
            os.posix_fadvise(stream.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--gigabytes", type=float, default=4.0)
    parser.add_argument("--steps", type=int, default=12)
    parser.add_argument("--quick", action="store_true", help="a few steps of a small network")
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    given: dict[str, Any] = {"layers": 1, "hidden_encoder": 64} if arguments.quick else {"layers": 8}
    method = TCaF(TCaF.Options(**given))
    steps = 3 if arguments.quick else arguments.steps
    with tempfile.TemporaryDirectory(dir=Path.cwd()) as folder:
        train, *files = mapped_set(Path(folder), 0.05 if arguments.quick else arguments.gigabytes)
        torch.manual_seed(0)
        net = torch.nn.ModuleDict(method.build(Dims.of(train)))
        update = method.updates(net, torch.tensor(1e-4))
        batches = EpochSequences(train, steps, BATCH, False, 0)
        batches.draw()
        waits, works = [], []
        for _ in range(steps):
            forget(*files)
            asked = time.perf_counter()
            batch = batches.next()
            given_at = time.perf_counter()
            update(batch)
            waits.append(given_at - asked)
            works.append(time.perf_counter() - given_at)
        share = sum(waits[1:]) / (sum(waits[1:]) + sum(works[1:]))
        recorded = MatrixProducts()
        with recorded:
            update(batch)
        products, alone, again = recorded.alone(torch.device("cpu"), as_run=True), [], []
        for _ in range(2 if arguments.quick else 6):  # in turn: other work on the machine meets both
            start = time.perf_counter()
            products()
            middle = time.perf_counter()
            update(batch)
            alone.append(middle - start)
            again.append(time.perf_counter() - middle)
    step, ratio = 1e3 * min(again), min(again) / min(alone)
    print(f"step {step:.0f} ms, its products alone {1e3 * min(alone):.0f} ms: ratio {ratio:.2f}")
    print(f"with data from disk: step {1e3 * statistics.median(works):.0f} ms, waiting {100 * share:.1f} % of the time")


if __name__ == "__main__":
    main()
