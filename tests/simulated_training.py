"""Small simulated training sets and a stand-in for the harness's side of a fit."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TypeVar

import torch

from avbench.harness.data import Classes, Clips, TrainingSet
from avbench.harness.method import Method

M = TypeVar("M", bound=Method)


def simulated_classes(count: int, text: int = 300, trained: int | None = None, seed: int = 0) -> Classes:
    """``count`` classes with random unit label vectors, the first ``trained`` of them (default: all) trained.

    A class's vector depends on its row and the seed only.
    """
    rows = [torch.randn(text, generator=torch.Generator().manual_seed(1000 * seed + c)) for c in range(count)]
    vectors = torch.nn.functional.normalize(torch.stack(rows), dim=1)
    names = tuple(f"class {i}" for i in range(count))
    return Classes(names, names, vectors, torch.arange(count) < (count if trained is None else trained))


def simulated_clips(
    classes: Classes, labels: torch.Tensor, audio: int = 32, visual: int = 48, noise: float = 0.5, seed: int = 0
) -> Clips:
    """Clips whose features are a fixed random linear map of their class's label vector, plus noise."""
    maps, draws = torch.Generator().manual_seed(7), torch.Generator().manual_seed(seed)
    vectors = classes.vectors[labels]

    def view(size: int) -> torch.Tensor:
        signal = vectors @ torch.randn(vectors.shape[1], size, generator=maps)
        return signal + noise * torch.randn(len(labels), size, generator=draws)

    return Clips(view(audio), view(visual))


def simulated_training(
    classes: int = 6, clips_per_class: int = 20, audio: int = 32, visual: int = 48, text: int = 300, seed: int = 0
) -> TrainingSet:
    """A training set whose class ``c`` has ``clips_per_class + c`` clips."""
    known = simulated_classes(classes, text)
    labels = torch.cat([torch.full((clips_per_class + c,), c) for c in range(classes)])
    return TrainingSet(simulated_clips(known, labels, audio, visual, seed=seed), labels, known)


def on_cuda(train: TrainingSet) -> TrainingSet:
    """A copy in the memory of the CUDA device."""

    def moved(classes: Classes) -> Classes:
        return Classes(classes.names, classes.prompts, classes.vectors.cuda(), classes.trained.cuda())

    return TrainingSet(
        Clips(train.clips.audio.cuda(), train.clips.visual.cuda()),
        train.labels.cuda(),
        moved(train.classes),
        moved(train.unseen) if train.unseen else None,
    )


@dataclass
class SimulatedProgress:
    """The harness's side of a fit: a number of epochs, and a function that measures the method after each."""

    epochs: int = 1
    seed: int = 0
    device: torch.device = field(default_factory=lambda: torch.device("cpu"))
    measure: Callable[[Method], float] = lambda method: 0.0
    hms: list[float] = field(default_factory=list)

    def epoch_done(self, method: Method) -> float:
        self.hms.append(self.measure(method))
        return self.hms[-1]


def fitted(method: M, train: TrainingSet, progress: SimulatedProgress | None = None) -> M:
    """Seed the global generator as the harness does and fit."""
    progress = progress or SimulatedProgress()
    torch.manual_seed(progress.seed)
    method.fit(train, progress)
    return method
