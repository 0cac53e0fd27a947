"""What a worker does for its judge: make a method, fit it, and score the clips that it is sent. Imports torch."""

from __future__ import annotations

import importlib
import os
import socket
from collections.abc import Mapping, Sequence
from typing import Any, NoReturn

import torch
from torch import Tensor

from avbench.harness.contract.data import Classes, Clips, Time, TrainingSet
from avbench.harness.contract.method import Method
from avbench.harness.contract.packed import PackedClips
from avbench.harness.errors import MethodError
from avbench.harness.evaluation.fit_progress import FitProgress
from avbench.harness.evaluation.peak_memory import peak_memory_bytes
from avbench.harness.evaluation.precision import make_deterministic, matrix_products
from avbench.harness.evaluation.random_state import random_state_kept, seed_generators
from avbench.harness.evaluation.stages import checked_scores, guarded
from avbench.harness.isolation import shared
from avbench.harness.isolation.messages import (
    FROM_JUDGE,
    FROM_JUDGE_BYTES,
    MOST_BRANCHES,
    Begin,
    Candidates,
    Count,
    Counted,
    EpochDone,
    Fit,
    Fitted,
    Heard,
    Make,
    Message,
    Named,
    Ready,
    Score,
    Scored,
)
from avbench.harness.isolation.wire import WireError, receive, send
from avbench.harness.isolation.withheld import fail

Asked = tuple[Message, list[int]]
"""What the judge asks, and the files that came with it."""


