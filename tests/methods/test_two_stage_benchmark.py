"""The yardstick computes what avbench's AVCA computes, and the benchmark that times both runs."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import torch
from torch import Tensor, nn

from avbench.harness.contract.data import Classes, Clips
from avbench.harness.testing.simulated import simulated_classes
from avbench.methods.avca import AVCA, AVCAOptions
from avbench.methods.learning.batch import Batch, Dims
from avbench.methods.learning.blocks import Block

if TYPE_CHECKING:
    import yardstick

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"
RATES = ("dropout_encoder", "dropout_projection", "dropout_decoder")
DIMS = Dims(audio=20, visual=30, text=300, classes=5, unseen=0)


@pytest.fixture
def plain(monkeypatch: pytest.MonkeyPatch) -> yardstick.PlainAVCA:
    """The yardstick's network without dropout, in double precision."""
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    import yardstick

    rates = dict.fromkeys(RATES, 0.0)
    return yardstick.PlainAVCA(yardstick.Settings(audio=20, video=30, momentum=0.99, **rates)).double()


def layers(module: nn.Module) -> Iterator[Tensor]:
    """Weights and running statistics of a network, layer by layer, of ours or of the yardstick."""
    if isinstance(module, Block):
        yield from (*layers(module.linear), module.weight, module.bias, module.running_mean, module.running_var)
    elif isinstance(module, nn.Linear | nn.LayerNorm | nn.BatchNorm1d):
        yield from (t for t in module.state_dict().values() if t.is_floating_point())
    else:
        for part in module.children():
            yield from layers(part)


def paired_layers(net: nn.ModuleDict, plain: yardstick.PlainAVCA) -> Iterator[tuple[Tensor, Tensor]]:
    """Tensors of ours beside those of the yardstick."""
    yield net["positions"].value, plain.get_buffer("positions")
    for name, module in plain.named_children():
        if name == "attention":
            a = net["attention"]
            ours: nn.Module = nn.ModuleList([a.norm, a.query_key_value, a.mix, a.feed_forward])
        elif name in ("triplet", "mse"):
            continue
        else:
            ours = net[name.replace("video", "visual")]
        yield from zip(layers(ours), layers(module), strict=True)


def same_weights(plain: yardstick.PlainAVCA) -> tuple[AVCA, nn.ModuleDict, Batch]:
    """avbench's method and network, with the weights copied to the yardstick, and a batch."""
    torch.manual_seed(0)
    options = AVCAOptions(**dict.fromkeys(RATES, 0.0), batch_norm_momentum=0.99, reference_batch_norm=True)
    method = AVCA(options)
    net = nn.ModuleDict(method.build(DIMS)).double()
    copied = 0
    for ours, theirs in paired_layers(net, plain):
        theirs.data.copy_(ours)
        copied += theirs.numel()
    assert copied == sum(t.numel() for t in plain.state_dict().values() if t.is_floating_point())
    labels = torch.stack([torch.arange(12) % 5, (torch.arange(12) + 1) % 5], dim=1)
    vectors = simulated_classes(5).vectors.double()
    audio, visual = torch.randn(12, 2, 20).double(), torch.randn(12, 2, 30).double()
    return method, net, Batch(audio, visual, labels, vectors[labels], vectors)


def test_three_steps_of_training_and_the_scores_agree(plain: yardstick.PlainAVCA) -> None:
    method, net, batch = same_weights(plain)
    pair = tuple(t[:, half] for half in (0, 1) for t in (batch.audio, batch.visual, batch.vectors))
    torch.testing.assert_close(method.loss(net, batch), plain.loss(pair), rtol=1e-9, atol=0)
    for ours, theirs in paired_layers(net, plain):  # statistics before the steps
        torch.testing.assert_close(ours, theirs, rtol=1e-7, atol=1e-9)

    update = method.updates(net, torch.tensor(1e-3))
    optimiser = torch.optim.Adam(plain.parameters(), lr=1e-3, weight_decay=1e-5)
    import yardstick

    for _ in range(3):
        update(batch)
        yardstick.train_epoch(plain, [pair], optimiser)
    for ours, theirs in paired_layers(net, plain):
        torch.testing.assert_close(ours, theirs, rtol=1e-5, atol=1e-8)

    net.eval()
    plain.eval()
    classes = Classes(("",) * 5, ("",) * 5, batch.classes, torch.ones(5, dtype=torch.bool))
    scores = method.scores(net, Clips(batch.audio[:, 0], batch.visual[:, 0]), classes)
    _, theta_v, theta_w = plain(batch.audio[:, 0], batch.visual[:, 0], batch.classes)
    torch.testing.assert_close(scores, -torch.cdist(theta_v, theta_w), rtol=1e-5, atol=1e-7)


