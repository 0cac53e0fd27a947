"""ClipClap: its sizes, its loss against a slow version, its texts by name, and the rules of its own tracks."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from plain_layers import assert_same_after_a_step, plain
from torch import nn

from avbench.harness.contract.data import Classes, Clips
from avbench.harness.errors import MethodError
from avbench.harness.evaluation.protocol import PROTOCOLS
from avbench.harness.testing.simulated import SimulatedProgress, Task, fitted
from avbench.harness.tracks import Track
from avbench.methods.clipclap import ClipClap
from avbench.methods.learning.batch import Batch, Dims

DIMS = Dims(9, 7, 11, 4, 0, False, {"clip": 5, "clap": 6})


def network(**given: Any) -> tuple[ClipClap, nn.ModuleDict]:
    torch.manual_seed(0)
    method = ClipClap(ClipClap.Options(dropout=0.0, **given))
    return method, nn.ModuleDict(method.build(DIMS)).double()


def batch() -> Batch:
    classes = torch.randn(4, 11).double()
    labels = torch.tensor([0, 3, 1, 2, 3, 0])
    texts = {"clip": torch.randn(4, 5).double(), "clap": torch.randn(4, 6).double()}
    audio, visual = torch.randn(6, 9).double(), torch.randn(6, 7).double()
    return Batch(audio, visual, labels, classes[labels], classes, texts=texts)


def test_parameters() -> None:
    parts = ClipClap(ClipClap.Options()).build(Dims(1024, 512, 1536, 30, 0, False, {"clip": 512, "clap": 1024}))
    assert sum(p.numel() for part in parts.values() for p in part.parameters()) == 2_237_824
    one_text = ClipClap(ClipClap.Options()).build(Dims(128, 4096, 300, 30, 0))
    assert one_text["enter_text"].linear.in_features == 300  # type: ignore[union-attr]


def test_the_loss_is_that_of_the_slow_version() -> None:
    method, net = network()
    slow, b = plain(net), batch()
    assert isinstance(slow, nn.ModuleDict)
    every = torch.cat([b.texts["clip"], b.texts["clap"]], 1)
    theta_o = slow["project_clip"](slow["enter_clip"](torch.cat([b.visual, b.audio], 1)))
    omega = slow["enter_text"](every[b.labels])
    theta_w = slow["project_text"](omega)
    theta_c = slow["project_text"](slow["enter_text"](every))
    expected = torch.zeros(()).double()
    for i, y in enumerate(b.labels.tolist()):
        logits = torch.stack([theta_o[i] @ theta_c[c] for c in range(4)])
        expected = expected - (logits[y] - logits.exp().sum().log()) / 6
    for x, y in ((theta_o, theta_w), (slow["rebuild_clip"](theta_o), omega), (slow["rebuild_text"](theta_w), omega)):
        expected = expected + (x - y).square().mean()
    assert_same_after_a_step(net, method.loss(net, b), slow, expected)


@pytest.mark.parametrize(
    ("given", "clip", "text"),
    [({"modality": "visual", "text": "clip"}, 7, 5), ({"modality": "audio", "text": "clap"}, 9, 6), ({}, 16, 11)],
)
def test_single_modalities_and_texts(given: dict[str, Any], clip: int, text: int) -> None:
    method, net = network(**given)
    assert (net["enter_clip"].linear.in_features, net["enter_text"].linear.in_features) == (clip, text)  # type: ignore[union-attr]
    b = batch()
    net.eval()
    clips = Clips(b.audio, b.visual)
    classes = Classes(("a", "b", "c", "d"), ("a", "b", "c", "d"), b.classes, torch.ones(4, dtype=torch.bool), b.texts)
    scores = method.scores(net, clips, classes)
    code = net["project_text"](net["enter_text"](method.texts(b.classes, b.texts)))
    other = net["project_clip"](net["enter_clip"](method.inputs(b.audio, b.visual)))
    torch.testing.assert_close(scores[2, 1], -(other[2] - code[1]).square().sum().sqrt())


def test_a_text_that_the_track_does_not_have_is_named() -> None:
    train = Task(clips=16).training_set(unseen_names=False)
    with pytest.raises(MethodError, match="text=clip, but the text vectors of this track are none that have a name"):
        fitted(ClipClap(ClipClap.Options(text="clip", epochs=1)), train, SimulatedProgress(1))


def test_protocol_as_published_is_its_own_on_its_tracks() -> None:
    published = PROTOCOLS["as-published"]
    on = {d: published.on(Track(d, "clipclap")) for d in ("ucf", "activitynet")}
    assert on["ucf"].label_vectors == "own"
    assert on["activitynet"].label_vectors == "permuted"
    grid = on["ucf"].grid
    assert (len(grid), grid[0], grid[1], grid[-1]) == (76, 0, 1 / 15, 5)
    assert published.on(Track("ucf", "main")) == published
    assert PROTOCOLS["aligned"].on(Track("activitynet", "clipclap")).label_vectors == "own"
