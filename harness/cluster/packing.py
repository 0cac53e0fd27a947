"""Which runs a job begins with. What it leaves, or what it has no time for, the others take."""

from __future__ import annotations

import math
from collections.abc import Sequence
from statistics import median


def pack(seconds: Sequence[float | None], target: float, most: int) -> list[list[int]]:
    """Indices of runs by job, each with about ``target`` seconds of work, in at most ``most`` jobs.

    The longest run goes to the job with the least work each time, so no job has more than the average and one run.
    Runs of unknown time count as the median of the others; where none is known, each job gets as many.
    """
    known = [s for s in seconds if s is not None]
    lengths = [s if s is not None else (median(known) if known else 1.0) for s in seconds]
    wanted = math.ceil(sum(lengths) / target) if known else len(lengths)
    packs: list[list[int]] = [[] for _ in range(max(1, min(wanted, most, len(lengths))))]
    loads = [0.0] * len(packs)
    for index in sorted(range(len(lengths)), key=lambda i: (-lengths[i], i)):
        least = loads.index(min(loads))
        packs[least].append(index)
        loads[least] += lengths[index]
    return packs


def order_of(packs: Sequence[Sequence[int]], number: int) -> list[int]:
    """The runs in the order in which one job begins them: its own, then those that the others would begin last."""
    following = [packs[(number + step) % len(packs)] for step in range(1, len(packs))]
    return [*packs[number], *(index for other in following for index in reversed(other))]
