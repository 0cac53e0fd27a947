"""What a track's features tell about themselves: how well classes stand apart, and which clips are nearly the same.

Features are standardised with the mean and deviation of the training clips first, so that a threshold means the same
for every encoder. No torch of its own.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from avbench.splits import PARTS

if TYPE_CHECKING:
    from avbench.harness.features.featureset import FeatureSet

Matrix = NDArray[np.float32]
LEARNT = {
    "val_seen": ("train",),
    "val_unseen": ("train",),
    "test_seen": ("train", "val_seen", "val_unseen"),
    "test_unseen": ("train", "val_seen", "val_unseen"),
}
"""Part -> the parts that were learnt from when it is evaluated."""
ROWS_AT_ONCE = 512
NEAR = 0.95
"""Cosine of standardised features from which on two clips count as near-duplicates."""


@dataclass(frozen=True)
class Pair:
    """A clip and the one that is most like it among those learnt from; rows of the feature set."""

    part: str
    row: int
    nearest: int
    similarity: float


@dataclass(frozen=True)
class Separability:
    """Share in percent of training clips, averaged over classes, that are nearest to the mean of their own class's
    other clips; None where no class has two."""

    audio: float | None
    visual: float | None
    chance: float


@dataclass(frozen=True)
class Description:
    """``similarity``: per evaluated part, the cosine (n,) of each clip to the nearest one learnt from, by modality;
    ``both`` is the mean of the two cosines. ``pairs``: the most similar pairs of all, best first."""

    separability: Separability
    similarity: Mapping[str, Mapping[str, Matrix]]
    pairs: tuple[Pair, ...]

    def near(self, part: str, modality: str, threshold: float = NEAR) -> float:
        """Share of a part's clips that have a near-duplicate among those learnt from."""
        return float((self.similarity[part][modality] >= threshold).mean())


def describe(features: FeatureSet, most: int = 5) -> Description:
    """Compare all clips of a track. ``most``: how many pairs are kept of each part."""
    parts = {part: features.rows[part] for part in PARTS}
    learnt = slice(0, parts["val_unseen"].stop)
    units = {name: _directions(values, learnt) for name, values in _averaged(features).items()}
    train, owners = parts["train"], features.class_id.numpy()
    accuracy = {name: leave_one_out(unit[train], owners[train]) for name, unit in units.items()}
    similarity: dict[str, dict[str, Matrix]] = {}
    pairs: list[Pair] = []
    for part, others in LEARNT.items():
        gallery = slice(parts[others[0]].start, parts[others[-1]].stop)
        similarity[part], found = _nearest(units, part, parts[part], gallery)
        pairs += sorted(found, key=lambda pair: (-pair.similarity, pair.row))[:most]
    return Description(
        Separability(accuracy["audio"], accuracy["visual"], 100 / len(np.unique(owners[train]))),
        similarity,
        tuple(sorted(pairs, key=lambda pair: (-pair.similarity, pair.row))),
    )


def leave_one_out(units: Matrix, owners: NDArray[np.int64]) -> float | None:
    """Mean class accuracy in percent of the nearest class mean, each clip left out of the mean of its own class.

    Leaving x out of a mean m of n clips multiplies the distance of x to it by n / (n - 1). Classes of one clip have no
    other clip to be near to and are not counted; None where no class has two.
    """
    classes, index, counts = np.unique(owners, return_inverse=True, return_counts=True)
    means = np.zeros((len(classes), units.shape[1]))
    np.add.at(means, index, units)
    means /= counts[:, None]
    own_factor = np.square(counts / np.maximum(counts - 1, 1))
    right = np.zeros(len(classes))
    for rows in _blocks(len(units)):
        some, own = units[rows].astype(np.float64), index[rows]
        distance = np.square(some).sum(1)[:, None] - 2 * some @ means.T + np.square(means).sum(1)
        here = np.arange(len(some))
        distance[here, own] *= own_factor[own]
        np.add.at(right, own, distance.argmin(axis=1) == own)
    several = counts > 1
    return float(100 * (right[several] / counts[several]).mean()) if several.any() else None


def _averaged(features: FeatureSet) -> dict[str, Matrix]:
    """Audio (N, Da) and visual (N, Dv), as they are or as means over time."""
    if features.offsets is None:
        return {"audio": features.audio.float().numpy(), "visual": features.visual.float().numpy()}
    found = {}
    for name in ("audio", "visual"):
        places = getattr(features.offsets, name).tolist()
        steps = getattr(features, name)
        found[name] = np.stack([steps[a:b].float().mean(dim=0).numpy() for a, b in pairwise(places)])
    return found


def _directions(values: Matrix, learnt: slice) -> Matrix:
    """Standardised by the rows learnt from, then of unit norm; zero where a clip is exactly the mean."""
    known = values[learnt]
    mean = known.mean(axis=0, dtype=np.float64)
    deviation = known.std(axis=0, dtype=np.float64)
    scaled = ((values - mean) / np.where(deviation > 0, deviation, 1)).astype(np.float32)
    norms = np.linalg.norm(scaled, axis=1, keepdims=True)
    found: Matrix = np.divide(scaled, norms, out=np.zeros_like(scaled), where=norms > 0)
    return found


def _nearest(
    units: Mapping[str, Matrix], part: str, rows: slice, gallery: slice
) -> tuple[dict[str, Matrix], Sequence[Pair]]:
    """Per modality the cosine to the nearest clip of the gallery, and each clip's nearest by the mean of both."""
    found: dict[str, list[Matrix]] = {"audio": [], "visual": [], "both": []}
    pairs = []
    for block in _blocks(rows.stop - rows.start):
        start, stop = rows.start + block.start, rows.start + block.stop
        cosines = {name: unit[start:stop] @ unit[gallery].T for name, unit in units.items()}
        cosines["both"] = (cosines["audio"] + cosines["visual"]) / 2
        for name, cosine in cosines.items():
            found[name].append(cosine.max(axis=1))
        best = cosines["both"].argmax(axis=1)
        pairs += [
            Pair(part, start + n, gallery.start + int(b), float(cosines["both"][n, b])) for n, b in enumerate(best)
        ]
    return {name: np.concatenate(values) for name, values in found.items()}, pairs


def _blocks(count: int) -> Iterator[slice]:
    return (slice(first, min(first + ROWS_AT_ONCE, count)) for first in range(0, count, ROWS_AT_ONCE))
