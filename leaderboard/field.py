"""Facts about the field's data that no result shows: shared source videos, and the trace of permuted label vectors."""

from __future__ import annotations

from functools import cache
from typing import Annotated

from pydantic import Field

from avbench.harness.records.record import Name
from avbench.leaderboard.claims import Blank, Row, read_rows

Distance = Annotated[float, Field(ge=0, le=2)]


class SourceOverlap(Row):
    """Clips of a part whose source video also gave training clips of the same stage."""

    dataset: Name
    part: Name
    clips: Annotated[int, Field(ge=1)]
    shared: Annotated[int, Field(ge=0)]
    lower_bound: bool
    """The training list is public only in part: there may be more."""
    identifier: str
    """What tells the source of a clip."""
    source: str


class NearestClass(Row):
    """One row of EZ-AVGZL's table 8 with the nearest class under both pairings of classes and vectors.

    Distances are 1 - cosine between word2vec label vectors, among the 138 stage-1 training classes of VGGSound.
    """

    base: str
    nearest_permuted: str
    distance_permuted: Distance
    printed: Annotated[Distance | None, Blank]
    """The distance in the paper; None where it is not legible."""
    nearest_own: str
    distance_own: Distance

    @property
    def decides(self) -> bool:
        """The two pairings differ, so that the printed distance tells which one the paper used."""
        return self.printed is not None and self.distance_permuted != self.distance_own


@cache
def source_overlaps() -> tuple[SourceOverlap, ...]:
    return read_rows("source_overlap.csv", SourceOverlap)


@cache
def nearest_classes() -> tuple[NearestClass, ...]:
    return read_rows("nearest_classes.csv", NearestClass)
