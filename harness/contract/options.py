"""Options of a method: a frozen pydantic model with presets per track and protocol. Knows no torch."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from avbench.harness.errors import UsageError, unknown
from avbench.harness.tracks import DEMO, Track


@dataclass(frozen=True)
class Preset:
    """Option values that hold for some tracks and protocols; ``None`` stands for every one.

    Those for a feature set hold for its form over time, and for the averaged view of that, too.
    """

    values: Mapping[str, Any] = field(default_factory=dict)
    dataset: str | None = None
    features: str | None = None
    protocol: str | None = None

    def applies(self, track: Track, protocol: str) -> bool:
        return (
            self.dataset in (None, track.dataset)
            and self.features in (None, track.features, track.kin)
            and self.protocol in (None, protocol)
        )


class Options(BaseModel):
    """Base of every method's options. Fields carry a description, a type and bounds; unknown names are refused.

    A field that leaves the fitted state as it is says why: ``json_schema_extra={"no_effect": reason}``. Where it
    leaves the default scores as they are too, ``"effect_with": {option: value}`` names options with which it does not.
    ``"space": "log:1e-7..1e-2"`` says where ``avbench tune`` searches it, where its bounds do not tell.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", validate_default=True, allow_inf_nan=False)

    presets: ClassVar[tuple[Preset, ...]] = ()

    @classmethod
    def preset_values(cls, track: Track, protocol: str) -> dict[str, Any]:
        """Values preset for a track and protocol: later presets win, and a subclass wins over its base."""
        values: dict[str, Any] = {}
        for base in reversed(cls.__mro__):
            for preset in base.__dict__.get("presets", ()):
                if preset.applies(track, protocol):
                    values.update(preset.values)
        return values

    @classmethod
    def effective(cls, track: Track, protocol: str, given: Mapping[str, Any] | None = None) -> Options:
        """The options of one run: defaults, then presets, then what the user gave (text is parsed).

        Raises :class:`UsageError` for an unknown option, a wrong type or a value out of bounds.
        """
        given = given or {}
        for name in given:
            if name not in cls.model_fields:
                raise unknown("option", name, cls.model_fields)
        try:
            return cls.model_validate({**cls.preset_values(track, protocol), **given})
        except ValidationError as error:
            lines = [
                f"option {'.'.join(map(str, e['loc'])) or '?'}: {e['msg']} (got {e['input']!r})" for e in error.errors()
            ]
            raise UsageError("; ".join(lines)) from None


class EpochOptions(Options):
    """Options shared by all methods that train in epochs (guide: How a number is made)."""

    epochs: int = Field(50, ge=1, le=100_000, description="Epochs of stage 1; stage 2 trains as many as stage 1 chose.")
    batches_per_epoch: int = Field(500, ge=1, le=1_000_000, description="Class-balanced batches that make one epoch.")
    batch_size: int = Field(256, ge=2, le=65_536, description="Clips, or pairs of clips, per batch.")
    learning_rate: float = Field(1e-3, gt=0, le=10, description="Initial learning rate of Adam.")
    weight_decay: float = Field(
        0.0,
        ge=0,
        le=1,
        description="Coupled L2 penalty of Adam on all parameters.",
        json_schema_extra={"space": "log:1e-7..1e-2"},
    )

    # The demo is small and must end soon on a laptop.
    presets: ClassVar[tuple[Preset, ...]] = (
        Preset({"epochs": 10, "batches_per_epoch": 40, "batch_size": 64}, features=DEMO),
    )
