"""What docs/performance.md says of a GPU, measured in at most ten minutes and written as Markdown.

    python benchmarks/on_a_gpu.py [--device cuda] [--minutes 10] [--write FILE]
    python benchmarks/on_a_gpu.py --device cpu --tiny        # does it run? Its figures mean nothing.

In this order: `pytest -m cuda`; a training step of every method, alone and of ten seeds in one step; AVCA's step in
lower precision, and compiled; whole runs of AVCA on the shape of ucf/main, 50 epochs of 500 batches in both stages, ten
seeds and one, compiled and not. Each part is a process of its own: one that fails or for which no time is left costs no
other, and is named. What the first epoch of each stage takes beyond the others, which is compiling, capture and warming
up, is told apart.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from statistics import median
from time import monotonic, perf_counter
from typing import Any

from avbench.harness.running.spin import SHORT_SPIN

os.environ.setdefault(*SHORT_SPIN)  # as `avbench run` does

import torch
from figures import Figure, Machine, Report, as_tables
from simulated_track import simulated_track
from step_timing import Stopwatch, batch_method, simulated_training, ucf_options
from two_stage import SEED, UCF

from avbench.harness.contract.method import Method
from avbench.harness.evaluation.compiler import Compiler
from avbench.harness.evaluation.peak_memory import peak_memory_bytes
from avbench.harness.evaluation.precision import make_deterministic, matrix_products
from avbench.harness.evaluation.protocol import PROTOCOLS
from avbench.harness.evaluation.two_stages import EpochDone, Result, run_together, run_two_stages
from avbench.harness.plugins.registry import plugins
from avbench.harness.records.record import Precision
from avbench.harness.running.environment import forget_peak_memory
from avbench.methods.learning.training import BatchMethod

TESTS = Path(__file__).parents[1] / "tests"
STEP, ONE, MANY = "Training step, preset of ucf/main, ms per seed", "alone", "in one step"
PRECISIONS: tuple[Precision, ...] = ("float32", "tf32", "bfloat16")


@dataclass(frozen=True)
class Sizes:
    """How much is measured."""

    seeds: int = 10
    methods: tuple[str, ...] = ()
    """Those of the table of steps; none: all that train on batches."""
    whole: str = "avca"
    """The method of everything else."""
    epochs: int = 50
    batches: int = 500
    steps: int = 40
    """In each repetition."""
    repetitions: int = 5
    backend: str = "inductor"


FULL = Sizes()
TINY = Sizes(
    seeds=2, methods=("sje", "mdii"), whole="sje", epochs=1, batches=2, steps=1, repetitions=1, backend="eager"
)


class EpochClock:
    """Notes when the epochs of a run end."""

    def __init__(self) -> None:
        self.start = perf_counter()
        self.ends: list[tuple[int, float]] = []
        """Stage and time."""

    def __call__(self, done: EpochDone) -> None:
        self.ends.append((done.stage, perf_counter()))

    @property
    def beginnings(self) -> float:
        """Seconds that the first epoch of each stage took beyond the median of the others in stage 1."""
        times = [self.start, *(end for _, end in self.ends)]
        epochs = [(stage, end - begin) for (stage, end), begin in zip(self.ends, times, strict=False)]
        first, *others = [seconds for stage, seconds in epochs if stage == 1]
        usual = median(others or [first])
        firsts = [first, *[seconds for stage, seconds in epochs if stage != 1][:1]]
        return sum(max(0.0, seconds - usual) for seconds in firsts)


@dataclass
class InCompany(Stopwatch):
    """The harness's side of one of several fits, which ends them after so many epochs."""

    compiler: Compiler | None = None

    def epoch_done(self, method: Method) -> Any:
        super().epoch_done(method)
        return None if len(self.times_ms["step"]) == self.epochs else 0.0


