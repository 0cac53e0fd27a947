"""Whether two runs gave the same answers, also where somebody changed a few of them. Knows no torch."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from avbench.harness.evaluation.evidence import Evidence
from avbench.harness.records.record import RunRecord

SAMPLED = 1_000
"""Clips of the test, spread over all classes, whose answers are compared."""
ALIKE = 0.99
"""Share of equal answers from which on two trained runs count as one. Seeds of one method agree on far fewer."""
_SHIFT = 2**15

Answers = NDArray[np.int32]


def answers_of(table: Evidence) -> Answers:
    """(K,) the best seen and the best unseen class of each sampled clip, as one number; K at most :data:`SAMPLED`."""
    count = table.label.size
    at = np.linspace(0, count - 1, min(count, SAMPLED)).astype(np.intp)
    answers: Answers = table.seen_class[at] * np.int32(_SHIFT) + table.unseen_class[at]
    return answers


def alike(one: Answers, other: Answers) -> bool:
    """Whether nearly all answers to the same clips are the same."""
    return bool((one == other).mean() >= ALIKE)


def was_trained(record: RunRecord) -> bool:
    """Whether chance took part in a run, so that another seed gives other answers, whatever it says of itself."""
    return record.outcome is not None and (record.outcome.parameters > 0 or len(record.outcome.validation) > 1)
