"""Time of one AVCA training step beside the time of its matrix products alone, measured in turn in the same run.

    python benchmarks/train_step.py [--device cuda] [--threads 2] [--json]

The step is the whole one: draw, gather, forward, backward, Adam, running statistics. Its products are recorded from a
real step and repeated with factors of the same shape and layout. Shown are the fastest and the median repetition; the
ratio is that of the fastest.
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
from dataclasses import asdict, dataclass, field

import torch
from matrix_products import MatrixProducts
from tabulate import tabulate

from avbench.harness.data import Classes, Clips, TrainingSet
from avbench.harness.method import Method
from avbench.methods.avca import AVCA, AVCAOptions
from avbench.methods.steps import RepeatedStep

WARM_UP = 3
"""Epochs whose time is thrown away: caches, allocator, optimiser state and, on CUDA, the capture of the graph."""


@dataclass
class Stopwatch:
    """The harness's side of a fit. Each epoch is timed, and between two epochs the products alone are timed."""

    epochs: int
    batches: int
    device: torch.device
    products: RepeatedStep
    seed: int = 0
    steps_ms: list[float] = field(default_factory=list)
    products_ms: list[float] = field(default_factory=list)
    started: float = 0.0

    def epoch_done(self, method: Method) -> float:
        now = self._now()
        self.steps_ms.append((now - self.started) * 1e3 / self.batches)
        for _ in range(self.batches):
            self.products()
        self.started = self._now()
        self.products_ms.append((self.started - now) * 1e3 / self.batches)
        return 0.0

    def _now(self) -> float:
        if self.device.type == "cuda":
            torch.cuda.synchronize(self.device)
        return time.perf_counter()


@dataclass(frozen=True)
class Row:
    """One line of the table; times in milliseconds."""

    step: str
    batch_size: int
    device: str
    threads: int
    step_ms: float
    products_ms: float
    ratio: float
    median_step_ms: float
    median_products_ms: float
    gflop: float


def simulated_training(device: torch.device, classes: int = 30, clips: int = 3174) -> TrainingSet:
    """Noise of the size of UCF's first stage with main features."""
    generator = torch.Generator().manual_seed(0)

    def draw(*shape: int) -> torch.Tensor:
        return torch.randn(shape, generator=generator).to(device)

    names = tuple(f"class {i}" for i in range(classes))
    known = Classes(names, names, draw(classes, 300), torch.ones(classes, dtype=torch.bool, device=device))
    return TrainingSet(Clips(draw(clips, 512), draw(clips, 512)), torch.arange(clips, device=device) % classes, known)


def measure(name: str, options: AVCAOptions, epochs: int, device: torch.device) -> Row:
    """Record the products of one step, then time steps and products in turn."""
    train = simulated_training(device)
    nothing = RepeatedStep(lambda: None, torch.device("cpu"))
    with MatrixProducts() as products:
        AVCA(options.model_copy(update={"batches_per_epoch": 1})).fit(train, Stopwatch(1, 1, device, nothing))
    alone = RepeatedStep(products.alone(device), device)
    watch = Stopwatch(epochs + WARM_UP, options.batches_per_epoch, device, alone)
    torch.manual_seed(0)
    AVCA(options).fit(train, watch)
    steps, factors = watch.steps_ms[WARM_UP:], watch.products_ms[WARM_UP:]
    return Row(
        step=name,
        batch_size=options.batch_size,
        device=torch.cuda.get_device_name(device) if device.type == "cuda" else "cpu",
        threads=torch.get_num_threads(),
        step_ms=min(steps),
        products_ms=min(factors),
        ratio=min(steps) / min(factors),
        median_step_ms=statistics.median(steps),
        median_products_ms=statistics.median(factors),
        gflop=products.operations / 1e9,
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", default="cpu", help="cpu, cuda or cuda:1 (default: cpu)")
    parser.add_argument("--threads", type=int, help="CPU threads (default: as PyTorch chooses)")
    parser.add_argument("--batch-size", type=int, default=256)
    parser.add_argument("--epochs", type=int, default=40, help="repetitions")
    parser.add_argument("--batches", type=int, default=4, help="steps per repetition")
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args()
    if arguments.threads:
        torch.set_num_threads(arguments.threads)

    # Dropouts of the UCF preset: every mask has to be drawn.
    common = {
        "dropout_projection": 0.3,
        "dropout_decoder": 0.5,
        "batch_size": arguments.batch_size,
        "batches_per_epoch": arguments.batches,
    }
    rows = [
        measure(
            name, AVCAOptions(**common, reference_batch_norm=extra), arguments.epochs, torch.device(arguments.device)
        )
        for name, extra in (("AVCA", False), ("AVCA, reference_batch_norm", True))
    ]
    if arguments.json:
        print(json.dumps([asdict(row) for row in rows], indent=2))
        return
    print(tabulate([asdict(row) for row in rows], headers="keys", floatfmt=".2f"))


if __name__ == "__main__":
    main()
