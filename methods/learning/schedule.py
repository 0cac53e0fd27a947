"""The learning-rate rule of the benchmark. Knows no torch."""

from __future__ import annotations

import math


class Plateau:
    """Divide the rate by ten after more than three epochs without a better validation HM (guide: How a number is made).

    Better: above the best so far by a relative 1e-4. A change of at most 1e-8 is skipped.
    """

    def __init__(self, rate: float) -> None:
        self.rate = rate
        self.best = -math.inf
        self.bad = 0

    def update(self, hm: float) -> float:
        """Take the HM of the epoch that ended and return the rate of the next one."""
        if hm > self.best * (1 + 1e-4):
            self.best = hm
            self.bad = 0
        else:
            self.bad += 1
        if self.bad > 3:
            self.bad = 0
            reduced = 0.1 * self.rate
            if self.rate - reduced > 1e-8:
                self.rate = reduced
        return self.rate