def step_ms(
    kind: type[BatchMethod], sizes: Sizes, device: torch.device, seeds: int = 0, compiler: Compiler | None = None
) -> float:
    """Milliseconds of a step per seed, of the fastest repetition. ``seeds``: in one step; 0: a run alone."""
    options = ucf_options(kind, batches_per_epoch=sizes.steps * kind(ucf_options(kind)).batches_per_step)
    train = simulated_training(device, 12 if kind.info.uses_unseen_names else 0, classes=30, clips=3174)
    epochs = 1 + sizes.repetitions  # the first holds the capture and the compiling
    torch.manual_seed(SEED)
    if not seeds:
        watch = Stopwatch(epochs, sizes.steps, device)
        kind(options).fit(train, watch)
        return min(watch.times_ms["step"][1:])
    watches = [InCompany(epochs, sizes.steps, device, seed=seed, compiler=compiler) for seed in range(seeds)]
    kind.fit_together([kind(options) for _ in watches], train, watches)
    return min(watches[0].times_ms["step"][1:]) / seeds


def steps_of_all(sizes: Sizes, device: torch.device) -> Iterator[Figure]:
    """Every method alone, and its seeds in one step where they can be."""
    for slug in sizes.methods or tuple(plugins().methods):
        if (kind := batch_method(slug)) is None or not kind.info.reads("averaged"):
            continue
        alone = step_ms(kind, sizes, device)
        yield Figure(table=STEP, case=slug, quantity=ONE, value=alone, better="lower")
        if not kind.alone_because(ucf_options(kind), "averaged"):
            each = step_ms(kind, sizes, device, sizes.seeds)
            yield Figure(table=STEP, case=slug, quantity=f"{sizes.seeds} {MANY}", value=each, better="lower")
            yield Figure(table=STEP, case=slug, quantity="alone / in one step", value=alone / each)


def precision_of_steps(sizes: Sizes, device: torch.device) -> Iterator[Figure]:
    """Lower precision and compiling beside, of one method."""
    kind = batch_method(sizes.whole)
    assert kind is not None
    table = f"The same, {sizes.whole}, by precision of products"
    for precision in PRECISIONS:
        if precision == "tf32" and device.type != "cuda":
            continue
        with matrix_products(precision, device):
            rows = {ONE: step_ms(kind, sizes, device)}
            rows |= {f"{n} {MANY}": step_ms(kind, sizes, device, n) for n in (1, sizes.seeds)}
            if precision != "bfloat16":
                for n in (1, sizes.seeds):
                    rows[f"{n} {MANY}, compiled"] = step_ms(kind, sizes, device, n, Compiler(sizes.backend))
        for quantity, value in rows.items():
            yield Figure(table=table, case=precision, quantity=quantity, value=value, better="lower")
        for n in (1, sizes.seeds):
            if compiled := rows.get(f"{n} {MANY}, compiled"):
                name, ratio = f"{n}: as it is / compiled", rows[f"{n} {MANY}"] / compiled
                yield Figure(table=table, case=precision, quantity=name, value=ratio)


def whole_runs(sizes: Sizes, device: torch.device, seeds: int, *, compiled: bool) -> Iterator[Figure]:
    """Both stages, validation and test included."""
    kind = batch_method(sizes.whole)
    assert kind is not None
    options = ucf_options(kind, epochs=sizes.epochs, batches_per_epoch=sizes.batches)
    features = simulated_track(UCF).to(device, torch.float32)
    run, protocol = partial(kind, options), PROTOCOLS["aligned"]
    forget_peak_memory(device)
    clock = EpochClock()
    done: list[Result | BaseException]
    if seeds == 1 and not compiled:
        done = [run_two_stages(run, features, protocol, epochs=sizes.epochs, seed=SEED, listener=clock)]
    else:
        done = run_together(
            run,
            features,
            protocol,
            epochs=sizes.epochs,
            seeds=range(seeds),
            listeners=[clock, *[nothing] * (seeds - 1)],
            fitted=[nothing] * seeds,
            compiler=Compiler(sizes.backend) if compiled else None,
        )
    seconds = perf_counter() - clock.start
    results = [result for result in done if isinstance(result, Result)]
    if len(results) < seeds:
        raise next(result for result in done if isinstance(result, BaseException))
    table = f"Both stages of {sizes.whole} on ucf/main, {sizes.epochs} epochs of {sizes.batches} batches in stage 1"
    case = f"{seeds} seed{'s' * (seeds > 1)}{', compiled' * compiled}"
    values = {
        "s": seconds,
        "of it beginnings": clock.beginnings,
        "s without": seconds - clock.beginnings,
        "epochs of the longest": sizes.epochs + max(result.epochs for result in results),
        "epochs in all": sum(sizes.epochs + result.epochs for result in results),
        "peak MB": peak_memory_bytes(device) / 1e6,
    }
    for name, value in values.items():
        yield Figure(table=table, case=case, quantity=name, value=value)


