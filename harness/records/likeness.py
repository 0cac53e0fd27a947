"""Whether two runs gave the same answers, also where somebody changed a few of them. Knows no torch."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from avbench.harness.evaluation.evidence import Evidence
from avbench.harness.records.record import RunRecord

ALIKE = 0.99
"""Share of equal answers from which on two trained runs count as one. Seeds of one method agree on far fewer."""
_SHIFT = 2**15

Answers = NDArray[np.int32]


def answers_of(table: Evidence) -> Answers:
    """(N,) the best seen and the best unseen class of each clip, as one number. Of a sample of clips somebody could
    change just those."""
    answers: Answers = table.seen_class * np.int32(_SHIFT) + table.unseen_class
    return answers


def alike(one: Answers, other: Answers) -> bool:
    """Whether nearly all answers to the same clips are the same."""
    return bool((one == other).mean() >= ALIKE)


def was_trained(record: RunRecord) -> bool:
    """Whether chance took part in a run, so that another seed gives other answers, whatever it says of itself."""
    return record.outcome is not None and (record.outcome.parameters > 0 or len(record.outcome.validation) > 1)
