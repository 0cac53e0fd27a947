"""The variants of the built-in methods: rows of ``variants.csv``."""

from __future__ import annotations

from importlib.resources import files

from avbench.harness.contract.variants import Variant, read_variants
from avbench.harness.plugins.hookspecs import hookimpl


@hookimpl
def avbench_variants() -> list[Variant]:
    return read_variants(files("avbench.methods").joinpath("variants.csv").read_text("utf-8").splitlines())
