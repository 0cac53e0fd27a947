"""Time of one AVCA training step beside the time of its matrix products alone, measured in turn in the same run.

    python benchmarks/train_step.py [--device cuda] [--threads 2] [--json]

The products are timed as torch makes them and, as "as run", by the library that the step calls. Shown is the fastest
repetition, of the step the median one too.
"""

from __future__ import annotations

import argparse
import json
import os
from dataclasses import asdict

from avbench.harness.running.spin import SHORT_SPIN

os.environ.setdefault(*SHORT_SPIN)  # as `avbench run` does

import torch
from step_timing import measure
from tabulate import tabulate

from avbench.methods.avca import AVCA, AVCAOptions


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", default="cpu", help="cpu, cuda or cuda:1 (default: cpu)")
    parser.add_argument("--threads", type=int, help="CPU threads (default: as PyTorch chooses)")
    parser.add_argument("--batch-size", type=int, default=256)
    parser.add_argument("--epochs", type=int, default=40, help="repetitions")
    parser.add_argument("--batches", type=int, default=4, help="steps per repetition")
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args()
    if arguments.threads:
        torch.set_num_threads(arguments.threads)

    # Dropouts of the UCF preset: every mask has to be drawn.
    common = {
        "dropout_projection": 0.3,
        "dropout_decoder": 0.5,
        "batch_size": arguments.batch_size,
    }
    rows = [
        measure(
            name,
            AVCA,
            AVCAOptions(**common, reference_batch_norm=extra),
            repetitions=arguments.epochs,
            steps=arguments.batches,
            device=torch.device(arguments.device),
        )
        for name, extra in (("AVCA", False), ("AVCA, reference_batch_norm", True))
    ]
    if arguments.json:
        print(json.dumps([asdict(row) for row in rows], indent=2))
        return
    print(tabulate([asdict(row) for row in rows], headers="keys", floatfmt=".2f"))


if __name__ == "__main__":
    main()
