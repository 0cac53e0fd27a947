"""How two averaged feature sets of the same clips compare: a report, no condition. Knows no torch."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from avbench.harness.tracks import Track

if TYPE_CHECKING:
    from avbench.harness.features.store import Store

CLOSE = 1e-2
"""Relative difference up to which a clip counts as the same."""


def mean_report(store: Store, view: Track, averaged: Track) -> str:
    """One sentence: how many clips of the averaged view are those of the other set, in each modality."""
    found, other = store.load(view), store.load(averaged)
    if found.class_id.tolist() != other.class_id.tolist():
        return f"{view} and {averaged} do not have the same clips, so their features were not compared"
    texts = []
    for name in ("audio", "visual"):
        one, two = getattr(found, name).numpy(), getattr(other, name).numpy()
        blocks = np.array_split(np.arange(len(one)), max(1, len(one) // 4096))
        gaps = np.concatenate([np.linalg.norm(one[rows] - two[rows], axis=1) for rows in blocks])
        gaps /= np.maximum(np.concatenate([np.linalg.norm(two[rows], axis=1) for rows in blocks]), 1e-12)
        share = 100 * float((gaps <= CLOSE).mean())
        texts.append(f"{name}: {share:.1f} % of {len(gaps):,} clips agree within 1 %, median {np.median(gaps):.2g}")
    return f"{view} beside {averaged}: {'; '.join(texts)}"
