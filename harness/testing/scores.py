"""Checks of scores: what they are, and what they may depend on."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import torch
from torch import Tensor

from avbench.harness.testing.check import CheckFailedError
from avbench.harness.testing.simulated import Task
from avbench.harness.testing.subject import Subject
from avbench.harness.testing.surroundings import watched


def scores_sound(subject: Subject) -> None:
    fit = subject.fit()
    for name, scores in fit.own_answers.items():
        if scores.dtype not in (torch.float32, torch.float64):
            raise CheckFailedError(f"scores{f' of branch {name}' if name else ''} are {scores.dtype}, not float32")


def inputs_untouched(subject: Subject) -> None:
    task = Task()
    train = task.training_set(unseen_names=subject.kind.info.uses_unseen_names)
    given = {"audio": train.clips.audio, "visual": train.clips.visual, "labels": train.labels}
    given |= {"label vectors": train.classes.vectors, "trained marks": train.classes.trained}
    if train.unseen:
        given["unseen label vectors"] = train.unseen.vectors
    with _left_alone("fit", given):
        fit = subject.new_fit(task, train=train)
    clips, classes = fit.clips, task.candidates
    given = {"audio": clips.audio, "visual": clips.visual}
    given |= {"label vectors": classes.vectors, "trained marks": classes.trained}
    for what in ("predict", "predict_branches"):
        with _left_alone(what, given), watched():
            getattr(fit.method, what)(clips, classes)


@contextmanager
def _left_alone(what: str, tensors: Mapping[str, Tensor]) -> Iterator[None]:
    """Refuse code that changes tensors, also when it changes them back: another thread may look in between."""
    copies = {name: tensor.clone() for name, tensor in tensors.items()}
    versions = {name: tensor._version for name, tensor in tensors.items()}
    yield
    for name, tensor in tensors.items():
        if tensor._version != versions[name] or not torch.equal(tensor, copies[name]):
            raise CheckFailedError(f"{what} changes the {name} that it is given, in place")
