"""ESZSL for avbench. This module is what the entry point in pyproject.toml names."""

from __future__ import annotations

from avbench.harness.plugins.hookspecs import hookimpl
from avbench.harness.contract.method import Method

from avbench_eszsl.method import ESZSL


@hookimpl
def avbench_methods() -> list[type[Method]]:
    """The methods of this package."""
    return [ESZSL]
