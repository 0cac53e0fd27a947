"""Kernels of one training step on CUDA, and the time that the device waits for their launches."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from step_timing import fit_with_steps, simulated_training
from torch.autograd import DeviceType
from torch.profiler import ProfilerActivity, profile

from avbench.harness.contract.options import EpochOptions
from avbench.methods.learning.steps import WARM_UP
from avbench.methods.learning.training import BatchMethod


@dataclass(frozen=True)
class Launches:
    """One step that runs outside a captured graph."""

    kernels: int
    kernels_ms: float
    """Sum of their durations."""
    step_ms: float

    def idle_share(self, step_ms: float) -> float:
        """Share of a step's time in which no kernel runs."""
        return 1 - self.kernels_ms / step_ms


def launches(kind: type[BatchMethod], options: EpochOptions, device: torch.device) -> Launches:
    """Of the steps before the capture, the last but one is timed, and the last one is profiled."""
    method = kind(options.model_copy(update={"batches_per_epoch": WARM_UP * kind(options).batches_per_step}))
    start, end = torch.cuda.Event(enable_timing=True), torch.cuda.Event(enable_timing=True)
    taken, kernels = 0, list[float]()

    def step(update: Callable[..., None], *batches: object) -> None:
        nonlocal taken
        taken += 1
        torch.cuda.synchronize(device)
        if taken == WARM_UP:
            with profile(activities=[ProfilerActivity.CPU, ProfilerActivity.CUDA]) as profiler:
                update(*batches)
                torch.cuda.synchronize(device)
            events = profiler.events() or ()
            kernels.extend(e.time_range.elapsed_us() for e in events if e.device_type == DeviceType.CUDA)
            return
        start.record()
        update(*batches)
        end.record()
        torch.cuda.synchronize(device)
        if taken == WARM_UP - 1:
            timed.append(start.elapsed_time(end))

    timed = list[float]()
    unseen = 12 if kind.info.uses_unseen_names else 0
    fit_with_steps(step, method, simulated_training(device, unseen, classes=30, clips=3174))
    return Launches(len(kernels), sum(kernels) / 1e3, timed[0])
