"""The label vectors of an extracted track. The one place where named text vectors will plug in."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from avbench.harness.extraction.choice import Chosen
from avbench.harness.extraction.templates import label_vectors
from avbench.harness.features.demo_text import label_vectors as shipped_vectors
from avbench.harness.features.label_vectors import read_label_vectors
from avbench.harness.features.provenance import LabelFacts
from avbench.splits import Split

SHIPPED = "all-MiniLM-L6-v2, shipped with avbench"


def label_vectors_of(
    chosen: Sequence[Chosen], split: Split, given: Path | None, names: Path | None
) -> tuple[NDArray[np.float32], LabelFacts]:
    """Vectors (source classes, Dt) of unit norm: those of the user's file; else of the first encoder with a text tower;
    else the sentence encoder's that avbench ships for the names of all classes."""
    if given is not None:
        return read_label_vectors(given, names, split)[0], LabelFacts(source="vectors of the user")
    for one in chosen:
        if templates := one.encoder.templates(split.dataset):
            return label_vectors(one.encoder, split), LabelFacts(source=one.encoder.name, templates=templates)
    return shipped_vectors(split), LabelFacts(source=SHIPPED)
