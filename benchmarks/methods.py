"""Time of one training step of each registered batch method beside the time of its matrix products alone.

    python benchmarks/methods.py [--method avca] [--batch-size 256] [--device cuda] [--threads 2] [--json]

Options are the presets of ucf/main under the protocol aligned. The products are timed as torch makes them and, as "as
run", by the library that the step calls. Shown is the fastest repetition, of the step the median one too. A step that
takes several batches, because optimisers take turns, says how many.
"""

from __future__ import annotations

import argparse
import json
import sys
from dataclasses import asdict

import torch
from step_timing import batch_method, measure, ucf_options
from tabulate import tabulate

from avbench.harness.errors import UsageError
from avbench.harness.plugins import plugins


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--method", action="append", help="method to time; may be repeated (default: all)")
    parser.add_argument("--batch-size", type=int, help="default: that of each method's preset")
    parser.add_argument("--device", default="cpu", help="cpu, cuda or cuda:1 (default: cpu)")
    parser.add_argument("--threads", type=int, help="CPU threads (default: as PyTorch chooses)")
    parser.add_argument("--repetitions", type=int, default=20)
    parser.add_argument("--steps", type=int, default=4, help="steps per repetition")
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args()
    if arguments.threads:
        torch.set_num_threads(arguments.threads)

    rows = []
    for slug in arguments.method or plugins().methods:
        try:
            kind = batch_method(slug)
        except UsageError as error:
            parser.error(str(error))
        if kind is None:
            print(f"{slug}: left out, it takes no training steps on batches", file=sys.stderr)
            continue
        given = {"batch_size": arguments.batch_size} if arguments.batch_size else {}
        device = torch.device(arguments.device)
        rows.append(measure(slug, kind, ucf_options(kind, **given), arguments.repetitions, arguments.steps, device))
    if arguments.json:
        print(json.dumps([asdict(row) for row in rows], indent=2))
        return
    print(tabulate([asdict(row) for row in rows], headers="keys", floatfmt=".2f"))


if __name__ == "__main__":
    main()
