"""The named protocols: fixed, versioned ways to evaluate."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import Literal

from avbench.harness.errors import unknown
from avbench.harness.evaluation.accuracy import exceeds
from avbench.harness.evaluation.calibration import GRID, Offset, exact_offset, grid_offset
from avbench.harness.evaluation.evidence import Evidence
from avbench.harness.tracks import Track


@dataclass(frozen=True)
class Protocol:
    """A fixed, versioned way to evaluate. A change that can change a number is a new version."""

    name: str
    version: int
    summary: str
    label_vectors: Literal["own", "permuted"]
    """``own``: each class gets the vector of its own prompt; ``permuted``: the released loader's rule."""
    offset: Literal["exact", "grid"]
    """``exact``: optimum of validation HM over all real offsets; ``grid``: 0, 0.2, ..., 3.0."""
    averaged_offset: bool
    """For methods that have branches: the mean of their optima and that of the combined score."""
    replace_zero_best: bool
    """While the best validation HM is exactly 0, each later epoch replaces it."""
    grid: tuple[float, ...] = GRID
    """The offsets that are tried where ``offset`` is ``grid``."""

    def find_offset(self, evidence: Evidence, *, allow_empty: bool = False) -> Offset:
        """The offset with the best HM on this evidence, by this protocol's search."""
        if self.offset == "exact":
            return exact_offset(evidence, allow_empty=allow_empty)
        return grid_offset(evidence, self.grid, allow_empty=allow_empty)

    def on(self, track: Track) -> Protocol:
        """The protocol as it is on a track: where the papers of its features ran other code, that is reproduced."""
        return replace(
            self,
            grid=GRIDS.get(track.features, self.grid),
            label_vectors="own" if track in REPAIRED else self.label_vectors,
        )

    def replaces(self, hm: float, best: float) -> bool:
        """Whether an epoch with this validation HM takes the place of the best one before it.

        The first of equals stays, and equal is what differs by rounding only, as in the search for the offset.
        """
        return exceeds(hm, best) or (self.replace_zero_best and best == 0)


GRIDS: Mapping[str, tuple[float, ...]] = MappingProxyType({"clipclap": tuple(step / 15 for step in range(76))})
"""Feature set -> offsets of its papers' code, where they are others: 0 to 5 in steps of 1/15 (ClipClap)."""
REPAIRED = frozenset([Track("ucf", "clipclap")])
"""Tracks whose papers' loader pairs every class with its own label vector: ClipClap's new table of names of UCF."""

ALIGNED = Protocol(
    name="aligned",
    version=1,
    summary="Every class has its own label vector; the offset is the exact optimum of validation HM.",
    label_vectors="own",
    offset="exact",
    averaged_offset=False,
    replace_zero_best=False,
)
AS_PUBLISHED = Protocol(
    name="as-published",
    version=1,
    summary="Reproduces the reference code: permuted label vectors, grid of offsets, averaged offsets.",
    label_vectors="permuted",
    offset="grid",
    averaged_offset=True,
    replace_zero_best=True,
)
PROTOCOLS: Mapping[str, Protocol] = MappingProxyType({p.name: p for p in (ALIGNED, AS_PUBLISHED)})


def find_protocol(name: str) -> Protocol:
    """A protocol by its name; raises :class:`UsageError` with a suggestion for an unknown one."""
    if name not in PROTOCOLS:
        raise unknown("protocol", name, PROTOCOLS)
    return PROTOCOLS[name]
