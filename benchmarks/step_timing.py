"""Time of a training step of a batch method beside the time of its matrix products alone, in turn in one run.

The step is the whole one: draw, gather, forward, backward, optimiser, running statistics. Its products are recorded
from a real step and repeated with factors of the same shape and layout.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial

import torch
from matrix_products import MatrixProducts
from torch import Tensor, nn

from avbench.harness.data import Classes, Clips, TrainingSet
from avbench.harness.method import Method
from avbench.harness.options import EpochOptions
from avbench.harness.plugins import plugins
from avbench.harness.tracks import Track
from avbench.methods.steps import RepeatedStep
from avbench.methods.training import BatchMethod

WARM_UP = 3
"""Epochs whose time is thrown away: caches, allocator, optimiser state and, on CUDA, the capture of the graph."""


@dataclass
class Stopwatch:
    """The harness's side of a fit. Each epoch is timed, and between two epochs the products alone are timed."""

    epochs: int
    steps: int
    device: torch.device
    products: Callable[[], None]
    seed: int = 0
    steps_ms: list[float] = field(default_factory=list)
    products_ms: list[float] = field(default_factory=list)
    started: float = 0.0

    def epoch_done(self, method: Method) -> float:
        now = self._now()
        self.steps_ms.append((now - self.started) * 1e3 / self.steps)
        for _ in range(self.steps):
            self.products()
        self.started = self._now()
        self.products_ms.append((self.started - now) * 1e3 / self.steps)
        return 0.0

    def _now(self) -> float:
        if self.device.type == "cuda":
            torch.cuda.synchronize(self.device)
        return time.perf_counter()


@dataclass(frozen=True)
class Row:
    """One line of the table; times in milliseconds, of the fastest repetition and of the median one."""

    step: str
    batch_size: int
    batches: int
    """Batches per step."""
    device: str
    threads: int
    step_ms: float
    products_ms: float
    ratio: float
    """Of the fastest repetitions."""
    median_step_ms: float
    median_products_ms: float
    gflop: float


def simulated_training(device: torch.device, unseen: int, classes: int, clips: int) -> TrainingSet:
    """Noise with the widths of main features; with ``unseen`` classes, those are shown."""
    generator = torch.Generator().manual_seed(0)

    def draw(*shape: int) -> Tensor:
        return torch.randn(shape, generator=generator).to(device)

    def named(prefix: str, count: int, trained: bool) -> Classes:
        names = tuple(f"{prefix} {i}" for i in range(count))
        return Classes(names, names, draw(count, 300), torch.full((count,), trained, device=device))

    return TrainingSet(
        Clips(draw(clips, 512), draw(clips, 512)),
        torch.arange(clips, device=device) % classes,
        named("class", classes, True),
        named("unseen", unseen, False) if unseen else None,
    )


def ucf_options(kind: type[BatchMethod], **given: int) -> EpochOptions:
    """The preset of ucf/main under the protocol aligned."""
    options = kind.Options.effective(Track("ucf", "main"), "aligned", given)
    assert isinstance(options, EpochOptions)
    return options


def batch_method(slug: str) -> type[BatchMethod] | None:
    """A registered method, if it trains on batches. Raises :class:`UsageError` for a misspelt name."""
    kind = plugins().method(slug).method
    return kind if issubclass(kind, BatchMethod) else None


def measure(
    name: str,
    kind: type[BatchMethod],
    options: EpochOptions,
    repetitions: int,
    steps: int,
    device: torch.device,
    classes: int = 30,
    clips: int = 3174,
) -> Row:
    """Record the products of one step, then time epochs of ``steps`` steps, and products, in turn.

    The training set has by default the size of UCF's first stage.
    """
    train = simulated_training(device, 12 if kind.info.uses_unseen_names else 0, classes, clips)
    batches = kind(options).batches_per_step
    products = recorded_products(kind(options.model_copy(update={"batches_per_epoch": batches})), train)
    watch = Stopwatch(repetitions + WARM_UP, steps, device, RepeatedStep(products.alone(device), device))
    torch.manual_seed(0)
    kind(options.model_copy(update={"batches_per_epoch": steps * batches})).fit(train, watch)
    whole, factors = watch.steps_ms[WARM_UP:], watch.products_ms[WARM_UP:]
    return Row(
        step=name,
        batch_size=options.batch_size,
        batches=batches,
        device=torch.cuda.get_device_name(device) if device.type == "cuda" else "cpu",
        threads=torch.get_num_threads(),
        step_ms=min(whole),
        products_ms=min(factors),
        ratio=min(whole) / min(factors),
        median_step_ms=statistics.median(whole),
        median_products_ms=statistics.median(factors),
        gflop=products.operations / 1e9,
    )


def recorded_products(method: BatchMethod, train: TrainingSet) -> MatrixProducts:
    """The matrix products of the one step that the method takes, without those of its preparation."""
    products = MatrixProducts()

    def recorded(update: Callable[..., None], *batches: object) -> None:
        with products:
            update(*batches)

    fit_with_steps(recorded, method, train)
    return products


def fit_with_steps(around: Callable[..., None], method: BatchMethod, train: TrainingSet) -> None:
    """Fit for one epoch, in which ``around`` is called for each step with the step's function and its batches."""
    updates = method.updates

    def watched(net: nn.ModuleDict, rate: Tensor) -> Callable[..., None]:
        return partial(around, updates(net, rate))

    setattr(method, "updates", watched)  # noqa: B010 (mypy refuses to assign to a method)
    torch.manual_seed(0)
    method.fit(train, Stopwatch(1, 1, train.labels.device, lambda: None))
