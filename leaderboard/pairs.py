"""All pairs of rows on the same classes at once: what :func:`avbench.leaderboard.statistics.compare` says of each."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from avbench.leaderboard.claims import PRINTED, Metric
from avbench.leaderboard.estimates import Estimates
from avbench.leaderboard.recalls import Doubles, Recalls


@dataclass(frozen=True, eq=False)
class Pairs:
    """Of the differences of K rows in one metric: NaN where one of the two has too few seeds."""

    half_widths: Doubles
    """(K, K) of the interval around the difference, in points."""
    p: Doubles
    """(K, K) two-sided, each comparison by itself."""


def all_pairs(rows: Sequence[Recalls]) -> Mapping[Metric, Pairs]:
    """Of S, U, HM and ZSL. Raises ``ValueError`` for rows on different numbers of classes."""
    tested = [place for place, row in enumerate(rows) if row.enough]
    inner = np.ix_(tested, tested)
    found = {}
    for metric in PRINTED:
        half_widths, p = (np.full((len(rows), len(rows)), np.nan) for _ in range(2))
        if tested:
            estimates = Estimates.of([rows[place] for place in tested], metric)
            half_widths[inner] = estimates.pairs().half_widths()
            p[inner] = estimates.p_values()
        found[metric] = Pairs(half_widths, p)
    return found
