"""Costs at growing sizes: training steps and evaluation in classes and clips, whole runs in seeds and jobs."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from time import perf_counter

import torch
from calibration import once
from figures import Figure
from growth import exponent, last_exponent
from run_costs import command_seconds
from step_timing import batch_method, measure, ucf_options

CLASSES, CLIPS = 276, 12_482
"""Evaluated where only the other one grows: the test of VGGSound main."""
WIDTH = 1024
"""Features of a clip."""


@dataclass(frozen=True)
class Sizes:
    """How far everything grows, and the budget of each measurement."""

    classes: Sequence[int] = (50, 158, 500, 1581, 5000)
    clips: Sequence[int] = (5_000, 31_623, 200_000, 1_000_000)
    seeds: Sequence[int] = (1, 2, 4, 8, 16, 32)
    job_seeds: int = 4
    """Runs that the jobs share."""
    repetitions: int = 5
    steps: int = 4
    epochs: int = 2
    batches: int = 40
    job_epochs: int = 10
    """Long enough that the start of a process is a small part."""


FULL = Sizes()
QUICK = Sizes(
    classes=(50, 158),
    clips=(5_000, 10_000),
    seeds=(1, 2),
    job_seeds=2,
    repetitions=1,
    steps=1,
    epochs=1,
    batches=2,
    job_epochs=1,
)


def step_growth(slug: str, sizes: Sizes, device: torch.device) -> Iterator[Figure]:
    """A training step with more training classes, and with more clips."""
    kind = batch_method(slug)
    if kind is None:
        return
    for name, members, rest in (
        ("classes", sizes.classes, {"clips": 20_000}),
        ("clips", _affordable(sizes.clips, 4 * WIDTH), {"classes": CLASSES}),
    ):
        costs = {
            size: measure(
                slug, kind, ucf_options(kind), sizes.repetitions, sizes.steps, device, **{name: size}, **rest
            ).step_ms
            for size in members
        }
        fixed = ", ".join(f"{count:,} {what}" for what, count in rest.items())
        yield from _grown(f"Training step by {name} ({fixed})", f"{slug}, ", name, "ms", costs)


def evaluation_growth(sizes: Sizes, device: torch.device) -> Iterator[Figure]:
    """Reduction, calibration and metrics of a score matrix with more classes, and with more clips."""
    for name, members, shape in (
        ("classes", sizes.classes, lambda size: (CLIPS, size)),
        ("clips", _affordable(sizes.clips, 4 * 4 * CLASSES), lambda size: (size, CLASSES)),
    ):
        costs = {size: _evaluation_ms(*shape(size), sizes.repetitions, device) for size in members}
        fixed = f"{CLIPS:,} clips" if name == "classes" else f"{CLASSES} classes"
        yield from _grown(f"Evaluation of ready scores by {name} ({fixed})", "", name, "ms", costs)


def seed_growth(slug: str, sizes: Sizes, device: torch.device) -> Iterator[Figure]:
    """`avbench run --seeds N`, in one process: on the CPU one after the other, on CUDA in one step."""
    run = partial(command_seconds, slug, epochs=sizes.epochs, batches=sizes.batches, device=str(device), jobs=1)
    costs = {count: run(seeds=count) for count in sizes.seeds}
    title = f"avbench run --seeds N on the demo of UCF ({sizes.epochs} epochs of {sizes.batches} batches, with start)"
    yield from _grown(title, f"{slug}, ", "seeds", "s", costs)


def job_growth(slug: str, sizes: Sizes, repeat: int) -> Iterator[Figure]:
    """`avbench run --jobs N` on the CPU. One job may use all cores; it is also measured with one thread."""
    budget = f"{sizes.job_seeds} seeds, {sizes.job_epochs} epochs of {sizes.batches} batches, with start"
    title = f"avbench run --jobs N on the demo of UCF ({budget})"
    run = partial(command_seconds, slug, seeds=sizes.job_seeds, epochs=sizes.job_epochs, batches=sizes.batches)
    cores = os.cpu_count() or 1
    counts = [n for n in (1, 2, 4, 8, 16, 32, 64) if n <= max(2, cores)]
    cases: dict[str, Callable[[], float]] = {
        f"{slug}, 1 job, 1 thread": partial(run, jobs=1, device="cpu", threads=1),
        **{f"{slug}, {n} job{'s' * (n > 1)}": partial(run, jobs=n, device="cpu") for n in counts},
    }
    best = dict.fromkeys(cases, float("inf"))
    for _ in range(repeat):  # in turn, so that a busy moment hits all alike
        for case, call in cases.items():
            best[case] = min(best[case], call())
    one_thread = next(iter(best.values()))
    for case, seconds in best.items():
        yield Figure(table=title, case=case, quantity="s", value=seconds, better="lower")
        yield Figure(table=title, case=case, quantity="speed-up over 1 job, 1 thread", value=one_thread / seconds)


def _evaluation_ms(clips: int, classes: int, repeat: int, device: torch.device) -> float:
    generator = torch.Generator(device).manual_seed(0)
    scores = torch.randn(clips, classes, generator=generator, device=device)
    seen = torch.arange(classes, device=device) % 4 > 0
    labels = torch.arange(clips, device=device) % classes
    best = float("inf")
    for _ in range(repeat):
        start = perf_counter()
        once(scores, seen, labels)  # reads its result back, so the device is done
        best = min(best, 1e3 * (perf_counter() - start))
    return best


def _affordable(sizes: Sequence[int], bytes_each: int) -> list[int]:
    """The sizes that fit in half of the memory; says which are left out."""
    limit = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2
    for size in sizes:
        if size * bytes_each > limit:
            print(f"left out: {size:,} clips need {size * bytes_each / 2**30:.0f} GiB", file=sys.stderr)
    return [size for size in sizes if size * bytes_each <= limit]


def _grown(table: str, prefix: str, noun: str, unit: str, costs: Mapping[int, float]) -> Iterator[Figure]:
    """Costs by size, and on the last line how they grow."""
    for size, cost in costs.items():
        yield Figure(table=table, case=f"{prefix}{size:,} {noun}", quantity=unit, value=cost, better="lower")
    for name, value in (("exponent", exponent(costs)), ("exponent at the end", last_exponent(costs))):
        yield Figure(table=table, case=f"{prefix}growth", quantity=name, value=value)
