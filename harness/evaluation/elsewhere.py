"""A method that works in another process, as the two stages see it."""

from __future__ import annotations

from avbench.harness.contract.method import Method


class Elsewhere(Method):
    """Stands for a method in another process. What it is given to learn from are views: it copies them on their way."""
