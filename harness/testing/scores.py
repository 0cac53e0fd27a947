"""Checks of scores: what they are, and what they may depend on."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import torch
from torch import Tensor

from avbench.harness.testing.check import CheckFailedError, NotApplicableError
from avbench.harness.testing.comparison import refuse_gap, refuse_other_state, rows_of, situation
from avbench.harness.testing.over_time import beside
from avbench.harness.testing.simulated import chosen
from avbench.harness.testing.subject import Subject
from avbench.harness.testing.surroundings import watched


def scores_sound(subject: Subject) -> None:
    fit = subject.fit()
    for name, scores in fit.own_answers.items():
        if scores.dtype not in (torch.float32, torch.float64):
            raise CheckFailedError(f"scores{f' of branch {name}' if name else ''} are {scores.dtype}, not float32")


def scores_repeatable(subject: Subject) -> None:
    fit = subject.new_fit()
    before = fit.state
    again = {seed: fit.answers(fit.clips, fit.task.candidates, seed=seed) for seed in (0, 1)}
    refuse_gap(again[0], again[1], "asked twice, predict gives different scores")
    refuse_other_state(before, fit.current_state(), "predict changes the fitted state")


def one_clip(subject: Subject) -> None:
    fit = subject.fit()
    with situation("asked for the scores of one clip"):
        fit.answers(rows_of(fit.clips, slice(1)), fit.task.candidates)


def clips_independent(subject: Subject) -> None:
    fit, clips, classes = subject.fit(), subject.fit().clips, subject.fit().task.candidates
    together = fit.own_answers
    kept = torch.arange(len(clips)) % 2 == 0
    others = fit.task.evaluated(torch.zeros(len(clips), dtype=torch.int64), seed=5)
    mixed = beside(clips, others, kept)
    answers = {name: scores[kept] for name, scores in fit.answers(mixed, classes).items()}
    alone = {name: scores[kept] for name, scores in together.items()}
    refuse_gap(alone, answers, "the scores of a clip change when other clips are asked for beside it")
    few = fit.answers(rows_of(clips, slice(5)), classes)
    together = {name: scores[:5] for name, scores in together.items()}
    refuse_gap(together, few, "the scores of a clip change when fewer clips are asked for beside it")


def order_independent(subject: Subject) -> None:
    fit, clips, classes = subject.fit(), subject.fit().clips, subject.fit().task.candidates
    by_class = torch.argsort(torch.arange(len(clips)) % len(classes), stable=True)
    for order in (by_class, by_class.flip(0)):
        expected = {name: scores[order] for name, scores in fit.own_answers.items()}
        answers = fit.answers(rows_of(clips, order), classes)
        refuse_gap(expected, answers, "the scores of a clip depend on its place among the clips")


def candidates_independent(subject: Subject) -> None:
    if subject.kind.info.scores_depend_on_candidates:
        raise NotApplicableError("the method declares scores_depend_on_candidates")
    fit = subject.fit()
    for rows in (torch.tensor([8, 6, 5, 2, 0]), torch.arange(6), torch.arange(6, 9)):
        expected = {name: scores[:, rows] for name, scores in fit.own_answers.items()}
        answers = fit.answers(fit.clips, chosen(fit.task.candidates, rows))
        refuse_gap(expected, answers, "the score of a class changes with the other candidates")


def unseen_names(subject: Subject) -> None:
    if subject.kind.info.uses_unseen_names:
        raise NotApplicableError("the method declares uses_unseen_names")
    fit = subject.fit()
    shown = subject.new_fit(train=fit.task.training_set(unseen_names=True))
    refuse_gap(fit.own_answers, shown.own_answers, "the scores change when fit is shown the unseen classes")


def inputs_untouched(subject: Subject) -> None:
    task = subject.task()
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
        with _left_alone(what, given), watched(0):
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
