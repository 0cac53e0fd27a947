"""The plugin door: what a package may hook into. One sentence each; a test fails when one is missing."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pluggy

if TYPE_CHECKING:
    from avbench.harness.method import Method
    from avbench.harness.variants import Variant

hookspec = pluggy.HookspecMarker("avbench")
hookimpl = pluggy.HookimplMarker("avbench")


@hookspec
def avbench_methods() -> list[type[Method]]:  # type: ignore[empty-body]
    """Return the method classes that this package adds to the registry."""


@hookspec
def avbench_variants() -> list[Variant]:  # type: ignore[empty-body]
    """Return named variants of methods, of this package's or of others, that ``avbench run --variant`` accepts."""
