"""What is known of a row for statistics: the recall of each class in each run."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from avbench.harness.evaluation.accuracy import class_recall, predict
from avbench.harness.evaluation.evidence import Evidence

Doubles = NDArray[np.float64]

FEWEST_SEEDS = 3
"""A row with fewer cannot be told apart from anything: what the seeds contribute is not known."""


@dataclass(frozen=True, eq=False)
class Recalls:
    """Recall per run and class, in percent. Classes without clips are left out.

    ``seen``: (R, S) of the seen classes; ``unseen``: (R, U) of the unseen ones, both over the joint search space with
    the run's offset; ``zero_shot``: (R, U) over the unseen classes only.
    """

    seen: Doubles
    unseen: Doubles
    zero_shot: Doubles

    @classmethod
    def of(cls, table: Evidence, offset: float) -> Recalls:
        """Of one run, from its test evidence and offset."""
        joint = 100 * class_recall(table, predict(table, offset))
        alone = 100 * class_recall(table, table.unseen_class)
        seen, unseen = table.filled_sides
        return cls(joint[None, seen], joint[None, unseen], alone[None, unseen])

    @classmethod
    def together(cls, runs: Sequence[Recalls]) -> Recalls:
        """Of all runs of a row. They are on the same clips."""
        sides = ([getattr(run, side) for run in runs] for side in ("seen", "unseen", "zero_shot"))
        return cls(*map(np.concatenate, sides))

    @classmethod
    def of_nothing(cls) -> Recalls:
        """Of no run: nothing can be said."""
        return cls(*np.zeros((3, 0, 0)))

    @property
    def classes(self) -> tuple[int, int, int]:
        """Their numbers on the three sides."""
        return self.seen.shape[1], self.unseen.shape[1], self.zero_shot.shape[1]

    @property
    def seeds(self) -> int:
        """Number of runs, R."""
        return len(self.seen)

    @property
    def enough(self) -> bool:
        """There are seeds, and classes of each kind, enough to say anything."""
        return self.seeds >= FEWEST_SEEDS and min(self.classes) > 1
