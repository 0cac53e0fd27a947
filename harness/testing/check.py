"""What a check is, and what comes out of one. Knows no torch."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from avbench.harness.errors import MethodError


class CheckFailedError(MethodError):
    """A method does not hold what a check asks for. The message says what was found."""


class NotApplicableError(Exception):
    """A check that says nothing about this method, or cannot be run here. The message says why."""


class Outcome(StrEnum):
    """What came out of a check."""

    PASSED = "passed"
    FAILED = "failed"
    EXPECTED_FAILURE = "expected failure"
    UNEXPECTEDLY_PASSED = "unexpectedly passed"
    SKIPPED = "skipped"


@dataclass(frozen=True)
class Check:
    """One thing that every method must hold."""

    name: str
    reason: str
    """Why it matters to those who read the board. One sentence."""
    remedy: str
    """What the author of a method that fails does. One or two sentences."""
    function: str
    """``module:function`` inside this package; takes a :class:`Subject`, raises :class:`CheckFailedError`."""
    needs: tuple[str, ...] = ("scores-sound",)
    """Checks that must pass before this one can say anything."""

    def __str__(self) -> str:
        return self.name

    @property
    def guide(self) -> str:
        """Where the guide tells more."""
        return f"checks.md#{self.name}"


@dataclass(frozen=True)
class Result:
    """What came out of one check of one method."""

    check: Check
    outcome: Outcome
    detail: str = ""
    """What was found, or why the check was skipped, or why its failure is expected."""
    seconds: float = 0.0

    @property
    def is_failure(self) -> bool:
        return self.outcome in (Outcome.FAILED, Outcome.UNEXPECTEDLY_PASSED)

    def __str__(self) -> str:
        lines = [f"{self.check.name}: {self.outcome}"]
        if self.detail:
            lines.append(f"  found: {self.detail}" if self.is_failure else f"  {self.detail}")
        if self.outcome is Outcome.FAILED:
            lines += [f"  why:   {self.check.reason}", f"  do:    {self.check.remedy}", f"  guide: {self.check.guide}"]
        return "\n".join(lines)
