"""Adam gives the bits of torch's fused optimiser, and does not load torch's compiler."""

from __future__ import annotations

import subprocess
import sys

import pytest
import torch
from torch import nn

from avbench.methods.learning.adam import Adam


@pytest.mark.parametrize("betas", [(0.9, 0.999), (0.5, 0.999)])
@pytest.mark.parametrize("weight_decay", [0.0, 1e-2])
def test_the_bits_are_those_of_torch(betas: tuple[float, float], weight_decay: float) -> None:
    torch.manual_seed(0)
    start = [torch.randn(9, 7), torch.randn(7), torch.randn(3)]
    ours, theirs = ([nn.Parameter(p.clone()) for p in start] for _ in range(2))
    rate = torch.tensor(1e-2)
    mine = Adam(ours, rate, weight_decay, betas)
    plain = torch.optim.Adam(theirs, lr=rate, betas=betas, weight_decay=weight_decay, fused=True)
    for step in range(6):
        for one, other in zip(ours[: 2 + step % 2], theirs, strict=False):  # the third has a gradient every other time
            one.grad = torch.randn_like(one)
            other.grad = one.grad.clone()
        if step == 3:
            rate.fill_(1e-3)
        mine.step()
        plain.step()
        mine.zero_grad()
        plain.zero_grad()
        assert all(p.grad is None for p in ours)
        assert all(torch.equal(one, other) for one, other in zip(ours, theirs, strict=True))
    mine.step()  # without any gradient nothing happens
    assert all(torch.equal(one, other) for one, other in zip(ours, theirs, strict=True))


def test_unfused_bits_are_those_of_torch_as_it_comes() -> None:
    torch.manual_seed(0)
    ours, theirs = (nn.Parameter(start) for start in torch.randn(9, 7, dtype=torch.double).expand(2, 9, 7).clone())
    mine, plain = Adam([ours], 1e-2, fused=False), torch.optim.Adam([theirs], lr=1e-2)
    for _ in range(6):
        ours.grad = torch.randn_like(ours)
        theirs.grad = ours.grad.clone()
        mine.step()
        plain.step()
        assert torch.equal(ours, theirs)


def test_training_does_not_load_the_compiler() -> None:
    code = """
import sys, torch
from avbench.harness.testing.simulated import SimulatedProgress, fitted, simulated_training
from avbench.methods.avca import AVCA
from avbench.methods.ez_avgzl import EZAVGZL
for kind in AVCA, EZAVGZL:
    options = kind.Options(epochs=1, batches_per_epoch=2, batch_size=8)
    fitted(kind(options), simulated_training(), SimulatedProgress())
assert "torch._dynamo" not in sys.modules
"""
    subprocess.run([sys.executable, "-c", code], check=True)
