"""What a fitted model makes of clips and classes on the way to its scores. Knows no torch."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor

COMMON = "common"
"""Name of the classes' embeddings in the space where clips meet them."""
OPTIMISED = "optimised"
"""Name of label vectors that a method has changed before training."""


@dataclass(frozen=True)
class Embeddings:
    """Named embeddings, for figures and measures alone: no number of a record depends on them.

    ``clips``: (N, F) each. ``audio``, ``visual`` and ``fused`` lie in the space where clips meet classes,
    ``encoded-audio`` and ``encoded-visual`` come from the encoders. ``radius`` (N, K), of a method that maps clips into
    balls, says how long an encoding may be before it is cut; ``aligned-audio`` and ``aligned-visual`` are what it maps.
    ``classes``: (C, F) each: ``common`` in the space of the clips, ``optimised`` for changed label vectors.
    Other names are the method's own.
    """

    clips: Mapping[str, Tensor] = field(default_factory=dict)
    classes: Mapping[str, Tensor] = field(default_factory=dict)
