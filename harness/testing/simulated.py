"""Small simulated training sets, and a stand-in for the harness's side of a fit. Imports torch."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from itertools import islice
from typing import TypeVar

import torch
from torch import Tensor

from avbench.harness.contract.data import Classes, Clips, TrainingSet
from avbench.harness.contract.method import Method
from avbench.harness.contract.packed import PackedClips
from avbench.harness.evaluation.random_state import seed_generators
from avbench.splits import DATASETS, load_split

M = TypeVar("M", bound=Method)


def simulated_classes(count: int, text: int = 300, trained: int | None = None, seed: int = 0) -> Classes:
    """``count`` classes with random unit label vectors, the first ``trained`` of them (default: all) trained.

    A class's vector depends on its row and the seed only. Names and prompts are real ones of one data set, so that a
    method may look them up.
    """
    rows = [torch.randn(text, generator=torch.Generator().manual_seed(1000 * seed + c)) for c in range(count)]
    vectors = torch.nn.functional.normalize(torch.stack(rows), dim=1)
    names, prompts = zip(*islice(_named(count), count), strict=True)
    return Classes(names, prompts, vectors, torch.arange(count) < (count if trained is None else trained))


def _named(count: int) -> Iterator[tuple[str, str]]:
    """Names and prompts of the smallest data set that has ``count`` classes; made-up ones beyond the largest."""
    splits = [load_split(dataset, "main") for dataset in DATASETS]
    large = [split for split in splits if len(split.classes) >= count] or splits
    classes = min(large, key=lambda split: abs(len(split.classes) - count)).classes
    yield from ((c.name, c.prompt) for c in classes)
    yield from ((f"class {i}", f"class {i}") for i in range(len(classes), count))


def simulated_clips(
    classes: Classes, labels: Tensor, audio: int = 32, visual: int = 48, noise: float = 0.5, seed: int = 0
) -> Clips:
    """Clips whose features are a fixed random linear map of their class's label vector, plus noise."""
    maps, draws = torch.Generator().manual_seed(7), torch.Generator().manual_seed(seed)
    vectors = classes.vectors[labels]

    def view(size: int) -> Tensor:
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


def chosen(classes: Classes, rows: Tensor) -> Classes:
    """Some classes, in the order of ``rows`` (int64)."""
    return Classes(
        names=tuple(classes.names[i] for i in rows.tolist()),
        prompts=tuple(classes.prompts[i] for i in rows.tolist()),
        vectors=classes.vectors[rows],
        trained=classes.trained[rows],
        texts={name: text[rows] for name, text in classes.texts.items()},
    )


AUDIO_STEP, VISUAL_STEP = 0.96, 0.64
"""Seconds of the steps of simulated clips over time."""


def simulated_over_time(clips: Clips, steps: int = 5, seed: int = 0) -> PackedClips:
    """Clips over time of 1 to ``steps`` steps, not as many of audio as of vision: the given features, plus noise."""
    draws = torch.Generator().manual_seed(seed)

    def spread_out(x: Tensor) -> tuple[Tensor, Tensor]:
        lengths = torch.randint(1, steps + 1, (len(x),), generator=draws)
        values = x.repeat_interleave(lengths, 0)
        values = values + 0.3 * torch.randn(values.shape, generator=draws)
        return values, torch.cat([torch.zeros(1, dtype=torch.int64), lengths.cumsum(0)])

    audio, audio_offsets = spread_out(clips.audio)
    visual, visual_offsets = spread_out(clips.visual)
    return PackedClips(
        audio,
        visual,
        audio_offsets=audio_offsets,
        visual_offsets=visual_offsets,
        audio_step=AUDIO_STEP,
        visual_step=VISUAL_STEP,
    )


