"""A softmax classifier over candidate classes, and the training features it is fitted on. Imports torch."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from avbench.harness.errors import MethodError
from avbench.methods.learning.class_keys import class_keys


class KeptFeatures(nn.Module):
    """Features of the training clips, found again by class name. Buffers of any length, saved with a network."""

    features: Tensor
    """(N, F)."""
    labels: Tensor
    """(N,) int64, rows of ``keys``."""
    keys: Tensor
    """(C,) int64."""

    def __init__(self, features: Tensor, labels: Tensor, names: Sequence[str]) -> None:
        super().__init__()
        self.register_buffer("features", features)
        self.register_buffer("labels", labels)
        self.register_buffer("keys", class_keys(names).to(labels.device))

    def forward(self, names: Sequence[str]) -> tuple[Tensor, Tensor]:
        """Features (M, F) of the named classes, and for each its row (M,) among the names.

        Raises :class:`MethodError` for a class that was not trained.
        """
        same = self.keys[:, None] == class_keys(names).to(self.keys.device)
        if missing := [name for name, known in zip(names, same.any(0).tolist(), strict=True) if not known]:
            raise MethodError(f"class {missing[0]!r} is marked as trained, but the training set had no such class")
        row_of_key = torch.full_like(self.keys, -1)
        found, rows = same.nonzero().unbind(1)
        row_of_key[found] = rows
        row = row_of_key[self.labels]
        return self.features[row >= 0], row[row >= 0]

    def _load_from_state_dict(self, state_dict: dict[str, Any], prefix: str, *args: Any) -> None:
        for name in ("features", "labels", "keys"):
            if prefix + name in state_dict:
                setattr(self, name, torch.empty_like(state_dict[prefix + name]))
        super()._load_from_state_dict(state_dict, prefix, *args)


@dataclass(frozen=True)
class Softmax:
    """A fitted softmax classifier of C classes."""

    weight: Tensor
    """(C, F)."""
    bias: Tensor
    """(C,)."""

    def log_probabilities(self, x: Tensor) -> Tensor:
        """(N, C) for features (N, F)."""
        return functional.linear(x, self.weight, self.bias).log_softmax(1)


def fit_softmax(
    x: Tensor, labels: Tensor, classes: int, *, epochs: int, batch_size: int, rate: float, generator: torch.Generator
) -> Softmax:
    """Minimise the negative log-likelihood of labels (N,) given features x (N, F), in batches in the order of the rows.

    Adam with betas 0.5 and 0.999; weights start at N(0, 0.02^2), drawn from ``generator``, biases at 0.
    """
    weight = x.new_empty(classes, x.shape[1]).normal_(0, 0.02, generator=generator).requires_grad_()
    bias = x.new_zeros(classes).requires_grad_()
    optimiser = torch.optim.Adam([weight, bias], lr=rate, betas=(0.5, 0.999), fused=True)
    with torch.enable_grad():
        for _ in range(epochs):
            for part, right in zip(torch.split(x, batch_size), torch.split(labels, batch_size), strict=True):
                loss = functional.cross_entropy(functional.linear(part, weight, bias), right)
                loss.backward()  # type: ignore[no-untyped-call]
                optimiser.step()
                optimiser.zero_grad()
    return Softmax(weight.detach(), bias.detach())
