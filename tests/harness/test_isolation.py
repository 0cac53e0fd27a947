"""Judge and worker: the bits of a plain run, for every method; and no more in the worker than it may have."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from simulated_features import simulated_features
from simulated_worker import forked, isolated

from avbench.harness.evaluation.protocol import ALIGNED, AS_PUBLISHED, Protocol
from avbench.harness.evaluation.two_stages import Result, run_two_stages
from avbench.harness.features.demo_temporal import demo_temporal
from avbench.harness.plugins.registry import Registered, plugins
from avbench.harness.tracks import Track

__all__ = ["forked"]

TINY = {"epochs": 2, "batches_per_epoch": 2, "batch_size": 8}
BUILT_IN = sorted(slug for slug, r in plugins().methods.items() if r.built_in)


def same_bits(one: Result, other: Result) -> None:
    assert one.metrics == other.metrics
    assert (one.offset, one.branch_offsets, one.epochs) == (other.offset, other.branch_offsets, other.epochs)
    assert (one.validation, one.parameters) == (other.validation, other.parameters)
    assert one.evidence.keys() == other.evidence.keys()
    for name, table in one.evidence.items():
        for array, found in table.to_arrays().items():
            assert np.array_equal(found, other.evidence[name].to_arrays()[array]), (name, array)


def tiny(registered: Registered, protocol: Protocol) -> dict[str, Any]:
    kind = registered.method.Options
    given = {name: value for name, value in TINY.items() if name in kind.model_fields}
    return kind.effective(Track("ucf", "demo"), protocol.name, given).model_dump(mode="json")


@pytest.mark.usefixtures("forked")
@pytest.mark.parametrize("slug", BUILT_IN)
def test_every_method_gives_the_bits_of_a_plain_run(slug: str) -> None:
    registered = plugins().method(slug)
    features = demo_temporal("ucf") if registered.info.inputs == "temporal" else simulated_features()
    protocol = AS_PUBLISHED if "predict_branches" in vars(registered.method) else ALIGNED
    options = tiny(registered, protocol)
    chosen = registered.method.Options(**options)

    def run(make: Any) -> Result:
        return run_two_stages(make, features, protocol, epochs=TINY["epochs"], seed=3)

    plain = run(lambda: registered.method(chosen))
    with isolated(registered, **options) as make:
        same_bits(run(make), plain)
