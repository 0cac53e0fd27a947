"""ESZSL for avbench. This module is what the entry point in pyproject.toml names."""

from __future__ import annotations

from avbench import Method, hookimpl

from avbench_eszsl.method import ESZSL


@hookimpl
def avbench_methods() -> list[type[Method]]:
    """The methods of this package."""
    return [ESZSL]
