"""All figures of speed in one table per question. `docs/performance.md` explains them and shows some.

    python benchmarks [--part steps --part runs ...] [--method avca] [--device cuda] [--threads 2] [--quick]
    python benchmarks --save before.json         # change something, then
    python benchmarks --compare before.json --fail-above 1.1

Parts: `steps`, a training step beside its matrix products; `runs`, a two-stage run on the shape of ucf/main, its
validation and memory; `growth`, time and memory in classes, clips and seeds; `jobs`, parallel processes. Without
--method, steps and runs are those of all methods, growth and jobs those of AVCA. Times are those of the fastest
repetition: other work on the machine only adds to them. --compare prints new cost over old cost; compare on one machine
only.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from avbench.harness.running.spin import SHORT_SPIN

os.environ.setdefault(*SHORT_SPIN)  # as `avbench run` does

import torch
from figures import Figure, Machine, Report, as_tables, changes, comparison
from launches import launches
from run_costs import run_cost
from scaling import FULL, QUICK, Sizes, board_growth, evaluation_growth, job_growth, seed_growth, step_growth
from step_timing import batch_method, measure, ucf_options

from avbench.harness.errors import UsageError
from avbench.harness.plugins.registry import plugins

PARTS = ("steps", "runs", "growth", "jobs")


@dataclass(frozen=True)
class Budget:
    """How much is measured."""

    repetitions: int = 20
    steps: int = 4
    """Per repetition."""
    runs: int = 2
    """Two-stage runs, of which the fastest counts; jobs are measured as often."""
    epochs: int = 2
    batches: int = 50
    sizes: Sizes = FULL


SHORT = Budget(repetitions=1, steps=1, runs=1, epochs=1, batches=1, sizes=QUICK)


def step_figures(slug: str, budget: Budget, device: torch.device) -> Iterator[Figure]:
    """A training step with the preset of ucf/main."""
    kind = batch_method(slug)
    if kind is None:
        return
    row = measure(slug, kind, ucf_options(kind), budget.repetitions, budget.steps, device)
    quantities: dict[str, float] = {
        "batches per step": row.batches,
        "products ms": row.products_ms,
        "step / products": row.ratio,
        "products as run ms": row.as_run_ms,
        "step / products as run": row.as_run_ratio,
    }
    if device.type == "cuda":
        found = launches(kind, ucf_options(kind), device)
        quantities |= {
            "kernels": found.kernels,
            "kernels ms": found.kernels_ms,
            "plain step ms": found.step_ms,
            "idle share, plain": found.idle_share(found.step_ms),
            "idle share, captured": found.idle_share(row.step_ms),
        }
    table = "Training step, preset of ucf/main"
    yield Figure(table=table, case=slug, quantity="step ms", value=row.step_ms, better="lower")
    for name, value in quantities.items():
        yield Figure(table=table, case=slug, quantity=name, value=value)


def run_figures(slug: str, budget: Budget, device: torch.device) -> Iterator[Figure]:
    """A two-stage run on the shape of ucf/main, at a reduced budget."""
    table = f"Two-stage run, ucf/main, {budget.epochs} epochs of {budget.batches} batches in stage 1"
    threads = torch.get_num_threads()
    costs = [run_cost(slug, budget.epochs, budget.batches, str(device), threads) for _ in range(budget.runs)]
    best = min(costs, key=lambda cost: cost.seconds / cost.epochs)
    yield Figure(table=table, case=slug, quantity="s", value=best.seconds)
    yield Figure(table=table, case=slug, quantity="epochs", value=best.epochs)
    per_second = best.epochs / best.seconds
    yield Figure(table=table, case=slug, quantity="epochs/s", value=per_second, better="higher")
    peak, added = (min(getattr(cost, name) for cost in costs) for name in ("peak_mb", "added_mb"))
    yield Figure(table=table, case=slug, quantity="peak MB", value=peak, better="lower")
    yield Figure(table=table, case=slug, quantity="of it added by the run", value=added)


def all_figures(parts: Sequence[str], methods: Sequence[str], budget: Budget, device: torch.device) -> Iterator[Figure]:
    """The figures of the chosen parts; ``methods`` empty: as the head of this file says."""
    every, one = methods or tuple(plugins().methods), methods or ("avca",)
    if "steps" in parts:
        for slug in every:
            yield from step_figures(slug, budget, device)
    if "runs" in parts:
        for slug in every:
            yield from run_figures(slug, budget, device)
    if "growth" in parts:
        for slug in one:
            yield from step_growth(slug, budget.sizes, device)
        yield from evaluation_growth(budget.sizes, device)
        yield from board_growth(budget.sizes)
        for slug in one:
            yield from seed_growth(slug, budget.sizes, device)
    if "jobs" in parts and device.type == "cpu":
        for slug in one:
            yield from job_growth(slug, budget.sizes, budget.runs)


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="python benchmarks", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--part", action="append", choices=PARTS, help="may be repeated (default: all)")
    parser.add_argument("--method", action="append", default=[], help="may be repeated")
    parser.add_argument("--device", default="cpu", help="cpu, cuda or cuda:1 (default: cpu)")
    parser.add_argument("--threads", type=int, help="CPU threads (default: as PyTorch chooses)")
    parser.add_argument("--quick", action="store_true", help="everything once, at small sizes: does it run?")
    parser.add_argument("--save", type=Path, metavar="FILE", help="write the figures as JSON")
    parser.add_argument("--compare", type=Path, metavar="FILE", help="print the change since these figures")
    parser.add_argument(
        "--fail-above", type=float, metavar="R", help="with --compare: exit code 1 if a cost is above R times the old"
    )
    arguments = parser.parse_args()
    if arguments.fail_above is not None and arguments.compare is None:
        parser.error("--fail-above needs --compare FILE")
    try:
        old = Report.load(arguments.compare) if arguments.compare else None
    except (OSError, ValueError) as error:
        parser.error(f"--compare {arguments.compare}: {error}")
    try:
        for slug in arguments.method or plugins().methods:
            if batch_method(slug) is None:
                print(f"{slug}: has no steps to time, it does not train on batches", file=sys.stderr)
    except UsageError as error:
        parser.error(str(error))
    if arguments.threads:
        torch.set_num_threads(arguments.threads)
    device = torch.device(arguments.device)
    budget = SHORT if arguments.quick else Budget()
    figures = tuple(all_figures(arguments.part or PARTS, arguments.method, budget, device))
    new = Report(machine=Machine.here(device), figures=figures)
    print(f"{new.machine}\n\n{as_tables(figures)}")
    if arguments.save:
        new.save(arguments.save)
    if old:
        print(f"\n{comparison(new, old)}")
        if arguments.fail_above and any(change.cost > arguments.fail_above for change in changes(new, old)):
            raise SystemExit(1)


if __name__ == "__main__":
    main()
