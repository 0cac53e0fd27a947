"""The learning-rate rule against PyTorch's scheduler."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from avbench.methods.learning.schedule import Plateau

HMS = st.lists(st.sampled_from([0.0, 10.0, 10.0005, 10.002, 20.0, 30.0]) | st.floats(0, 100), max_size=60)


@settings(max_examples=100, deadline=None)
@given(HMS)
def test_it_is_pytorchs_rule(hms: list[float]) -> None:
    plateau = Plateau(1e-3)
    optimiser = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=1e-3)
    reference = torch.optim.lr_scheduler.ReduceLROnPlateau(
        optimiser, mode="max", factor=0.1, patience=3, threshold=1e-4, threshold_mode="rel", eps=1e-8
    )
    for hm in hms:
        reference.step(hm)
        assert plateau.update(hm) == pytest.approx(optimiser.param_groups[0]["lr"], rel=1e-12)


def test_a_tiny_reduction_is_skipped() -> None:
    plateau = Plateau(1.05e-8)
    assert [plateau.update(0.0) for _ in range(12)] == [1.05e-8] * 12
