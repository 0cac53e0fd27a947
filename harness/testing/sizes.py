"""Checks that a method assumes no sizes. Imports torch."""

from __future__ import annotations

import torch

from avbench.harness.testing.comparison import situation
from avbench.harness.testing.simulated import Task, chosen
from avbench.harness.testing.subject import Fit, Subject


def class_counts(subject: Subject) -> None:
    _works(subject, subject.task(trained=2, unseen=1, clips=16), "trained on 2 classes")
    fit = _works(subject, subject.task(trained=11, unseen=5, clips=64), "trained on 11 classes")
    with situation("asked for the scores of one class"):
        fit.answers(fit.clips, chosen(fit.task.candidates, torch.tensor([0])))


def batch_sizes(subject: Subject) -> None:
    _works(subject, subject.task(clips=49), "trained on 49 clips, which leave one clip over after batches of 16")
    _works(subject, subject.task(clips=7), "trained on 7 clips, fewer than a batch of 16")


def text_widths(subject: Subject) -> None:
    for width in (64, 384):
        _works(subject, subject.task(text=width), f"with label vectors of width {width}")


def feature_widths(subject: Subject) -> None:
    _works(
        subject, subject.task(audio=96, visual=200), "with audio features of width 96 and visual features of width 200"
    )


def _works(subject: Subject, task: Task, text: str) -> Fit:
    """A fit that gives sound scores."""
    with situation(text):
        fit = subject.new_fit(task)
        _ = fit.own_answers
        return fit
