"""The softmax classifier against its definition, Adam written out."""

from __future__ import annotations

import torch
from torch import Tensor

from avbench.methods.learning.softmax import KeptFeatures, fit_softmax


def gradients(weight: Tensor, bias: Tensor, x: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
    """Of the mean negative log-likelihood: sum over clips of (p - onehot) x."""
    weight_gradient, bias_gradient = torch.zeros_like(weight), torch.zeros_like(bias)
    for row, right in zip(x, labels, strict=True):
        p = (weight @ row + bias).exp()
        p = p / p.sum()
        p[right] -= 1
        weight_gradient += torch.outer(p, row) / len(x)
        bias_gradient += p / len(x)
    return weight_gradient, bias_gradient


def test_fit_is_adam_on_the_likelihood_in_the_order_of_the_rows() -> None:
    x = torch.randn(7, 4, generator=torch.Generator().manual_seed(0)).double()
    labels = torch.tensor([0, 2, 1, 1, 0, 2, 2])
    found = fit_softmax(x, labels, 3, epochs=3, batch_size=4, rate=0.01, generator=torch.Generator().manual_seed(5))
    start = torch.empty(3, 4, dtype=torch.float64).normal_(0, 0.02, generator=torch.Generator().manual_seed(5))
    parameters = [start, torch.zeros(3, dtype=torch.float64)]
    first = [torch.zeros_like(p) for p in parameters]
    second = [torch.zeros_like(p) for p in parameters]
    step = 0
    for _ in range(3):
        for rows in (slice(0, 4), slice(4, 7)):
            step += 1
            for i, g in enumerate(gradients(*parameters, x[rows], labels[rows])):
                first[i] = 0.5 * first[i] + 0.5 * g
                second[i] = 0.999 * second[i] + 0.001 * g**2
                mean, spread = first[i] / (1 - 0.5**step), second[i] / (1 - 0.999**step)
                parameters[i] = parameters[i] - 0.01 * mean / (spread.sqrt() + 1e-8)
    torch.testing.assert_close((found.weight, found.bias), tuple(parameters))
    assert not found.weight.requires_grad
    expected = (x @ parameters[0].T + parameters[1]).exp()
    torch.testing.assert_close(found.log_probabilities(x).exp(), expected / expected.sum(1, keepdim=True))


def test_features_are_found_by_class_name() -> None:
    kept = KeptFeatures(torch.arange(5.0)[:, None], torch.tensor([0, 1, 2, 1, 0]), ["a", "b", "c"])
    features, rows = kept(["c", "a"])
    assert features.flatten().tolist() == [0, 2, 4]
    assert rows.tolist() == [1, 0, 1]
    features, rows = kept([])
    assert features.shape == (0, 1)
    assert rows.tolist() == []
