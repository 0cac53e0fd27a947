"""How far a method is kept from the answers, and what its process may use. Knows no torch."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from avbench.harness.records.record import IsolationKind

SILENCE_SECONDS = 3600.0


@dataclass(frozen=True)
class Isolation:
    """``none``: the method is in the harness's process. ``process``: in one of its own. ``sandbox``: shut in there.

    The limits are those of that process.
    """

    kind: IsolationKind = "none"
    memory: int | None = None
    """Bytes of its address space on the CPU, of its own data on CUDA; by default as many as the machine has memory."""
    silence: float = SILENCE_SECONDS
    """Seconds after which a worker that says nothing counts as lost: an epoch, or the scores of a chunk, take less."""
    seconds: float | None = None
    """Seconds that a whole run may take; no limit by default."""
    hidden: tuple[Path, ...] = ()
    """Folders with answers that a sandbox leaves out wherever they lie, beside those of the run itself."""

    def __bool__(self) -> bool:
        """Whether the method is in another process at all."""
        return self.kind != "none"


NONE = Isolation()
