"""The decision rule of calibrated stacking and the class means that everything else is made of."""

from __future__ import annotations

import math
from typing import overload

import numpy as np
from numpy.typing import NDArray

from avbench.harness.errors import RecordError
from avbench.harness.evaluation.evidence import Evidence, Ints

Doubles = NDArray[np.float64]

EQUAL = 1e-10
"""Harmonic means closer than this (relative) are equal: the rounding of sums, which depends on their order, must choose
neither an offset nor an epoch."""


def predict(evidence: Evidence, offset: float) -> Ints:
    """(N,) predicted class ids when ``offset`` is subtracted from every seen score (Chao et al., ECCV 2016).

    The best seen class wins where the margin is greater than the offset, the best unseen class where it is smaller;
    where they are equal, the lower class id of the two. Raises :class:`RecordError` for an offset that is NaN.
    """
    if math.isnan(offset):
        raise RecordError("the calibrated stacking offset is NaN.")
    tie = (evidence.margin == offset) & (evidence.seen_class < evidence.unseen_class)
    return np.where((evidence.margin > offset) | tie, evidence.seen_class, evidence.unseen_class)


def class_recall(evidence: Evidence, predicted: Ints) -> Doubles:
    """Share of each class's clips that got the right class, as fractions in the order of ``evidence.classes``.

    0 for a class without clips.
    """
    hits = np.bincount(evidence.class_row[predicted == evidence.label], minlength=evidence.classes.size)
    return hits / np.maximum(evidence.class_clips, 1)


def mean_class_accuracy(evidence: Evidence, predicted: Ints, *, allow_empty: bool = False) -> tuple[float, float]:
    """Mean recall over the seen and over the unseen classes, in percent: S and U.

    ``predicted``: (N,) class ids. ``allow_empty`` and errors: see :func:`class_weights`.
    """
    recall = class_recall(evidence, predicted)
    counted = class_weights(evidence, allow_empty=allow_empty) > 0
    seen, unseen = (
        float(100 * recall[counted & side].mean()) for side in (evidence.class_is_seen, ~evidence.class_is_seen)
    )
    return seen, unseen


def class_weights(evidence: Evidence, *, allow_empty: bool = False) -> Doubles:
    """Weight of one clip in its side's mean class accuracy: 1 / (classes of the side * clips of the class).

    One weight per class, in the order of ``evidence.classes``. A class without clips has no recall and is refused with
    a :class:`RecordError`; with ``allow_empty`` it gets weight 0 and the mean is over the other classes of its side.
    Such a mean is not comparable to others: ``evidence.empty_classes`` says what is missing. A side without any clip
    is always refused.
    """
    filled = evidence.class_clips > 0
    if not (filled.all() or allow_empty):
        missing = evidence.empty_classes
        raise RecordError(
            f"{missing.size} of {filled.size} classes have no evaluated clip, so their recall is undefined: "
            f"class ids {', '.join(map(str, missing))}."
        )
    weights = np.zeros(filled.size)
    for name, side in (("a seen", evidence.class_is_seen), ("an unseen", ~evidence.class_is_seen)):
        counted = filled & side
        if not counted.any():
            raise RecordError(f"no evaluated clip has {name} class: its mean class accuracy is undefined.")
        weights[counted] = 1 / (counted.sum() * evidence.class_clips[counted])
    return weights


@overload
def harmonic_mean(seen: float, unseen: float) -> float: ...
@overload
def harmonic_mean(seen: Doubles, unseen: Doubles) -> Doubles: ...
def harmonic_mean(seen: float | Doubles, unseen: float | Doubles) -> float | Doubles:
    """2su / (s + u), element by element, in the unit of its arguments; 0 where both are 0."""
    s, u = np.asarray(seen, dtype=np.float64), np.asarray(unseen, dtype=np.float64)
    total = s + u
    mean = 2 * s * u / np.where(total > 0, total, 1)
    return mean if mean.ndim else float(mean)


@overload
def exceeds(one: float, other: float) -> bool: ...
@overload
def exceeds(one: float, other: Doubles) -> NDArray[np.bool_]: ...
def exceeds(one: float, other: float | Doubles) -> bool | NDArray[np.bool_]:
    """Whether a harmonic mean is greater than another, or than each of an array, by more than :data:`EQUAL`."""
    return other < one * (1 - EQUAL)