def test_draws_are_balanced_pairs_of_different_classes(plain: yardstick.PlainAVCA) -> None:
    import yardstick

    torch.manual_seed(0)
    labels = torch.tensor([0] * 90 + [1] * 9 + [2])
    part = yardstick.Part(labels[:, None].float(), labels[:, None].float(), labels)
    audio, video, text, other, _, other_text = next(
        iter(yardstick.ClipPairs(part, torch.arange(3.0)[:, None]).loader(1, 3000))
    )
    assert torch.equal(audio, video)
    assert torch.equal(audio, text)
    assert torch.equal(other, other_text)
    assert not (audio == other).any()
    assert (audio.flatten().long().bincount() - 1000).abs().max() < 120  # more than four standard deviations


def test_metrics_at_the_found_offset_are_those_of_the_sweep(plain: yardstick.PlainAVCA) -> None:
    import yardstick

    torch.manual_seed(0)
    vectors = simulated_classes(6).vectors.double()

    def part(labels: Tensor) -> yardstick.Part:
        return yardstick.Part(torch.randn(len(labels), 20).double(), torch.randn(len(labels), 30).double(), labels)

    seen, unseen = part(torch.arange(40) % 3), part(3 + torch.arange(40) % 3)
    best = yardstick.evaluate(plain, seen, unseen, vectors)
    assert yardstick.evaluate(plain, seen, unseen, vectors, best[0]) == pytest.approx(best)
    assert best[3] > 0


def test_both_run_in_turn() -> None:
    command = [
        sys.executable,
        BENCHMARKS / "two_stage.py",
        "--json",
        "--epochs",
        "2",
        "--batches",
        "1",
        "--threads",
        "1",
    ]
    command += ["--protocol", "aligned", "--protocol", "as-published"]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    rows = json.loads(done.stdout)
    assert [row["protocol"] for row in rows] == ["aligned", "as-published"]
    for row in rows:
        assert row["yardstick_epochs"] == 4
        assert 3 <= row["avbench_epochs"] <= 4
        assert row["ratio"] == pytest.approx(row["yardstick_s"] / row["avbench_s"])
        assert 0 < row["loss_pass_ms"] < row["yardstick_ms"]
        assert row["bound"] == pytest.approx(row["yardstick_ms"] / row["products_ms"])
        assert row["per_epoch"] == pytest.approx(row["ratio"] * row["avbench_epochs"] / row["yardstick_epochs"])


def test_the_yardstick_is_tested_with_the_snapshot_of_the_chosen_epoch(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    import yardstick

    class Counter(nn.Module):
        """Its one weight is the number of epochs it was trained."""

        def __init__(self, settings: yardstick.Settings) -> None:
            super().__init__()
            self.epochs = nn.Parameter(torch.zeros(()), requires_grad=False)

    def train(model: Counter, *rest: object) -> Iterator[yardstick.Numbers]:
        for hm in (1.0, 3.0, 3.0, 2.0):
            model.epochs += 1
            yield hm / 10, 0.0, 0.0, hm, 0.0

    def evaluate(model: Counter, *rest: float) -> yardstick.Numbers:
        return rest[-1], 0.0, 0.0, float(model.epochs), 0.0

    monkeypatch.setattr(yardstick, "PlainAVCA", Counter)
    monkeypatch.setattr(yardstick, "train", train)
    monkeypatch.setattr(yardstick, "evaluate", evaluate)
    empty = yardstick.Part(*torch.zeros(3, 0))
    done = yardstick.run(yardstick.Data(*[empty] * 5, vectors=torch.zeros(0)), yardstick.Settings(epochs=4), seed=0)
    assert done.epochs == 2
    assert done.test[:4] == (0.3, 0.0, 0.0, 2.0)


def test_the_yardstick_gets_the_parts_and_label_vectors_of_the_protocol(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    from simulated_features import simulated_features
    from two_stage import plain_data, plain_settings

    features = simulated_features()
    aligned, published = (plain_data(features, name) for name in ("aligned", "as-published"))
    assert torch.equal(aligned.vectors, features.vectors)
    assert not torch.equal(published.vectors, features.vectors)
    assert torch.equal(aligned.test_unseen.video, features.visual[features.rows["test_unseen"]])
    options = AVCAOptions(dropout_encoder=0.11, dropout_projection=0.12, dropout_decoder=0.13, epochs=7)
    settings = plain_settings(options, features)
    assert (settings.dropout_encoder, settings.dropout_projection, settings.dropout_decoder) == (0.11, 0.12, 0.13)
    assert (settings.audio, settings.video, settings.epochs, settings.extra_passes) == (12, 12, 7, False)
