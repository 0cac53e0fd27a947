"""Whether the steps of runs are compiled, and why not."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from avbench.harness.contract.options import EpochOptions, Options
from avbench.harness.evaluation.compiler import Compiler, tell_uncompiled
from avbench.harness.isolation.choice import NONE, Isolation
from avbench.harness.plugins.registry import plugins
from avbench.harness.records.planned import PlannedRun

if TYPE_CHECKING:
    import torch

PAYS = 150_000
"""Steps of single seeds in stage 1 from which ``auto`` compiles. On an H100 a prototype with AVCA saved 0.28 ms of
each, ten seeds in one step, and compiling took up to 40 s (guide: Performance)."""


def compiler_of(runs: Sequence[PlannedRun], device: torch.device, isolation: Isolation = NONE) -> Compiler | None:
    """What compiles the steps of runs that differ in the seed only; None where they are taken as they are.

    ``auto`` compiles on CUDA where that pays. ``on`` compiles on any device; where it cannot be, it is told why.
    """
    wish = runs[0].compile
    if wish == "off" or (wish == "auto" and not _pays(runs, device)):
        return None
    why = "its method has a process of its own" if isolation else why_alone(runs[0])
    if not why:
        return Compiler()
    if wish == "on":
        tell_uncompiled(f"{runs[0].configuration.method}: {why}")
    return None


def _pays(runs: Sequence[PlannedRun], device: torch.device) -> bool:
    if device.type != "cuda":
        return False
    options = _options(runs[0])
    steps = options.epochs * options.batches_per_epoch if isinstance(options, EpochOptions) else 0
    return len(runs) * steps >= PAYS


def why_alone(run: PlannedRun) -> str:
    """Why a run cannot train in one step with others of its method; an empty text where it can. What is compiled is
    that step, be it of one seed."""
    return plugins().method(run.configuration.method).method.alone_because(_options(run), run.inputs)


def _options(run: PlannedRun) -> Options:
    return plugins().method(run.configuration.method).method.Options.model_validate(run.configuration.options)
