"""A run that is to be done."""

from __future__ import annotations

from dataclasses import dataclass, replace

from avbench.harness.contract.encoder import Seen
from avbench.harness.records.record import Compile, Configuration, Tuned


@dataclass(frozen=True)
class PlannedRun:
    """One run to be done."""

    configuration: Configuration
    variant: str | None = None
    simulated: bool = False
    """Of the features, as their manifest said when the run was planned; so are the warnings."""
    warnings: tuple[str, ...] = ()
    features_source: str = ""
    """Where the features come from, in words."""
    inputs: str = "averaged"
    """What kind of features they are: ``averaged`` or ``temporal``."""
    encoders_met: Seen = "not declared"
    keeps_state: bool = False
    """Whether the fitted state of stage 2 is stored beside the record."""
    compile: Compile = "auto"
    """Whether its training steps are to be compiled; ``auto``: on CUDA where it pays."""
    tuned: Tuned | None = None
    """Where the options come from, when they come from ``avbench tune``."""

    def from_study(self, tuned: Tuned | None) -> PlannedRun:
        """The same, of options that come from a study: not for another method, and not with other values."""
        c = self.configuration
        comes = tuned and tuned.method == c.method and tuned.options.items() <= c.options.items()
        return replace(self, tuned=tuned if comes else None)

    def __str__(self) -> str:
        c = self.configuration
        variant = f" {self.variant}" if self.variant else ""
        return f"{c.method}{variant} {c.track} {c.protocol.name} seed {c.seed}"
