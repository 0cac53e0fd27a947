"""What a stored feature set says about itself: dimensions, counts, content hash, source, warnings. Knows no torch."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, NonNegativeInt

from avbench.harness.contract.encoder import Seen
from avbench.harness.features.provenance import Extraction

STORE_VERSION: Literal[1] = 1


class Manifest(BaseModel):
    """Manifest of one stored feature set (JSON beside the safetensors file)."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    version: Literal[1] = STORE_VERSION
    dataset: str
    features: str
    partition: Literal["main", "cls"]
    """Class partition of the split that the clips follow."""
    audio_dim: int = Field(gt=0)
    visual_dim: int = Field(gt=0)
    text_dim: int = Field(gt=0)
    counts: dict[str, NonNegativeInt]
    """Clips per part."""
    content_hash: str = Field(pattern=r"^[0-9a-f]{64}$")
    """SHA-256 over the tensors: names, shapes, dtypes and bytes."""
    source: str
    """Where the features came from, in words, without paths of the machine."""
    simulated: bool = False
    warnings: tuple[str, ...] = ()
    """What was forgiven at import (``--allow-missing``); repeated in every record."""
    extraction: Extraction | None = None
    """How the features were made, where avbench made them from videos."""

    @property
    def seen(self) -> Seen:
        """What the encoders had met before, by declaration."""
        return self.extraction.seen(self.dataset) if self.extraction else "not declared"