class Service:
    """Serves one judge until it hangs up."""

    def __init__(self, judge: socket.socket, begin: Begin) -> None:
        self._judge = judge
        self._begin = begin
        self._device = torch.device(begin.device)

    def serve(self) -> NoReturn:
        """Load the method, and do what is asked until the judge hangs up or the method fails."""
        torch.set_num_threads(self._begin.threads)
        make_deterministic()
        try:
            kind, options = self._loaded()
            send(self._judge, Ready())
            with matrix_products(self._begin.precision, self._device):
                self._work(kind, options)
        except BaseException as error:  # also SystemExit: a method ends its own run, and not in silence
            self._fail(error)

    def _loaded(self) -> tuple[type[Method], Any]:
        """The class of the method and its options."""
        module = importlib.import_module(self._begin.module)
        kinds = [kind for kind in module.avbench_methods() if kind.info.slug == self._begin.slug]
        if len(kinds) != 1:
            raise MethodError(f"{self._begin.module} brings {len(kinds)} methods of the name {self._begin.slug!r}")
        return kinds[0], kinds[0].Options.model_validate(self._begin.options)

    def _work(self, kind: type[Method], options: Any) -> NoReturn:
        method: Any = None
        asked, files = self._next()
        while True:
            if isinstance(asked, Candidates):
                asked, files = self._evaluate(method, asked, files)
                continue
            if isinstance(asked, Make):
                method = kind(options)
                send(self._judge, Ready())
            elif isinstance(asked, Fit):
                self._fit(method, asked, files)
                send(self._judge, Fitted())
            else:
                assert isinstance(asked, Count)
                peak = peak_memory_bytes(self._device)
                send(self._judge, Counted(parameters=method.parameters(), peak_memory_bytes=peak))
            asked, files = self._next()

    def _fit(self, method: Method, asked: Fit, files: Sequence[int]) -> None:
        train = self._training_set(asked, _taken(files, asked.layout))
        progress = FitProgress(asked.epochs, self._device, asked.seed, self._epoch_done)
        seed_generators(asked.seed)
        with guarded(method, "fit", train.clips.audio, train.clips.visual, train.labels, train.classes.vectors):
            method.fit(train, progress)

    def _epoch_done(self, method: Method) -> float:
        """Tell of an epoch, and score for the judge until the HM comes."""
        try:
            send(self._judge, EpochDone())
            asked, files = self._next()
            while isinstance(asked, Candidates):
                asked, files = self._evaluate(method, asked, files)
            assert isinstance(asked, Heard)
            return asked.hm
        except BaseException as error:  # not for the method, which might go on
            self._fail(error)

    def _evaluate(self, method: Method, asked: Candidates, files: Sequence[int]) -> Asked:
        """One evaluation, which leaves random state as it was; gives what is asked after it."""
        classes = _classes(asked.classes, "classes", _taken(files, asked.layout), self._device)
        with random_state_kept(self._device):
            while isinstance((following := self._next())[0], Score):
                self._score(method, classes, *following)
        return following

    def _score(self, method: Method, classes: Classes, asked: Message, files: list[int]) -> None:
        assert isinstance(asked, Score)
        *files, answer = files
        tensors = _moved(_taken(files, asked.layout), self._device)
        time = asked.steps and Time(tensors["audio_lengths"], tensors["visual_lengths"], *asked.steps)
        clips = Clips(tensors["audio"], tensors["visual"], time=time)
        with guarded(method, "predict", clips.audio, clips.visual, classes.vectors, classes.trained):
            parts: Mapping[str, Tensor] = (
                method.predict_branches(clips, classes) if asked.branches else {"": method.predict(clips, classes)}
            )
        if len(parts) > MOST_BRANCHES:
            raise MethodError(f"{method.info.slug} has {len(parts)} branches, at most {MOST_BRANCHES} can be scored")
        for place, part in enumerate(parts.values()):
            scores = checked_scores(method, part, clips, classes).float().cpu()
            shared.write(answer, scores, place * 4 * len(clips) * len(classes))
        os.close(answer)
        send(self._judge, Scored(branches=tuple(parts)))

    def _training_set(self, asked: Fit, tensors: dict[str, Tensor]) -> TrainingSet:
        audio, visual = tensors.pop("audio"), tensors.pop("visual")
        clips: Clips
        if asked.steps is None:
            clips = Clips(audio.to(self._device), visual.to(self._device))
        else:  # larger than memory perhaps, so they stay where they are: batches are moved
            clips = PackedClips(
                audio,
                visual,
                audio_offsets=tensors.pop("audio_offsets"),
                visual_offsets=tensors.pop("visual_offsets"),
                audio_step=asked.steps[0],
                visual_step=asked.steps[1],
                device=self._device,
            )
        return TrainingSet(
            clips=clips,
            labels=tensors.pop("labels").to(self._device),
            classes=_classes(asked.classes, "classes", tensors, self._device),
            unseen=_classes(asked.unseen, "unseen", tensors, self._device) if asked.unseen else None,
        )

    def _next(self) -> Asked:
        try:
            content, files = receive(self._judge, FROM_JUDGE_BYTES)
        except (WireError, OSError):  # the judge has all it wants: nothing of the method is to run any more
            os._exit(0)
        return FROM_JUDGE.validate_json(content), files

    def _fail(self, error: BaseException) -> NoReturn:
        fail(self._judge, error, sandboxed=self._begin.sandboxed)


def _taken(files: Sequence[int], layout: Mapping[str, Any]) -> dict[str, Tensor]:
    """The tensors of the one piece of memory that came; the mapping outlives the descriptor."""
    (file,) = files
    tensors = shared.get(file, dict(layout))
    os.close(file)
    return tensors


def _moved(tensors: Mapping[str, Tensor], device: torch.device) -> dict[str, Tensor]:
    return {name: tensor.to(device) for name, tensor in tensors.items()}


def _classes(named: Named, whose: str, tensors: Mapping[str, Tensor], device: torch.device) -> Classes:
    texts = f"{whose}.texts."
    return Classes(
        names=named.names,
        prompts=named.prompts,
        vectors=tensors[f"{whose}.vectors"].to(device),
        trained=tensors[f"{whose}.trained"].to(device),
        texts={name.removeprefix(texts): t.to(device) for name, t in tensors.items() if name.startswith(texts)},
    )
