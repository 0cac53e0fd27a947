"""The judge's side: a method that stands for the one in the worker, so that the two stages run as they always do.

What the method learns from is copied into shared memory when a fit starts, clips to be scored at each evaluation. The
clips of the test are therefore not in the worker before its last fit is over. Imports torch.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from typing import NoReturn

import torch
from torch import Tensor

from avbench.harness.contract.data import Classes, Clips, TrainingSet
from avbench.harness.contract.method import Method, Progress
from avbench.harness.contract.options import Options
from avbench.harness.contract.packed import PackedClips
from avbench.harness.errors import WorkerError
from avbench.harness.evaluation.elsewhere import Elsewhere
from avbench.harness.isolation import shared
from avbench.harness.isolation.messages import (
    MOST_BRANCHES,
    Candidates,
    Count,
    Counted,
    EpochDone,
    Fit,
    Fitted,
    Heard,
    Make,
    Named,
    Ready,
    Score,
    Scored,
)
from avbench.harness.isolation.process import WorkerProcess
from avbench.harness.plugins.registry import Registered

Steps = tuple[float, float]


def stand_in(registered: Registered, worker: WorkerProcess) -> Callable[[], Method]:
    """What makes a fresh method in a worker, and gives what stands for it here."""

    class StandIn(Remote):
        info = registered.info
        takes_few_bits = registered.method.takes_few_bits

    worker.hear(Ready)
    return lambda: StandIn(worker)


class Remote(Elsewhere):
    """The latest method of a worker. Raises :class:`WorkerError` where that is lost, MethodError where it fails."""

    def __init__(self, worker: WorkerProcess) -> None:
        super().__init__(Options())
        self._worker = worker
        self._classes: Classes | None = None
        worker.tell(Make())
        worker.hear(Ready)

    def fit(self, train: TrainingSet, progress: Progress) -> None:
        tensors, steps = _training_clips(train.clips)
        tensors |= {"labels": train.labels, **_vectors(train.classes, "classes")}
        if train.unseen is not None:
            tensors |= _vectors(train.unseen, "unseen")
        dtype = None if steps or self.takes_few_bits else torch.float32  # batches over time are float32 in any case
        file, layout = shared.put(tensors, dtype, on_disk=steps is not None)
        asked = Fit(
            epochs=progress.epochs,
            seed=progress.seed,
            classes=_named(train.classes),
            unseen=train.unseen and _named(train.unseen),
            steps=steps,
            layout=layout,
        )
        self._send(asked, file)
        while isinstance(self._worker.hear(EpochDone, Fitted), EpochDone):
            self._worker.tell(Heard(hm=progress.epoch_done(self)))

    def predict(self, clips: Clips, classes: Classes) -> Tensor:
        return self._scores(clips, classes, branches=False)[""]

    def predict_branches(self, clips: Clips, classes: Classes) -> Mapping[str, Tensor]:
        return self._scores(clips, classes, branches=True)

    def parameters(self) -> int:
        self._worker.tell(Count())
        counted = self._worker.hear(Counted)
        self._worker.peak_memory_bytes = counted.peak_memory_bytes
        return counted.parameters

    def state(self) -> NoReturn:
        raise NotImplementedError("the state of a method in a worker stays there")

    def load_state(self, state: Mapping[str, Tensor]) -> NoReturn:
        raise NotImplementedError("the state of a method in a worker stays there")

    def _scores(self, clips: Clips, classes: Classes, *, branches: bool) -> dict[str, Tensor]:
        if classes is not self._classes:  # each evaluation has its own, and the worker starts it anew
            file, layout = shared.put(_vectors(classes, "classes"))
            self._send(Candidates(classes=_named(classes), layout=layout), file)
            self._classes = classes
        shape = len(clips), len(classes)
        size = 4 * shape[0] * shape[1]
        tensors = {"audio": clips.audio, "visual": clips.visual}
        steps: Steps | None = None
        if time := clips.time:
            tensors |= {"audio_lengths": time.audio_lengths, "visual_lengths": time.visual_lengths}
            steps = time.audio_step, time.visual_step
        answer = shared.room(size * MOST_BRANCHES if branches else size)
        try:
            file, layout = shared.put(tensors)
            self._send(Score(branches=branches, steps=steps, layout=layout), file, answer)
            names = self._worker.hear(Scored).branches
            if len(set(names)) < len(names) or ("" in names if branches else names != ("",)):
                raise WorkerError(f"{self.info.slug}: its worker names scores {names}, which were not asked for")
            parts = {name: shared.read(answer, shape, size * place) for place, name in enumerate(names)}
        finally:
            os.close(answer)
        found = {name: part for name, part in parts.items() if part is not None}
        if len(found) < len(parts):
            raise WorkerError(f"{self.info.slug}: its worker wrote fewer scores than {shape} (clips, classes)")
        return found

    def _send(self, asked: Fit | Candidates | Score, file: int, *others: int) -> None:
        """Send what was copied for it: the descriptor is closed."""
        try:
            self._worker.tell(asked, (file, *others))
        finally:
            os.close(file)


def _training_clips(clips: Clips) -> tuple[dict[str, Tensor], Steps | None]:
    tensors = {"audio": clips.audio, "visual": clips.visual}
    if not isinstance(clips, PackedClips):
        return tensors, None
    tensors |= {"audio_offsets": clips.audio_offsets, "visual_offsets": clips.visual_offsets}
    return tensors, (clips.audio_step, clips.visual_step)


def _named(classes: Classes) -> Named:
    return Named(names=classes.names, prompts=classes.prompts)


def _vectors(classes: Classes, whose: str) -> dict[str, Tensor]:
    texts = {f"{whose}.texts.{name}": vectors for name, vectors in classes.texts.items()}
    return {f"{whose}.vectors": classes.vectors, f"{whose}.trained": classes.trained, **texts}
