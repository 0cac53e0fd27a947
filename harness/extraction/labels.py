"""The label vectors of an extracted track, and the named text vectors that they are made of."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from avbench.harness.extraction.choice import Chosen
from avbench.harness.extraction.templates import label_vectors
from avbench.harness.features.arrays import TextFile, joined, read_texts
from avbench.harness.features.demo_text import label_vectors as shipped_vectors
from avbench.harness.features.draft import NamedText
from avbench.harness.features.provenance import LabelFacts
from avbench.splits import Split

SHIPPED = "all-MiniLM-L6-v2, shipped with avbench"


@dataclass(frozen=True)
class Labels:
    """``vectors`` (source classes, Dt) of unit norm; ``texts``: what they are made of, where there are several kinds;
    ``facts``: where each kind comes from."""

    vectors: NDArray[np.float32]
    facts: tuple[LabelFacts, ...]
    texts: dict[str, NamedText] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    """Worth telling of vectors that were given."""


def labels_of(
    chosen: Sequence[Chosen], split: Split, given: Path | Sequence[TextFile] | None, names: Path | None
) -> Labels:
    """The user's vectors, if given; else those of every text tower of the encoders, under the encoder's name; without
    a tower the sentence encoder's that avbench ships for the names of all classes."""
    if given is not None:
        vectors, texts, notes = read_texts(given, names, split)
        facts = tuple(LabelFacts(name=name, source="vectors of the user") for name in texts or ("",))
        return Labels(vectors, facts, texts, notes)
    towers = {one.facts.name: one for one in chosen if one.encoder.templates(split.dataset)}
    if not towers:
        return Labels(shipped_vectors(split), (LabelFacts(source=SHIPPED),))
    texts = {name: NamedText(label_vectors(one.encoder, split), unit=True) for name, one in towers.items()}
    facts = tuple(
        LabelFacts(name=name, source=name, templates=one.encoder.templates(split.dataset))
        for name, one in towers.items()
    )
    if len(texts) == 1:
        return Labels(next(iter(texts.values())).vectors, facts)
    return Labels(joined(texts), facts, texts)
