"""CJME against a slow, plain version written from its description."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from plain_layers import assert_same_after_a_step, plain
from torch import Tensor, nn

from avbench.harness.contract.data import Clips
from avbench.harness.testing.simulated import simulated_classes
from avbench.harness.tracks import Track
from avbench.methods.cjme import CJME, CJMEOptions
from avbench.methods.learning.batch import Batch, Dims

DIMS = Dims(audio=20, visual=30, text=300, classes=5, unseen=0)


def cjme(**options: Any) -> tuple[CJME, nn.ModuleDict]:
    torch.manual_seed(0)
    method = CJME(CJMEOptions.model_validate({"dropout_embedding": 0.0, **options}))
    return method, nn.ModuleDict(method.build(DIMS)).double()


def pairs() -> Batch:
    labels = torch.stack([torch.arange(12) % 5, (torch.arange(12) + 1) % 5], dim=1)
    vectors = simulated_classes(5).vectors.double()
    generator = torch.Generator().manual_seed(1)
    audio, visual = (torch.randn(12, 2, size, generator=generator).double() for size in (20, 30))
    return Batch(audio, visual, labels, vectors[labels], vectors)


def entropy(probabilities: list[float]) -> float:
    return -sum(p * math.log(p) for p in probabilities)


def plain_loss(net: nn.ModuleDict, batch: Batch, options: CJMEOptions) -> tuple[Tensor, list[float]]:
    """The loss and the attention targets, clip by clip, with the calls in the order of the paper."""
    a_pos, a_neg = (net["embed_audio"](batch.audio[:, i]) for i in (0, 1))
    v_pos, v_neg = (net["embed_visual"](batch.visual[:, i]) for i in (0, 1))
    w_pos, _ = (net["embed_text"](batch.vectors[:, i]) for i in (0, 1))
    if not options.class_batch_norm:
        net["embed_text"].eval()
    classes = net["embed_text"](batch.classes).detach()
    net["embed_text"].train()
    alpha = net["attention"](torch.cat([batch.audio[:, 0], batch.visual[:, 0]], dim=1))[:, 0]

    size = len(alpha)
    weight = alpha if options.triplets_train_attention else alpha.detach()
    tau_a, tau_v, targets = [], [], []
    attention, alignment = torch.zeros(()).double(), torch.zeros(()).double()
    for i in range(size):
        for tau, pos, neg in ((tau_a, a_pos, a_neg), (tau_v, v_pos, v_neg)):
            near, far = ((w_pos[i] - x[i] + 1e-6).square().sum().sqrt() for x in (pos, neg))
            tau.append(torch.relu(near - far + options.margin))
        h_a, h_v = (entropy((classes @ x[i]).softmax(0).tolist()) for x in (a_pos, v_pos))
        surer = options.entropy_margin
        targets.append(0.0 if h_v - h_a > surer else 1.0 if h_a - h_v > surer else 0.5)
        attention = attention + (alpha[i] - targets[i]) ** 2 / size
        alignment = alignment + (a_pos[i] - v_pos[i]).square().sum() / (64 * size)
    triplets = torch.zeros(()).double()
    for i in range(size):
        if options.triplet_weighting == "clip":
            triplets = triplets + ((1 - weight[i]) * tau_a[i] + weight[i] * tau_v[i]) / size
        else:
            for j in range(size):
                triplets = triplets + ((1 - weight[i]) * tau_a[j] + weight[i] * tau_v[j]) / size**2
    return triplets + alignment + attention, targets


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"triplet_weighting": "batch"},
        {"triplets_train_attention": False},
        {"triplet_weighting": "batch", "triplets_train_attention": False, "margin": 0.3},
        {"class_batch_norm": False, "entropy_margin": 0.02},
        {"rectify": False},
    ],
    ids=str,
)
def test_loss_gradients_and_running_statistics(options: dict[str, Any]) -> None:
    method, net = cjme(**options)
    net["embed_text"][0].running_var.fill_(1e-3)  # in evaluation mode classes differ, as after training
    slow, batch = plain(net), pairs()
    assert isinstance(slow, nn.ModuleDict)
    expected, targets = plain_loss(slow, batch, method.options)
    assert len(set(targets)) > 1
    assert_same_after_a_step(net, method.loss(net, batch), slow, expected)


def test_the_attention_target_has_three_values() -> None:
    method, net = cjme(class_batch_norm=False)
    net["embed_text"] = nn.Identity()
    classes = torch.eye(4).double()
    sure, unsure = 5 * classes[0], classes[0]
    audio, visual = torch.stack([sure, unsure, sure]), torch.stack([unsure, sure, sure + 1e-3])
    assert method.attention_target(net, classes, audio, visual).tolist() == [0.0, 1.0, 0.5]


def test_the_weightings_differ_where_attention_and_losses_go_together() -> None:
    batch = pairs()
    losses = [method.loss(net, batch).item() for method, net in (cjme(), cjme(triplet_weighting="batch"))]
    assert losses[0] != pytest.approx(losses[1], abs=1e-6)


@pytest.mark.parametrize("gate", ["hard", "soft"])
def test_scores(gate: str) -> None:
    method, net = cjme(gate=gate)
    net["attention"][1].weight.data.mul_(5)
    net.eval()
    generator = torch.Generator().manual_seed(2)
    clips = Clips(*(torch.randn(9, size, generator=generator).double() for size in (20, 30)))
    classes = simulated_classes(7)
    vectors = classes.vectors.double()
    alpha = net["attention"](torch.cat([clips.audio, clips.visual], dim=1))
    assert 0 < (alpha >= 0.5).sum() < 9
    labels = net["embed_text"](vectors)
    theta_a, theta_v = net["embed_audio"](clips.audio), net["embed_visual"](clips.visual)
    by_audio, by_visual, expected = (torch.zeros(9, 7).double() for _ in range(3))
    for i in range(9):
        weight = alpha[i].item() if gate == "soft" else float(alpha[i] >= 0.5)
        for c in range(7):
            by_audio[i, c] = -(theta_a[i] - labels[c]).square().sum().sqrt()
            by_visual[i, c] = -(theta_v[i] - labels[c]).square().sum().sqrt()
            expected[i, c] = (1 - weight) * by_audio[i, c] + weight * by_visual[i, c]
    candidates = type(classes)(classes.names, classes.prompts, vectors, classes.trained)
    torch.testing.assert_close(method.scores(net, clips, candidates), expected)
    branches = method.branch_scores(net, clips, candidates)
    torch.testing.assert_close(branches, {"audio": by_audio, "visual": by_visual})


@pytest.mark.parametrize(("audio", "visual", "count"), [(512, 512, 1_299_157), (128, 4096, 4_585_557)])
def test_number_of_parameters(audio: int, visual: int, count: int) -> None:
    parts = CJME(CJMEOptions()).build(Dims(audio, visual, 300, 30, 0))
    assert sum(p.numel() for part in parts.values() for p in part.parameters()) == count


def test_presets() -> None:
    aligned = CJMEOptions.effective(Track("ucf", "main"), "aligned")
    assert aligned == CJMEOptions()
    published = CJMEOptions.effective(Track("vggsound", "cls"), "as-published")
    assert published == CJMEOptions(triplet_weighting="batch", dropout_embedding=0.0)
