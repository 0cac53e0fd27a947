"""Plain PyTorch layers, called once per group: what the fused layers of the methods are compared with."""

from __future__ import annotations

from copy import deepcopy

import torch
from torch import Tensor, nn
from torch.nn import functional

from avbench.methods.learning.blocks import Block


class PlainBlock(nn.Module):
    """Linear, batch norm, ReLU; one call per group."""

    def __init__(self, inputs: int, outputs: int, momentum: float = 0.1) -> None:
        super().__init__()
        self.linear = nn.Linear(inputs, outputs)
        self.norm = nn.BatchNorm1d(outputs, momentum=momentum)

    def forward(self, x: Tensor) -> Tensor:
        return functional.relu(self.norm(self.linear(x)))


def plain(module: nn.Module) -> nn.Module:
    """A copy of a network of blocks and plain layers, in double precision and without dropout."""
    if isinstance(module, Block):
        copy = PlainBlock(module.linear.in_features, module.linear.out_features, module.momentum)
        copy.linear.load_state_dict(module.linear.state_dict())
        for key in ("weight", "bias", "running_mean", "running_var"):
            getattr(copy.norm, key).data.copy_(getattr(module, key))
        return copy.double()
    if isinstance(module, nn.ModuleDict):
        return nn.ModuleDict({name: plain(part) for name, part in module.items()})
    if isinstance(module, nn.Sequential):
        return nn.Sequential(*(plain(part) for part in module))
    return deepcopy(module).double()


def assert_same_after_a_step(net: nn.ModuleDict, loss: Tensor, expected: nn.ModuleDict, expected_loss: Tensor) -> None:
    """The losses agree, and after a step of gradient descent on each every weight and running statistic does."""
    torch.testing.assert_close(loss, expected_loss, rtol=1e-9, atol=1e-9)
    for network, value in ((net, loss), (expected, expected_loss)):
        value.backward()
        torch.optim.SGD(network.parameters(), lr=1.0).step()
    for (name, got), wanted in zip(plain(net).state_dict().items(), expected.state_dict().values(), strict=True):
        if not name.endswith("num_batches_tracked"):
            torch.testing.assert_close(got, wanted, rtol=1e-6, atol=1e-9, msg=lambda text, name=name: f"{name}: {text}")
