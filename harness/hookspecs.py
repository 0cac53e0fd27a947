"""The plugin door: what a package may hook into. One sentence each; a test fails when one is missing."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pluggy

if TYPE_CHECKING:
    from avbench.harness.method import Method

hookspec = pluggy.HookspecMarker("avbench")
hookimpl = pluggy.HookimplMarker("avbench")


@hookspec
def avbench_methods() -> list[type[Method]]:  # type: ignore[empty-body]
    """Return the method classes that this package adds to the registry."""