def nothing(_: object) -> None:
    """Who watches the other seeds."""


def parts(sizes: Sizes, device: torch.device) -> dict[str, Callable[[], Iterator[Figure]]]:
    """What is measured, in order of importance, as each part's process knows it."""
    return {
        "steps of all methods": partial(steps_of_all, sizes, device),
        "precision and compiling": partial(precision_of_steps, sizes, device),
        "seeds, whole runs, compiled": partial(whole_runs, sizes, device, sizes.seeds, compiled=True),
        "one whole run": partial(whole_runs, sizes, device, 1, compiled=False),
        "one whole run, compiled": partial(whole_runs, sizes, device, 1, compiled=True),
        "seeds, whole runs": partial(whole_runs, sizes, device, sizes.seeds, compiled=False),
    }


def cuda_tests(left: float, *, tiny: bool) -> str:
    """The last line of `pytest -m cuda`."""
    where = [TESTS / "methods" / "test_steps.py"] if tiny else [TESTS]
    command = [sys.executable, "-m", "pytest", "-q", "-m", "cuda", "--no-header", *map(str, where)]
    try:
        done = subprocess.run(command, cwd=TESTS.parent, capture_output=True, text=True, timeout=left, check=False)
    except subprocess.TimeoutExpired:
        return "ran out of time"
    lines = [line for line in done.stdout.splitlines() if line.startswith(("FAILED", "ERROR"))]
    return "; ".join([*done.stdout.splitlines()[-1:], *lines]) or done.stderr[-500:]


def all_parts(arguments: argparse.Namespace, sizes: Sizes, device: torch.device) -> Iterator[str]:
    """The report, paragraph by paragraph."""
    end = monotonic() + 60 * arguments.minutes
    yield f"{Machine.here(device)}"
    yield f"`pytest -m cuda`: {cuda_tests(end - monotonic(), tiny=arguments.tiny)}"
    found: list[Figure] = []
    missing: list[str] = []
    for name in parts(sizes, device):
        command = [sys.executable, __file__, "--device", arguments.device, *(["--tiny"] * arguments.tiny)]
        try:
            left = max(1, end - monotonic())
            done = subprocess.run([*command, "--part", name], capture_output=True, text=True, timeout=left, check=True)
            found += Report.model_validate_json(done.stdout.splitlines()[-1]).figures
        except subprocess.TimeoutExpired:
            missing.append(f"{name} (no time left)")
        except subprocess.CalledProcessError as error:
            missing.append(f"{name} ({(error.stderr.strip() or 'no word').splitlines()[-1]})")
        print(f"{name}: {end - monotonic():.0f} s left", file=sys.stderr)
    yield as_tables(found, "github")
    if missing:
        yield f"Not measured: {'; '.join(missing)}."


def main(given: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--minutes", type=float, default=10.0, help="in all (default: 10)")
    parser.add_argument("--write", type=Path, metavar="FILE", help="the report as a file")
    parser.add_argument("--tiny", action="store_true", help="everything once and small: does it run?")
    parser.add_argument("--part", metavar="NAME", help="one part alone, its figures as JSON")
    arguments = parser.parse_args(given)
    device, sizes = torch.device(arguments.device), TINY if arguments.tiny else FULL
    if device.type == "cuda" and not torch.cuda.is_available():
        parser.error("this machine has no CUDA device; --device cpu --tiny proves that the script works")
    if arguments.part:
        make_deterministic()
        figures = tuple(parts(sizes, device)[arguments.part]())
        print(Report(machine=Machine.here(device), figures=figures).model_dump_json())
        return
    paragraphs = list(all_parts(arguments, sizes, device))
    if arguments.tiny:
        paragraphs.insert(0, "Tiny sizes: these figures mean nothing.")
    report = "\n\n".join(paragraphs) + "\n"
    print(report)
    if arguments.write:
        arguments.write.write_text(report, "utf-8")


if __name__ == "__main__":
    main()