@dataclass(frozen=True)
class Task:
    """An easy task: features are a fixed linear map of the label vector, plus noise. Trained classes come first."""

    trained: int = 6
    unseen: int = 3
    clips: int = 48
    """Training clips, spread over the trained classes."""
    audio: int = 512
    visual: int = 512
    text: int = 300
    rank: int | None = None
    """Dimensions that the label vectors span, at most (default: all)."""
    steps: int = 0
    """Most steps of clips over time; 0: averaged features."""
    texts: tuple[str, ...] = ()
    """Names of further text vectors, which are linear maps of the label vectors."""

    @property
    def candidates(self) -> Classes:
        """Trained and unseen classes."""
        classes = simulated_classes(self.trained + self.unseen, self.rank or self.text, self.trained)
        if self.rank is not None:
            directions = torch.randn(self.text, self.rank, generator=torch.Generator().manual_seed(8))
            classes = replace(classes, vectors=classes.vectors @ torch.linalg.qr(directions).Q.T)
        texts = {name: self._text(classes.vectors, place) for place, name in enumerate(self.texts)}
        return replace(classes, texts=texts)

    def _text(self, vectors: Tensor, place: int) -> Tensor:
        width = self.text // 2 + place
        image = torch.randn(self.text, width, generator=torch.Generator().manual_seed(20 + place))
        return torch.nn.functional.normalize(vectors @ image, dim=1)

    @property
    def labels(self) -> Tensor:
        """Labels (N,) of the training clips."""
        return torch.arange(self.clips) * self.trained // self.clips

    def training_set(self, *, unseen_names: bool) -> TrainingSet:
        """What a method gets to see; the unseen classes only where it declares that it uses them."""
        classes, rows = self.candidates, torch.arange(self.trained + self.unseen)
        clips = simulated_clips(classes, self.labels, self.audio, self.visual)
        return TrainingSet(
            clips=simulated_over_time(clips, self.steps) if self.steps else clips,
            labels=self.labels,
            classes=chosen(classes, rows[: self.trained]),
            unseen=chosen(classes, rows[self.trained :]) if unseen_names else None,
        )

    def evaluated(self, labels: Tensor, seed: int = 1) -> Clips:
        """Other clips of the classes with these rows in :attr:`candidates`."""
        clips = simulated_clips(self.candidates, labels, self.audio, self.visual, seed=seed)
        if not self.steps:
            return clips
        return simulated_over_time(clips, self.steps, seed).take(torch.arange(len(labels)))


def moved(train: TrainingSet, device: torch.device) -> TrainingSet:
    """A copy in the memory of a device."""
    return TrainingSet(
        moved_clips(train.clips, device),
        train.labels.to(device, copy=True),
        moved_classes(train.classes, device),
        moved_classes(train.unseen, device) if train.unseen else None,
    )


def moved_clips(clips: Clips, device: torch.device) -> Clips:
    """A copy in the memory of a device."""
    audio, visual = (tensor.to(device, copy=True) for tensor in (clips.audio, clips.visual))
    if isinstance(clips, PackedClips):
        offsets = (o.to(device) for o in (clips.audio_offsets, clips.visual_offsets))
        first, second = offsets
        return replace(clips, audio=audio, visual=visual, audio_offsets=first, visual_offsets=second, device=device)
    time = clips.time and replace(
        clips.time,
        audio_lengths=clips.time.audio_lengths.to(device, copy=True),
        visual_lengths=clips.time.visual_lengths.to(device, copy=True),
    )
    return Clips(audio, visual, time=time)


def moved_classes(classes: Classes, device: torch.device) -> Classes:
    """A copy in the memory of a device."""
    vectors, trained = (tensor.to(device, copy=True) for tensor in (classes.vectors, classes.trained))
    texts = {name: text.to(device, copy=True) for name, text in classes.texts.items()}
    return replace(classes, vectors=vectors, trained=trained, texts=texts)


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
    """Seed the global generators as the harness does and fit."""
    progress = progress or SimulatedProgress()
    seed_generators(progress.seed)
    method.fit(train, progress)
    return method
