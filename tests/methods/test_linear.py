"""ALE, DeViSE, SJE and APN against their definitions, written out per clip and class."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from avbench.harness.contract.data import Classes, Clips
from avbench.harness.testing.simulated import SimulatedProgress, fitted, simulated_classes, simulated_training
from avbench.harness.tracks import Track
from avbench.methods.ale import ALE, ALEOptions
from avbench.methods.apn import APN, APNOptions
from avbench.methods.devise import DeViSE
from avbench.methods.families.linear import CompatibilityMethod, LinearMethod
from avbench.methods.learning.batch import Batch, Dims
from avbench.methods.learning.blocks import dropout_mask
from avbench.methods.sje import SJE

CPU = torch.device("cpu")
DIMS = Dims(audio=5, visual=6, text=16, classes=7, unseen=0)
COMPATIBILITY: tuple[type[CompatibilityMethod], ...] = (ALE, DeViSE, SJE)
LINEAR: tuple[type[LinearMethod], ...] = (*COMPATIBILITY, APN)


def built(kind: type[LinearMethod], **options: Any) -> tuple[Any, nn.ModuleDict]:
    torch.manual_seed(0)
    method = kind(kind.Options.model_validate(options))
    return method, nn.ModuleDict(method.build(DIMS)).double()


def a_batch() -> Batch:
    generator = torch.Generator().manual_seed(1)
    labels = torch.arange(10) % 7
    vectors = simulated_classes(7, text=16).vectors.double()
    audio, visual = (torch.randn(10, size, generator=generator).double() for size in (5, 6))
    return Batch(audio, visual, labels, vectors[labels], vectors)


def compatibilities(matrix: Tensor, x: Tensor, vectors: Tensor) -> list[list[Tensor]]:
    return [[(matrix @ row) @ vector for vector in vectors] for row in x]


def hinges(products: list[Tensor], right: int, margin: float) -> list[Tensor]:
    return [torch.relu(margin + p - products[right]) for j, p in enumerate(products) if j != right]


def ale(products: list[Tensor], right: int, margin: float) -> Tensor:
    terms = hinges(products, right, margin)
    violated = sum(h.item() > 0 for h in terms)
    harmonic = sum(1 / n for n in range(1, violated + 1))
    return harmonic / (violated + 1e-8) * torch.stack(terms).sum()


def devise(products: list[Tensor], right: int, margin: float) -> Tensor:
    return torch.stack(hinges(products, right, margin)).sum()


def sje(products: list[Tensor], right: int, margin: float) -> Tensor:
    return torch.stack(hinges(products, right, margin)).max()


def devise_as_worded(products: list[Tensor], right: int, margin: float) -> Tensor:
    return torch.stack([p for j, p in enumerate(products) if j != right]).sum()


def sje_as_worded(products: list[Tensor], right: int, margin: float) -> Tensor:
    return torch.stack([p for j, p in enumerate(products) if j != right]).max()


@pytest.mark.parametrize(
    ("kind", "options", "of_clip"),
    [
        (ALE, {}, ale),
        (ALE, {"margin": 1.0}, ale),
        (ALE, {"margin": 0.0}, ale),
        (DeViSE, {}, devise),
        (DeViSE, {"margin": 0.7}, devise),
        (DeViSE, {"hinge": False}, devise_as_worded),
        (SJE, {}, sje),
        (SJE, {"margin": 0.7}, sje),
        (SJE, {"hinge": False}, sje_as_worded),
    ],
)
@pytest.mark.parametrize("normalise", [False, True])
def test_ranking_losses_and_gradients(
    kind: type[CompatibilityMethod], options: dict[str, Any], of_clip: Callable[..., Tensor], normalise: bool
) -> None:
    method, net = built(kind, normalise_inputs=normalise, **options)
    batch = a_batch()
    torch.manual_seed(5)
    loss = method.loss(net, batch)
    (gradient,) = torch.autograd.grad(loss, net.parameters())

    x = torch.cat([batch.visual, batch.audio], dim=1)
    if normalise:
        x = torch.stack([row / row.square().sum().sqrt() for row in x])
    torch.manual_seed(5)  # the mask of the inputs is drawn first; one mask of the label vectors serves all clips
    x = x * dropout_mask(x.shape, 0.2, CPU)
    vectors = batch.classes * dropout_mask(batch.classes.shape, 0.2, CPU)
    table = compatibilities(net["map"].weight, x, vectors)
    margin = method.options.margin
    losses = [of_clip(row, int(right), margin) for row, right in zip(table, batch.labels, strict=True)]
    expected = torch.stack(losses).mean()
    torch.testing.assert_close(loss, expected, rtol=1e-6, atol=1e-9)
    (expected_gradient,) = torch.autograd.grad(expected, net.parameters())
    torch.testing.assert_close(gradient, expected_gradient, rtol=1e-6, atol=1e-7)


def test_ranking_weights() -> None:
    method, net = built(ALE)
    labels = torch.tensor([0, 0, 2])
    compatibility = torch.tensor(
        [
            [1.0, 0.0, 0.0, 0.0],  # nothing violates the margin of 0.1
            [1.0, 0.95, 0.0, 0.0],  # one class does, by 0.05
            [0.2, 0.2, 0.0, 0.3],  # three do, by 0.3, 0.3 and 0.4
        ]
    ).double()
    losses = method.clip_losses(net, compatibility, labels)
    assert losses.tolist() == pytest.approx([0.0, 0.05, (1 + 1 / 2 + 1 / 3) / 3 * 1.0], rel=1e-6)


def test_ale_can_regress_too() -> None:
    batch = a_batch()
    no_dropout = {"dropout_inputs": 0.0, "dropout_labels": 0.0}
    (plain, net), (both, _) = built(ALE, **no_dropout), built(ALE, **no_dropout, loss_regression=True)
    mapped = torch.cat([batch.visual, batch.audio], dim=1) @ net["map"].weight.T
    added = (mapped - batch.vectors).square().sum() / (10 * 16)
    torch.testing.assert_close(both.loss(net, batch), plain.loss(net, batch) + added)


def test_sje_gives_the_gradient_of_a_tie_to_one_class() -> None:
    method, net = built(SJE)
    compatibility = torch.tensor([[0.0, 0.5, 0.5]], requires_grad=True)
    method.clip_losses(net, compatibility, torch.tensor([0])).sum().backward()
    assert compatibility.grad is not None
    assert sorted(compatibility.grad[0].tolist()) == [-1.0, 0.0, 1.0]


def apn_term(matrix: Tensor, x: Tensor, batch: Batch, double: bool) -> Tensor:
    """Cross-entropy and regression of one map, clip by clip."""
    total = torch.zeros(()).double()
    for i, row in enumerate(x):
        mapped = matrix @ row
        q = torch.stack([mapped @ vector for vector in batch.classes])
        if double:
            q = q.exp() / q.exp().sum()
        total = total - (q[batch.labels[i]].exp() / q.exp().sum()).log() / len(x)
        total = total + (mapped - batch.vectors[i]).square().sum() / (len(x) * 16)
    return total


@pytest.mark.parametrize("double", [True, False])
@pytest.mark.parametrize("prototypes", [True, False])
def test_apn(double: bool, prototypes: bool) -> None:
    method, net = built(APN, double_softmax=double, prototypes=prototypes)
    assert list(net) == (["map", "prototypes"] if prototypes else ["map"])
    for parameter in net.parameters():
        assert 0 <= parameter.min() < 1e-5 < 1.9e-4 < parameter.max() <= 2e-4
        parameter.data.mul_(1e4)
    batch = a_batch()
    loss = method.loss(net, batch)
    gradients = torch.autograd.grad(loss, net.parameters())
    x = torch.cat([batch.visual, batch.audio], dim=1)
    expected = torch.stack([apn_term(linear.weight, x, batch, double) for linear in net.values()]).sum()
    torch.testing.assert_close(loss, expected)
    torch.testing.assert_close(gradients, torch.autograd.grad(expected, net.parameters()))


def test_prototypes_of_apn_never_matter() -> None:
    train = simulated_training(classes=5)
    both, one = (
        fitted(
            APN(APNOptions(batches_per_epoch=4, batch_size=16, prototypes=prototypes)),
            train,
            SimulatedProgress(epochs=2),
        )
        for prototypes in (True, False)
    )
    assert both.parameters() == 2 * one.parameters()
    torch.testing.assert_close(both.predict(train.clips, train.classes), one.predict(train.clips, train.classes))


@pytest.mark.parametrize("kind", LINEAR)
@pytest.mark.parametrize("normalise", [False, True])
def test_scores(kind: type[LinearMethod], normalise: bool) -> None:
    method, net = built(kind, normalise_inputs=normalise)
    net["map"].weight.data.normal_()
    net.eval()
    clips = Clips(torch.randn(8, 5).double(), torch.randn(8, 6).double())
    known = simulated_classes(9, text=16, trained=7)
    classes = Classes(known.names, known.prompts, known.vectors.double(), known.trained)
    distances, products = torch.zeros(8, 9).double(), torch.zeros(8, 9).double()
    for i in range(8):
        x = torch.cat([clips.visual[i], clips.audio[i]])
        mapped = net["map"].weight @ (x / x.norm() if normalise else x)
        for c in range(9):
            distances[i, c] = (mapped - classes.vectors[c]).square().sum().sqrt()
            products[i, c] = mapped @ classes.vectors[c]
    by_distance = method.scores(net, clips, classes)
    by_product = built(kind, normalise_inputs=normalise, score="product")[0].scores(net, clips, classes)
    torch.testing.assert_close(by_distance, -distances)
    torch.testing.assert_close(by_product, products)
    assert torch.equal(by_distance.argsort(dim=1), by_product.argsort(dim=1))
    assert bool((by_distance.amax(1) - by_distance.amin(1) <= 2).all())


@pytest.mark.parametrize("kind", LINEAR)
@pytest.mark.parametrize(("audio", "visual", "count"), [(512, 512, 307_200), (128, 4096, 1_267_200)])
def test_number_of_parameters(kind: type[LinearMethod], audio: int, visual: int, count: int) -> None:
    parts = kind(kind.Options()).build(Dims(audio, visual, 300, 30, 0))
    trained = sum(p.numel() for part in parts.values() for p in part.parameters())
    assert trained == (2 * count if kind is APN else count)


@pytest.mark.parametrize("kind", COMPATIBILITY)
def test_initial_weights_are_those_of_a_linear_layer(kind: type[CompatibilityMethod]) -> None:
    _, net = built(kind)
    bound = 1 / math.sqrt(11)
    assert 0.9 * bound < net["map"].weight.abs().max() <= bound


@pytest.mark.parametrize("protocol", ["aligned", "as-published"])
def test_presets(protocol: str) -> None:
    for kind in LINEAR:
        assert kind.Options.effective(Track("ucf", "main"), protocol) == kind.Options()
        assert kind.Options.effective(Track("activitynet", "cls"), protocol) == kind.Options(normalise_inputs=True)
    silent = ALEOptions.effective(Track("vggsound", "cls"), protocol)
    assert silent == ALEOptions(normalise_inputs=True, dropout_inputs=0.0, dropout_labels=0.0)
