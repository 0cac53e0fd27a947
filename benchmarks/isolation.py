"""What a process of its own costs a run: AVCA on the demo of UCF. Run: python benchmarks/isolation.py [--repeat 3]

Runs of both kinds take turns in one process; the fastest of each counts, because other work on the machine only adds
time. A run apart starts Python and torch anew, which a plain run in a started process does not. Processor seconds are
those of judge and worker together (of a sandbox's worker they are not known): on a busy machine they tell more.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import tempfile
from pathlib import Path

from avbench.harness.running.spin import SHORT_SPIN

os.environ.setdefault(*SHORT_SPIN)  # as `avbench run` does

import torch
from tabulate import tabulate

from avbench.harness.isolation.choice import Isolation
from avbench.harness.isolation.sandbox import unavailable
from avbench.harness.records.results import ResultsFolder
from avbench.harness.running.runs import execute, plan
from avbench.harness.tracks import parse_track

SECONDS, SHARE = 3.0, 0.03
"""Goal: a run apart takes at most so much more, and this share of the plain run."""


def processor_seconds() -> float:
    """Of this process and of those that it has waited for."""
    return sum(sum(resource.getrusage(who)[:2]) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repeat", type=int, default=3)
    parser.add_argument("--method", default="avca")
    parser.add_argument("--track", default="ucf/demo")
    parser.add_argument("--option", action="append", default=[], metavar="NAME=VALUE")
    parser.add_argument("--threads", type=int)
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args()
    if arguments.threads:
        torch.set_num_threads(arguments.threads)
    options = dict(given.split("=", 1) for given in arguments.option)
    (planned,) = plan([arguments.method], [parse_track(arguments.track)], ["aligned"], [0], options)
    kinds = ["none", "process", *([] if unavailable() else ["sandbox"])]
    best = dict.fromkeys(kinds, float("inf"))
    busy = dict.fromkeys(kinds, float("inf"))
    evidence = set()
    for _ in range(arguments.repeat):
        for kind in kinds:
            before = processor_seconds()
            with tempfile.TemporaryDirectory() as folder:
                results = ResultsFolder(Path(folder))
                record = execute(planned, results, torch.device("cpu"), isolation=Isolation(kind))
            assert record.outcome is not None, record.failure
            evidence.add(record.outcome.evidence)
            best[kind] = min(best[kind], record.measured.seconds)
            busy[kind] = min(busy[kind], processor_seconds() - before)
    assert len(evidence) == 1, "the bits differ"
    plain = best["none"]
    rows = [
        {
            "isolation": kind,
            "seconds": s,
            "over none": s - plain,
            "ratio": s / plain,
            "processor s": None if kind == "sandbox" else busy[kind],
        }
        for kind, s in best.items()
    ]
    if arguments.json:
        print(json.dumps(rows, indent=1))
    else:
        print(tabulate(rows, headers="keys", floatfmt=".2f"))
        print(f"goal: at most {SECONDS + SHARE * plain:.2f} s over none ({SECONDS:g} s and {100 * SHARE:g} %)")


if __name__ == "__main__":
    main()
