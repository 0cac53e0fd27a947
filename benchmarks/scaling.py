"""Time and memory at growing sizes: steps and evaluation in classes and clips, runs and statistics in seeds, jobs."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
import torch
from calibration import once
from costs import Cost, cost
from figures import Figure
from growth import exponent, last_exponent
from run_costs import command_cost
from step_timing import batch_method, measure, ucf_options

from avbench.harness.evaluation.evidence import Evidence, reduce_scores
from avbench.leaderboard.recalls import FEWEST_SEEDS, Recalls
from avbench.leaderboard.statistics import intervals, standings
from avbench.methods.learning.training import BatchMethod

CPU = torch.device("cpu")

CLASSES, CLIPS = 276, 12_482
"""Evaluated where only the other one grows: the test of VGGSound main."""
WIDTH = 1024
"""Features of a clip."""
ROWS, SEEDS = 16, 10
"""Of a board, where something else grows."""
LEAST_MB = 0.1
"""Less cannot be told from nothing, as pages are counted; it is taken as this much where growth is worked out."""


@dataclass(frozen=True)
class Sizes:
    """How far everything grows, and the budget of each measurement."""

    classes: Sequence[int] = (50, 158, 500, 1581, 5000)
    clips: Sequence[int] = (5_000, 31_623, 200_000, 1_000_000)
    seeds: Sequence[int] = (1, 3, 10, 32, 100)
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
    seeds=(3, 4),
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
        _step_cost(slug, kind, QUICK, device, **{name: members[0]}, **rest)  # what is loaded once counts for no size
        costs = {size: _step_cost(slug, kind, sizes, device, **{name: size}, **rest) for size in members}
        fixed = ", ".join(f"{count:,} {what}" for what, count in rest.items())
        title = f"Training step by {name} ({fixed}), memory of the fit and its features"
        yield from _grown(title, f"{slug}, ", name, ("ms", "MB added"), costs)


def evaluation_growth(sizes: Sizes, device: torch.device) -> Iterator[Figure]:
    """Reduction, calibration and metrics of a score matrix with more classes, and with more clips."""
    for name, members, shape in (
        ("classes", sizes.classes, lambda size: (CLIPS, size)),
        ("clips", _affordable(sizes.clips, 4 * 4 * CLASSES), lambda size: (size, CLASSES)),
    ):
        _evaluation_cost(*shape(members[0]), 1, device)
        costs = {size: _evaluation_cost(*shape(size), sizes.repetitions, device) for size in members}
        fixed = f"{CLIPS:,} clips" if name == "classes" else f"{CLASSES} classes"
        yield from _grown(f"Evaluation of ready scores by {name} ({fixed})", "", name, ("ms", "MB added"), costs)


def board_growth(sizes: Sizes) -> Iterator[Figure]:
    """What a board makes of runs: their recalls by class from evidence, intervals of a row, and ranks of all rows.

    Recalls are noise, as nothing here depends on their values.
    """
    table = _evidence(CLIPS, CLASSES)
    _row(table, max(sizes.seeds))
    one = {count: cost(partial(_row, table, count), 1, CPU) for count in sizes.seeds}
    title = f"A row of a board from the evidence of its seeds ({CLIPS:,} clips, {CLASSES} classes)"
    yield from _grown(title, "", "seeds", ("ms", "MB added"), one)
    for name, members, shape in (
        ("seeds", [n for n in sizes.seeds if n >= FEWEST_SEEDS], lambda size: (size, CLASSES)),
        ("classes", sizes.classes, lambda size: (SEEDS, size)),
    ):
        costs = {}
        for size in members:
            board = [_recalls(row, *shape(size)) for row in range(ROWS)]
            standings(board)
            costs[size] = cost(partial(standings, board), sizes.repetitions, CPU)
        fixed = f"{CLASSES} classes" if name == "seeds" else f"{SEEDS} seeds"
        yield from _grown(f"Ranks of a board of {ROWS} rows by {name} ({fixed})", "", name, ("ms", "MB added"), costs)


def seed_growth(slug: str, sizes: Sizes, device: torch.device) -> Iterator[Figure]:
    """`avbench run --seeds N`, in one process: on the CPU one after the other, on CUDA in one step."""
    run = partial(command_cost, slug, epochs=sizes.epochs, batches=sizes.batches, device=str(device), jobs=1)
    costs = {count: run(seeds=count) for count in sizes.seeds}
    title = f"avbench run --seeds N on the demo of UCF ({sizes.epochs} epochs of {sizes.batches} batches, with start)"
    yield from _grown(title, f"{slug}, ", "seeds", ("s", "peak MB"), costs)


def job_growth(slug: str, sizes: Sizes, repeat: int) -> Iterator[Figure]:
    """`avbench run --jobs N` on the CPU. One job may use all cores; it is also measured with one thread."""
    budget = f"{sizes.job_seeds} seeds, {sizes.job_epochs} epochs of {sizes.batches} batches, with start"
    title = f"avbench run --jobs N on the demo of UCF ({budget})"
    run = partial(command_cost, slug, seeds=sizes.job_seeds, epochs=sizes.job_epochs, batches=sizes.batches)
    cores = os.cpu_count() or 1
    counts = [n for n in (1, 2, 4, 8, 16, 32, 64) if n <= max(2, cores)]
    cases: dict[str, Callable[[], Cost]] = {
        f"{slug}, 1 job, 1 thread": partial(run, jobs=1, device="cpu", threads=1),
        **{f"{slug}, {n} job{'s' * (n > 1)}": partial(run, jobs=n, device="cpu") for n in counts},
    }
    best = dict.fromkeys(cases, float("inf"))
    for _ in range(repeat):  # in turn, so that a busy moment hits all alike
        for case, call in cases.items():
            best[case] = min(best[case], call().time)
    one_thread = next(iter(best.values()))
    for case, seconds in best.items():
        yield Figure(table=title, case=case, quantity="s", value=seconds, better="lower")
        yield Figure(table=title, case=case, quantity="speed-up over 1 job, 1 thread", value=one_thread / seconds)


def _step_cost(
    slug: str, kind: type[BatchMethod], sizes: Sizes, device: torch.device, *, classes: int, clips: int
) -> Cost:
    rows = []
    whole = cost(
        lambda: rows.append(
            measure(slug, kind, ucf_options(kind), sizes.repetitions, sizes.steps, device, classes=classes, clips=clips)
        ),
        1,
        device,
    )
    return Cost(rows[0].step_ms, whole.mb)


def _evaluation_cost(clips: int, classes: int, repeat: int, device: torch.device) -> Cost:
    generator = torch.Generator(device).manual_seed(0)
    scores = torch.randn(clips, classes, generator=generator, device=device)
    seen = torch.arange(classes, device=device) % 4 > 0
    labels = torch.arange(clips, device=device) % classes
    return cost(lambda: once(scores, seen, labels), repeat, device)


def _evidence(clips: int, classes: int) -> Evidence:
    scores = torch.randn(clips, classes, generator=torch.Generator().manual_seed(0))
    ids = np.arange(classes)
    return reduce_scores(scores, ids, ids % 4 > 0, np.arange(clips) % classes)


def _row(table: Evidence, seeds: int) -> object:
    """Evidence that has been read is checked, and reduced to recalls, run by run."""
    runs = [Recalls.of(Evidence.from_arrays(table.to_arrays()), 0.0) for _ in range(seeds)]
    return intervals(Recalls.together(runs))


def _recalls(row: int, seeds: int, classes: int) -> Recalls:
    draws, unseen = np.random.default_rng(row), max(classes // 4, 2)
    sides = (classes - unseen, unseen, unseen)
    return Recalls(*(draws.uniform(0, 100, (seeds, count)) for count in sides))


def _affordable(sizes: Sequence[int], bytes_each: int) -> list[int]:
    """The sizes that fit in half of the memory; says which are left out."""
    limit = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2
    for size in sizes:
        if size * bytes_each > limit:
            print(f"left out: {size:,} clips need {size * bytes_each / 2**30:.0f} GiB", file=sys.stderr)
    return [size for size in sizes if size * bytes_each <= limit]


def _grown(table: str, prefix: str, noun: str, units: tuple[str, str], costs: Mapping[int, Cost]) -> Iterator[Figure]:
    """Costs by size, and on the last line how they grow. ``units``: of time and of memory."""
    time, memory = units
    for size, found in costs.items():
        yield Figure(table=table, case=f"{prefix}{size:,} {noun}", quantity=time, value=found.time, better="lower")
        yield Figure(table=table, case=f"{prefix}{size:,} {noun}", quantity=memory, value=found.mb)
    times = {size: found.time for size, found in costs.items()}
    sizes = {size: max(found.mb, LEAST_MB) for size, found in costs.items()}
    for name, values in ((time, times), (memory, sizes)):
        for what, value in (("exponent", exponent(values)), ("exponent at the end", last_exponent(values))):
            yield Figure(table=table, case=f"{prefix}growth", quantity=f"{name}, {what}", value=value)
