"""Time of a training step of a batch method beside the time of its matrix products alone, in turn in one run.

The step is the whole one: draw, gather, forward, backward, optimiser, running statistics. Its products are recorded
from a real step and repeated with factors of the same shape and layout.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial

import torch
from matrix_products import MatrixProducts
from torch import Tensor, nn

from avbench.harness.contract.data import Classes, Clips, TrainingSet
from avbench.harness.contract.method import Method
from avbench.harness.contract.options import EpochOptions
from avbench.harness.plugins.registry import plugins
from avbench.harness.tracks import Track
from avbench.methods.learning.steps import RepeatedStep
from avbench.methods.learning.training import BatchMethod

WARM_UP = 3
"""Epochs whose time is thrown away: caches, allocator, optimiser state and, on CUDA, the capture of the graph."""


@dataclass
class Stopwatch:
    """The harness's side of a fit. Each epoch is timed, and between two epochs what is to be compared with it."""

    epochs: int
    steps: int
    device: torch.device
    beside: Mapping[str, Callable[[], None]] = field(default_factory=dict)
    seed: int = 0
    times_ms: dict[str, list[float]] = field(default_factory=dict)
    """Milliseconds of one step, and of one call of each in ``beside``; one entry per epoch."""
    started: float = field(default_factory=time.perf_counter)

    def epoch_done(self, method: Method) -> float:
        self._note("step")
        for name, call in self.beside.items():
            for _ in range(self.steps):
                call()
            self._note(name)
        return 0.0

    def _note(self, name: str) -> None:
        now = self._now()
        self.times_ms.setdefault(name, []).append((now - self.started) * 1e3 / self.steps)
        self.started = now

    def _now(self) -> float:
        if self.device.type == "cuda":
            torch.cuda.synchronize(self.device)
        return time.perf_counter()


@dataclass(frozen=True)
class Row:
    """One line of the table; times in milliseconds, of the fastest repetition where nothing else is said."""

    step: str
    batch_size: int
    batches: int
    """Batches per step."""
    device: str
    threads: int
    step_ms: float
    products_ms: float
    """The matrix products as torch makes them."""
    ratio: float
    as_run_ms: float
    """The matrix products by the library that the step calls (``avbench.methods.learning.products``)."""
    as_run_ratio: float
    median_step_ms: float
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
    ways = {"products": False, "as run": True}
    beside = {name: RepeatedStep(products.alone(device, as_run=way), device) for name, way in ways.items()}
    watch = Stopwatch(repetitions + WARM_UP, steps, device, beside)
    torch.manual_seed(0)
    kind(options.model_copy(update={"batches_per_epoch": steps * batches})).fit(train, watch)
    step, alone, as_run = (min(watch.times_ms[name][WARM_UP:]) for name in ("step", *ways))
    return Row(
        step=name,
        batch_size=options.batch_size,
        batches=batches,
        device=torch.cuda.get_device_name(device) if device.type == "cuda" else "cpu",
        threads=torch.get_num_threads(),
        step_ms=step,
        products_ms=alone,
        ratio=step / alone,
        as_run_ms=as_run,
        as_run_ratio=step / as_run,
        median_step_ms=statistics.median(watch.times_ms["step"][WARM_UP:]),
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
    method.fit(train, Stopwatch(1, 1, train.labels.device))
