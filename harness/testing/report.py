"""All results of one method."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import Any

from avbench.harness.errors import MethodError
from avbench.harness.testing.check import Result


@dataclass(frozen=True)
class Report:
    """What the checks found about a method."""

    method: str
    """Its slug."""
    results: tuple[Result, ...]

    @property
    def passed(self) -> bool:
        """Whether nothing failed and nothing that was expected to fail passed."""
        return not self.failures

    @property
    def failures(self) -> tuple[Result, ...]:
        return tuple(result for result in self.results if result.is_failure)

    @property
    def summary(self) -> str:
        """One line: ``avca: 20 passed, 1 skipped``."""
        counts = Counter(str(result.outcome) for result in self.results)
        return f"{self.method}: " + ", ".join(f"{count} {outcome}" for outcome, count in counts.items())

    def text(self) -> str:
        """The summary, and everything about what failed."""
        return "\n".join([self.summary, *map(str, self.failures)])

    def raise_if_failed(self) -> None:
        """Raise :class:`MethodError` with :meth:`text` unless :attr:`passed`."""
        if not self.passed:
            raise MethodError(self.text())

    def as_json(self) -> dict[str, Any]:
        """Plain values for ``--json``."""
        return {
            "method": self.method,
            "passed": self.passed,
            "checks": [
                {
                    "name": r.check.name,
                    "outcome": str(r.outcome),
                    "detail": r.detail,
                    "reason": r.check.reason,
                    "remedy": r.check.remedy,
                    "guide": r.check.guide,
                    "seconds": round(r.seconds, 3),
                }
                for r in self.results
            ],
        }
