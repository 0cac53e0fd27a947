"""What a stored feature set says about itself: dimensions, counts, content hash, source, warnings. Knows no torch."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, NonNegativeInt, model_validator

from avbench.harness.contract.encoder import Seen
from avbench.harness.features.provenance import Extraction

STORE_VERSION: Literal[2] = 2
"""Version 2 brought features over time, several text vectors and extraction from videos; sets without them are still
written as version 1."""
SINCE_2 = ("time", "texts", "extraction", "assumed")


TEXT = "text."
"""Beginning of the names of the tensors of named text vectors."""


class Steps(BaseModel):
    """The steps of one modality of a set over time."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    seconds: float = Field(gt=0, le=3600)
    """Length of one step."""
    total: int = Field(gt=0)
    shortest: int = Field(gt=0)
    longest: int = Field(gt=0)
    """Steps of all clips, of the shortest clip and of the longest one."""


class Timeline(BaseModel):
    """What a set over time says beyond an averaged one."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    audio: Steps
    visual: Steps
    dtype: Literal["float32", "float16"]
    """How the steps are stored."""


class TextFacts(BaseModel):
    """One of several named text vectors per class."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    dim: int = Field(gt=0)
    unit: bool
    """Scaled to unit norm; otherwise as they were given."""


class Manifest(BaseModel):
    """Manifest of one stored feature set (JSON beside the safetensors file)."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    version: Literal[1, 2] = 1
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
    assumed: tuple[str, ...] = ()
    """What of the steps of features over time is not known for certain, in words. It decides no result."""
    extraction: Extraction | None = None
    """How the features were made, where avbench made them from videos."""
    time: Timeline | None = None
    """Of features over time; None where they are averaged."""
    texts: dict[str, TextFacts] = {}
    """The named text vectors of which the label vectors are made; empty where there is one kind of them."""

    @property
    def seen(self) -> Seen:
        """What the encoders had met before, by declaration."""
        return self.extraction.seen(self.dataset) if self.extraction else "not declared"

    @property
    def inputs(self) -> Literal["averaged", "temporal"]:
        """What a method must be able to read."""
        return "averaged" if self.time is None else "temporal"

    @model_validator(mode="before")
    @classmethod
    def _version_2_where_needed(cls, content: Any) -> Any:
        if isinstance(content, dict) and any(content.get(name) for name in SINCE_2):
            return {**content, "version": 2}
        return content

    def to_json(self) -> bytes:
        """As it is stored. What version 1 did not have is left out where it is empty."""
        empty = {name for name in SINCE_2 if not getattr(self, name)}
        return self.model_dump_json(indent=1, exclude=empty).encode() + b"\n"
