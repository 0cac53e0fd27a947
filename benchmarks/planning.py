"""Seconds and memory of planning: a plan of 2,000 runs, first none of them done, then all.

    python benchmarks/planning.py [--runs 2000] [--partition NAME]

With a partition of SLURM the plan is also submitted, in 64 jobs, timed, and cancelled at once.

The records are simulated: their evidence has the size of the genuine splits and is the same for all runs of a track and
protocol. Each figure comes from a process of its own, which starts, loads torch, plans, and looks at every record and
its evidence as `avbench run` does before the first run begins; memory is the peak of that process, and what planning
added to what it was before.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent / "tests"))

import torch

from avbench.harness.plugins.registry import plugins
from avbench.harness.records.planned import PlannedRun
from avbench.harness.records.results import ResultsFolder
from avbench.harness.running.environment import peak_memory_bytes
from avbench.harness.running.runs import plan
from avbench.harness.running.session import known_of
from avbench.harness.tracks import Track
from avbench.splits import DATASETS

PROTOCOLS = ("aligned", "as-published")


def planned(count: int) -> list[PlannedRun]:
    """Methods for averaged features on the demo of all data sets, in both protocols, with as many seeds as needed."""
    methods = [
        slug
        for slug, known in plugins().methods.items()
        if known.built_in and known.info.calibrated_stacking and known.info.reads("averaged")
    ]
    seeds = -(-count // (len(methods) * len(DATASETS) * len(PROTOCOLS)))
    runs = plan(methods, [Track(d, "demo") for d in DATASETS], PROTOCOLS, range(seeds))
    return runs[:count]


def fill(root: Path, runs: Sequence[PlannedRun]) -> None:
    """A finished, simulated record of every run."""
    from simulated_results import record_of, simulated_run, store

    made = {}
    for run in runs:
        c = run.configuration
        key = c.track, c.protocol.name, c.options.get("epochs")
        if key not in made:
            made[key] = simulated_run("ale", c.track, c.protocol.name, 0, simulated=True, options=c.options)
    records = []
    for run in runs:
        c = run.configuration
        record, evidence = made[c.track, c.protocol.name, c.options.get("epochs")]
        records.append((record_of(c, outcome=record.outcome, simulated=True), evidence))
    store(root, records)


def measure(root: Path, count: int) -> str:
    """One line: what was found, seconds and memory."""
    before = _peak_mb()
    wall, work = time.perf_counter(), time.process_time()
    runs = planned(count)
    finished = sum(known.stands for known in known_of(runs, ResultsFolder(root)))
    wall, work = time.perf_counter() - wall, time.process_time() - work
    return (
        f"{len(runs)} runs, {finished} finished: {wall:.1f} s, {work:.1f} s of processor time, "
        f"{_peak_mb():.0f} MB, {_peak_mb() - before:.0f} MB of them added"
    )


def submission(root: Path, runs: Sequence[PlannedRun], partition: str) -> str:
    """One line: how long it takes to pack, write down and submit a plan whose jobs are cancelled at once."""
    from avbench.harness.cluster.settings import read_settings
    from avbench.harness.cluster.slurm import cancel
    from avbench.harness.cluster.submission import Request
    from avbench.harness.cluster.submit import submit

    wall, work = time.perf_counter(), time.process_time()
    made = submit(ResultsFolder(root), runs, [None] * len(runs), read_settings([f"partition={partition}"]), Request())
    wall, work = time.perf_counter() - wall, time.process_time() - work
    cancel(made.submitted.jobs)
    return (
        f"{len(runs)} runs submitted in {len(made.submitted.jobs)} jobs: {wall:.1f} s, {work:.1f} s of processor time"
    )


def _peak_mb() -> float:
    return peak_memory_bytes(torch.device("cpu")) / 2**20


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=2000)
    parser.add_argument("--partition")
    parser.add_argument("--folder", type=Path, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.folder:
        print(measure(arguments.folder, arguments.runs))
        return
    with tempfile.TemporaryDirectory() as folder:
        if arguments.partition:
            print(submission(Path(folder), planned(arguments.runs), arguments.partition))
        again = [sys.executable, __file__, "--runs", str(arguments.runs), "--folder", folder]
        subprocess.run(again, check=True)
        fill(Path(folder), planned(arguments.runs))
        subprocess.run(again, check=True)


if __name__ == "__main__":
    main()
