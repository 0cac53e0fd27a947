"""What a whole two-stage run of a method costs: time and peak memory, in a process of its own."""

from __future__ import annotations

import multiprocessing
import os
import subprocess
import sys
import tempfile
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from time import perf_counter

import torch
from costs import MB, Cost
from simulated_track import simulated_track
from step_timing import ucf_options
from two_stage import SEED, UCF, deterministic

from avbench.harness.evaluation.peak_memory import peak_memory_bytes
from avbench.harness.evaluation.protocol import PROTOCOLS
from avbench.harness.evaluation.two_stages import run_two_stages
from avbench.harness.plugins.registry import plugins
from avbench.harness.running.environment import forget_peak_memory
from avbench.methods.learning.training import BatchMethod

AVBENCH = [sys.executable, "-c", "from avbench.harness.cli import main; main()"]


@dataclass(frozen=True)
class RunCost:
    """One two-stage run on ucf/main."""

    seconds: float
    epochs: int
    """Trained and validated, in both stages together."""
    peak_mb: float
    """Largest memory of the process; on CUDA, of the allocator."""
    added_mb: float
    """What the run adds at its peak to the process that holds the features."""


def run_cost(slug: str, epochs: int, batches: int, device: str, threads: int) -> RunCost:
    """One run, measured in a fresh process."""
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(1, mp_context=context) as pool:
        return pool.submit(_run, slug, epochs, batches, device, threads).result()


def _run(slug: str, epochs: int, batches: int, device_name: str, threads: int) -> RunCost:
    torch.set_num_threads(threads)
    device = torch.device(device_name)
    kind = plugins().method(slug).method
    assert issubclass(kind, BatchMethod)
    options = ucf_options(kind, epochs=epochs, batches_per_epoch=batches)
    features = simulated_track(UCF).to(device, torch.float32)
    forget_peak_memory(device)
    before = peak_memory_bytes(device) / MB
    with deterministic():
        done = run_two_stages(lambda: kind(options), features, PROTOCOLS["aligned"], epochs=epochs, seed=SEED)
    peak = peak_memory_bytes(device) / MB
    return RunCost(sum(done.seconds), epochs + done.epochs, peak, peak - before)


def command_cost(
    method: str, *, seeds: int, jobs: int, epochs: int, batches: int, device: str, threads: int | None = None
) -> Cost:
    """Wall seconds of one `avbench run` on the demo of UCF, with its start, and the peak memory of its largest process.

    ``threads``: None leaves the choice to it.
    """
    with tempfile.TemporaryDirectory() as results:
        command = [*AVBENCH, "run", "--method", method, "--dataset", "ucf", "--features", "demo"]
        command += ["--seeds", str(seeds), "--jobs", str(jobs), "--device", device, "--results", results]
        command += ["-p", f"epochs={epochs}", "-p", f"batches_per_epoch={batches}"]
        environment = {**os.environ, **({"OMP_NUM_THREADS": str(threads)} if threads else {})}
        with tempfile.TemporaryFile() as output:
            start = perf_counter()
            process = subprocess.Popen(command, stdout=output, stderr=output, env=environment)
            _, status, usage = os.wait4(process.pid, 0)
            seconds = perf_counter() - start
            process.returncode = os.waitstatus_to_exitcode(status)
            if process.returncode:
                output.seek(0)
                raise RuntimeError(f"{' '.join(command)}\n{output.read().decode(errors='replace')}")
        return Cost(seconds, usage.ru_maxrss * 1024 / MB)
