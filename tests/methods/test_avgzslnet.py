"""AVGZSLNet against a slow, plain version written from its description."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from plain_layers import assert_same_after_a_step, plain
from torch import Tensor, nn

from avbench.harness.contract.data import Classes, Clips
from avbench.harness.evaluation.protocol import PROTOCOLS
from avbench.harness.testing.simulated import simulated_classes
from avbench.harness.tracks import Track
from avbench.methods.avgzslnet import AVGZSLNet, AVGZSLNetOptions
from avbench.methods.learning.batch import Batch, Dims

DIMS = Dims(audio=20, visual=30, text=300, classes=5, unseen=0)


def avgzslnet(**options: Any) -> tuple[AVGZSLNet, nn.ModuleDict]:
    torch.manual_seed(0)
    method = AVGZSLNet(AVGZSLNetOptions.model_validate({"dropout_embedding": 0.0, "dropout_decoder": 0.0, **options}))
    return method, nn.ModuleDict(method.build(DIMS)).double()


def triplet(x: Tensor, p: Tensor, n: Tensor, margin: float) -> Tensor:
    terms = []
    for i in range(len(x)):
        near, far = ((x[i] - other[i] + 1e-6).square().sum().sqrt() for other in (p, n))
        terms.append(torch.relu(near - far + margin))
    return torch.stack(terms).mean()


def plain_loss(net: nn.ModuleDict, batch: Batch, options: AVGZSLNetOptions) -> Tensor:
    """The loss, clip by clip, with the calls in the order of the paper."""
    a_pos, a_neg = (net["embed_audio"](batch.audio[:, i]) for i in (0, 1))
    v_pos, v_neg = (net["embed_visual"](batch.visual[:, i]) for i in (0, 1))
    w_pos, w_neg = (net["embed_text"](batch.vectors[:, i]) for i in (0, 1))

    def decode(theta: Tensor) -> Tensor:
        out = net["decode"](theta)
        return torch.stack([row / row.square().sum().sqrt() for row in out])

    a_pos_back, v_pos_back, w_pos_back, a_neg_back, v_neg_back = (
        decode(theta) for theta in (a_pos, v_pos, w_pos, a_neg, v_neg)
    )
    rebuilding = torch.zeros(()).double()
    for back in (a_pos_back, v_pos_back, w_pos_back):
        for i, row in enumerate(back):
            square = (row - batch.vectors[i, 0]).square().sum()
            rebuilding = rebuilding + (square.sqrt() if options.reconstruction == "norm" else square / 300) / len(back)
    m = options.margin
    decoding = triplet(w_pos_back, a_pos_back, a_neg_back, m) + triplet(w_pos_back, v_pos_back, v_neg_back, m)
    embedding = (
        triplet(w_pos, a_pos, a_neg, m)
        + triplet(a_pos, w_pos, w_neg, m)
        + triplet(w_pos, v_pos, v_neg, m)
        + triplet(v_pos, w_pos, w_neg, m)
    )
    return rebuilding + decoding + embedding


@pytest.mark.parametrize("options", [{}, {"reconstruction": "mse", "margin": 0.3}], ids=str)
def test_loss_gradients_and_running_statistics(options: dict[str, Any]) -> None:
    method, net = avgzslnet(**options)
    slow = plain(net)
    assert isinstance(slow, nn.ModuleDict)
    labels = torch.stack([torch.arange(12) % 5, (torch.arange(12) + 1) % 5], dim=1)
    vectors = simulated_classes(5).vectors.double()
    batch = Batch(torch.randn(12, 2, 20).double(), torch.randn(12, 2, 30).double(), labels, vectors[labels], vectors)
    assert_same_after_a_step(net, method.loss(net, batch), slow, plain_loss(slow, batch, method.options))


def test_an_exact_reconstruction_has_a_finite_gradient() -> None:
    method, net = avgzslnet()
    vectors = torch.nn.functional.normalize(torch.ones(1, 300).double()).expand(4, 2, 300)

    class Perfect(nn.Module):
        def forward(self, theta: Tensor) -> Tensor:
            return vectors[:, :1] + 0 * theta.sum(-1, keepdim=True)

    net["decode"] = Perfect()
    batch = Batch(
        torch.randn(4, 2, 20).double(), torch.randn(4, 2, 30).double(), torch.zeros(4, 2).long(), vectors, vectors[0]
    )
    method.loss(net, batch).backward()
    assert all(bool(p.grad.isfinite().all()) for p in net.parameters() if p.grad is not None)


def test_scores() -> None:
    method, net = avgzslnet()
    net.eval()
    clips = Clips(torch.randn(6, 20).double(), torch.randn(6, 30).double())
    known = simulated_classes(7)
    classes = Classes(known.names, known.prompts, known.vectors.double(), known.trained)
    labels = net["embed_text"](classes.vectors)
    expected = {}
    for name, theta in (("audio", net["embed_audio"](clips.audio)), ("visual", net["embed_visual"](clips.visual))):
        rows = [[-(theta[i] - labels[c]).square().sum().sqrt().item() for c in range(7)] for i in range(6)]
        expected[name] = torch.tensor(rows).double()
    torch.testing.assert_close(method.branch_scores(net, clips, classes), expected, rtol=1e-6, atol=1e-6)
    total = expected["audio"] + expected["visual"]
    torch.testing.assert_close(method.scores(net, clips, classes), total, rtol=1e-6, atol=1e-6)
    mean = avgzslnet(fusion="mean")[0].scores(net, clips, classes)
    torch.testing.assert_close(mean, total / 2, rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize(("audio", "visual", "count"), [(512, 512, 1_319_872), (128, 4096, 4_596_672)])
def test_number_of_parameters(audio: int, visual: int, count: int) -> None:
    parts = AVGZSLNet(AVGZSLNetOptions()).build(Dims(audio, visual, 300, 30, 0))
    assert sum(p.numel() for part in parts.values() for p in part.parameters()) == count


@pytest.mark.parametrize("protocol", PROTOCOLS)
@pytest.mark.parametrize("dataset", ["ucf", "activitynet", "vggsound"])
@pytest.mark.parametrize("features", ["main", "cls"])
def test_the_options_are_the_same_everywhere(dataset: str, features: str, protocol: str) -> None:
    assert AVGZSLNetOptions.effective(Track(dataset, features), protocol) == AVGZSLNetOptions()
