"""TCaF, Perceiver and attention fusion over time, against slow versions that go clip by clip and step by step."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from avbench.harness.contract.data import Clips, Time
from avbench.harness.contract.packed import PackedClips, Window
from avbench.harness.testing.over_time import padded
from avbench.harness.testing.simulated import SimulatedProgress, Task, fitted
from avbench.harness.tracks import Track
from avbench.methods.attention_fusion import AttentionFusion
from avbench.methods.families.over_time import OverTimeMethod
from avbench.methods.learning.batch import Dims
from avbench.methods.learning.blocks import Block
from avbench.methods.learning.fusion import Fusion, TransformerLayer
from avbench.methods.learning.late_fusion import Gate, ModalityTransformers
from avbench.methods.learning.latents import LatentReader
from avbench.methods.learning.tokens import Tokeniser
from avbench.methods.learning.windows import middle
from avbench.methods.perceiver import Perceiver
from avbench.methods.tcaf import TCaF

METHODS = (TCaF, Perceiver, AttentionFusion)
SIZES: dict[str, Any] = {"hidden_encoder": 16, "dropout_encoder": 0.0, "dropout_token": 0.0}
LAYERS: dict[str, Any] = {"layers": 2, "heads": 2, "head_width": 5, "dropout_transformer": 0.0}


@pytest.fixture(autouse=True)
def _seeded() -> None:
    torch.manual_seed(0)


def clips(audio: int = 12, visual: int = 20) -> Clips:
    """Five clips of uneven lengths, in double precision."""
    heard, seen = torch.tensor([3, 1, 4, 2, 1]), torch.tensor([2, 5, 1, 3, 1])
    x, y = torch.rand(5, 4, audio).double(), torch.rand(5, 5, visual).double()
    x, y = (v * (torch.arange(v.shape[1]) < n[:, None])[..., None] for v, n in ((x, heard), (y, seen)))
    return Clips(x, y, time=Time(heard, seen, 0.96, 0.64))


def moved(net: nn.Module) -> nn.Module:
    """In double precision, with norms that are not as they begin."""
    for part in net.modules():
        if isinstance(part, nn.LayerNorm):
            nn.init.uniform_(part.weight, 0.5, 1.5)
            nn.init.uniform_(part.bias, -0.5, 0.5)
    return net.double()


def lengths_of(given: Clips, clip: int) -> tuple[int, int]:
    assert given.time is not None
    return int(given.time.audio_lengths[clip]), int(given.time.visual_lengths[clip])


def slow_tokens(
    net: Tokeniser, given: Clips, clip: int, *, by_index: bool = False
) -> tuple[list[Tensor], list[Tensor]]:
    """The tokens of one clip in evaluation, step by step."""
    assert given.time is not None
    found: list[list[Tensor]] = []
    for modality, (x, length, seconds, encode, enter) in enumerate(
        (
            (given.audio[clip], lengths_of(given, clip)[0], 0.96, net.encode_audio, net.enter_audio),
            (given.visual[clip], lengths_of(given, clip)[1], 0.64, net.encode_visual, net.enter_visual),
        )
    ):
        tokens = []
        for t in range(length):
            step = x[t]
            if modality == 0:
                step = step / net.audio_divisor
            elif net.normalisation == "features":
                step = step / step.square().sum().sqrt()
            else:
                step = step / torch.stack([x[:, d].square().sum().sqrt() for d in range(x.shape[1])])
            time = float(t) if by_index else t * seconds
            angles = [2 * math.pi * time * f for f in net.get_buffer("frequencies").tolist()]
            fourier = torch.tensor([math.sin(a) for a in angles] + [math.cos(a) for a in angles]).double()
            code = net.code_time(fourier) + net.code_modality[modality]
            tokens.append(enter(torch.cat([encode(step[None])[0], code])))
        found.append(tokens)
    return found[0], found[1]


def slow_attention(query: Tensor, keys: list[Tensor], values: list[Tensor], heads: int) -> Tensor:
    answers = []
    for head in range(heads):
        q = query.chunk(heads)[head]
        weights = torch.stack([q @ k.chunk(heads)[head] for k in keys]).div(math.sqrt(len(q))).softmax(0)
        answers.append(sum(w * v.chunk(heads)[head] for w, v in zip(weights, values, strict=True)))
    return torch.cat(answers)  # type: ignore[arg-type]


def slow_layer(layer: TransformerLayer, tokens: list[Tensor], seen_by: Callable[[int, int], bool]) -> list[Tensor]:
    to_query, to_key, to_value = layer.query_key_value.weight.chunk(3)
    normed = [layer.norm(x) for x in tokens]
    result = []
    for i, x in enumerate(tokens):
        others = [j for j in range(len(tokens)) if seen_by(i, j)]
        keys, values = ([m @ normed[j] for j in others] for m in (to_key, to_value))
        x = x + layer.mix(slow_attention(to_query @ normed[i], keys, values, layer.heads))
        norm = layer.norm if layer.one_norm else layer.norm_feed_forward
        result.append(x + layer.feed_forward(norm(x)))
    return result


@pytest.mark.parametrize("by_index", [False, True])
@pytest.mark.parametrize("normalisation", ["features", "time"])
@pytest.mark.parametrize("one_norm", [False, True])
def test_the_fused_tokens_are_those_of_the_slow_version(by_index: bool, normalisation: Any, one_norm: bool) -> None:
    net = Fusion(
        12, 20, **SIZES, **LAYERS, temporal=True, audio_divisor=255, normalisation=normalisation, one_norm=one_norm
    )
    moved(net).eval()
    given = clips()
    with torch.no_grad():
        got, valid = net(given.audio, given.visual, given.time, by_index=by_index)
        assert valid is not None
        for clip in range(5):
            audio, visual = slow_tokens(net, given, clip, by_index=by_index)
            tokens = [net.class_token, *audio, *visual]
            kinds = [0] + [1] * len(audio) + [2] * len(visual)
            for layer in net.layers:
                assert isinstance(layer, TransformerLayer)
                tokens = slow_layer(layer, tokens, lambda i, j, k=kinds: k[i] != k[j] or i == j == 0)
            torch.testing.assert_close(got[clip][valid[clip]], torch.stack(tokens), atol=1e-7, rtol=1e-6)


def test_latents_read_and_think_as_the_slow_version() -> None:
    net = LatentReader(12, 20, latents=3, **SIZES, **{**LAYERS, "layers": 4}, temporal=True)
    moved(net).eval()
    given = clips()
    with torch.no_grad():
        got = net(given.audio, given.visual, given.time)
        for clip in range(5):
            audio, visual = slow_tokens(net, given, clip)
            latents = list(net.latents)
            for place, layer in enumerate(net.layers):
                if place % 2:
                    assert isinstance(layer, TransformerLayer)
                    latents = slow_layer(layer, latents, lambda i, j: True)
                    continue
                to_key, to_value = layer.key_value.weight.chunk(2)
                normed = [layer.norm_tokens(x) for x in (*audio, *visual)]
                keys, values = ([m @ x for x in normed] for m in (to_key, to_value))
                heard = [slow_attention(layer.query(layer.norm_latents(x)), keys, values, layer.heads) for x in latents]
                latents = [x + layer.mix(h) for x, h in zip(latents, heard, strict=True)]
                latents = [x + layer.feed_forward(layer.norm_feed_forward(x)) for x in latents]
            torch.testing.assert_close(got[clip], torch.stack([net.norm(x) for x in latents]).mean(0))


def test_each_modality_attends_to_itself_and_the_gate_weighs() -> None:
    net = ModalityTransformers(12, 20, **SIZES, **LAYERS | {"layers": (1, 2)}, temporal=True)
    moved(net).eval()
    given = clips()
    with torch.no_grad():
        got = net(given.audio, given.visual, given.time)
        for clip in range(5):
            for modality, steps in enumerate(slow_tokens(net, given, clip)):
                tokens = [net.class_tokens[modality], *steps]
                for layer in net.layers[modality]:  # type: ignore[union-attr]
                    tokens = slow_layer(layer, tokens, lambda i, j: True)
                torch.testing.assert_close(got[modality][clip], tokens[0])
    gate = Gate(4, 4)
    a, v = torch.randn(3, 4), torch.randn(3, 4)
    g = gate.weigh(torch.cat([a, v], 1)).sigmoid()
    torch.testing.assert_close(gate(a, v), g * a + (1 - g) * v)


@pytest.mark.parametrize("kind", METHODS)
def test_padding_does_not_matter_in_training_nor_in_the_test(kind: type[OverTimeMethod]) -> None:
    """To 1e-6 in scores, and exactly in the statistics of batch norm, unless padding is counted as the code does."""
    given = clips()
    for count_padding in (False, True):
        options = kind.Options(layers=2, heads=2, head_width=4, count_padding=count_padding)
        states = []
        for more in (0, 4):
            torch.manual_seed(1)
            method = kind(options)
            net = nn.ModuleDict(method.build(Dims(12, 20, 7, 3, 0, temporal=True))).double()
            for part in net.modules():
                if hasattr(part, "dropout") and isinstance(part, Block):
                    part.dropout = 0.0
                elif hasattr(part, "rate"):
                    part.rate = 0.0
            longer = padded(given, more, more)
            trained, _ = method.fused(net, longer.audio, longer.visual, longer.time, by_index=False)
            scores, _ = method.fused(net.eval(), longer.audio, longer.visual, longer.time, by_index=False)
            states.append((trained, scores, net["fusion"].encode_audio[0].running_mean))
        same = [float((one - other).detach().abs().max()) < 1e-6 for one, other in zip(*states, strict=True)]
        assert same[2] == (not count_padding)
        assert all(same) == (not count_padding)


def test_batch_norm_over_valid_rows_only_is_batch_norm_of_those_rows() -> None:
    one, other = Block(6, 5).double(), Block(6, 5).double()
    other.load_state_dict(one.state_dict())
    x, valid = torch.randn(20, 6).double(), torch.arange(20) % 3 > 0
    masked, plain = one.over(x, valid)[valid], other(x[valid])
    torch.testing.assert_close(masked, plain)
    torch.testing.assert_close(one.running_var, other.running_var)
    (masked.sum() + masked.square().sum()).backward()
    (plain.sum() + plain.square().sum()).backward()
    for p, q in zip(one.parameters(), other.parameters(), strict=True):
        torch.testing.assert_close(p.grad, q.grad)


COUNTS = {
    ("ucf", "main"): 4_521_764,
    ("ucf", "cls"): 7_269_972,
    ("activitynet", "main"): 5_161_908,
    ("activitynet", "cls"): 7_269_972,
    ("vggsound", "main"): 8_848_308,
    ("vggsound", "cls"): 8_655_028,
}


@pytest.mark.parametrize("track", COUNTS, ids="/".join)
def test_parameters_are_those_of_the_released_code(track: tuple[str, str]) -> None:
    dataset, features = track
    widths = (128, 4096) if features == "cls" else (512, 512)
    options = TCaF.Options.effective(Track(dataset, f"{features}-temporal"), "as-published")
    parts = TCaF(options).build(Dims(*widths, 300, 30, 0, temporal=True))  # type: ignore[arg-type]
    assert sum(p.numel() for part in parts.values() for p in part.parameters()) == COUNTS[track]


def test_the_perceiver_has_about_the_capacity_of_tcaf() -> None:
    options = Perceiver.Options.effective(Track("vggsound", "cls-temporal"), "aligned")
    parts = Perceiver(options).build(Dims(128, 4096, 300, 138, 0, temporal=True))  # type: ignore[arg-type]
    reader = parts["fusion"]
    assert isinstance(reader, LatentReader)
    assert sum(p.numel() for p in reader.layers.parameters()) == pytest.approx(5.55e6, rel=2e-3)


def test_presets_of_the_reference_code_hold_over_time_only() -> None:
    over_time = TCaF.Options.effective(Track("activitynet", "cls-temporal"), "as-published").model_dump()
    averaged = TCaF.Options.effective(Track("activitynet", "cls"), "as-published").model_dump()
    aligned = TCaF.Options.effective(Track("activitynet", "cls-temporal"), "aligned").model_dump()
    assert over_time["visual_normalisation"] == "time"
    assert over_time["count_padding"]
    assert not averaged["count_padding"]
    assert averaged["visual_normalisation"] == aligned["visual_normalisation"] == "features"
    assert (over_time["layers"], averaged["dropout_transformer"]) == (6, 0.4)


@pytest.mark.parametrize(("rule", "audio"), [("quotient", (40, 200)), ("product", (37, 184))])
def test_windows_of_activitynet(rule: Any, audio: tuple[int, int]) -> None:
    method = TCaF(TCaF.Options(audio_length=rule))
    assert [method._window(v, 0.96, 0.64) for v in (60, 300)] == [
        Window(a, v) for a, v in zip(audio, (60, 300), strict=True)
    ]


def test_a_window_begins_in_both_modalities_at_one_time() -> None:
    audio, visual = torch.arange(30.0)[:, None], torch.arange(45.0)[:, None]
    offsets = torch.tensor([0, 30]), torch.tensor([0, 45])
    packed = PackedClips(
        audio, visual, audio_offsets=offsets[0], visual_offsets=offsets[1], audio_step=0.96, visual_step=0.64
    )
    for start, first in ((0.0, 0), (0.5, 18), (0.999, 35)):
        batch = packed.take(torch.tensor([0]), Window(7, 10), torch.tensor([start]))
        assert batch.visual[0, :, 0].tolist() == list(range(first, first + 10))
        heard = min(round(first * 0.64 / 0.96), 23)
        assert batch.audio[0, :, 0].tolist() == list(range(heard, heard + 7))
    cut = middle(packed.take(torch.tensor([0])), Window(7, 10))
    expected = packed.take(torch.tensor([0]), Window(7, 10))
    assert torch.equal(cut.visual, expected.visual)
    assert torch.equal(cut.audio, expected.audio)
    fixed = packed.take(torch.tensor([0]), Window(40, 50, fixed=True))
    assert (fixed.audio.shape[1], fixed.visual.shape[1]) == (40, 50)


def test_a_second_pass_moves_batch_norm_only() -> None:
    train = Task(clips=24, steps=4).training_set(unseen_names=False)
    base = {"epochs": 1, "batches_per_epoch": 2, "batch_size": 8, "layers": 1, "learning_rate": 1e-9}
    once, twice = (
        fitted(TCaF(TCaF.Options(**base, reference_batch_norm=on)), train, SimulatedProgress(1)) for on in (False, True)
    )
    one, two = once.state(), twice.state()
    moved_names = {name for name in one if not torch.allclose(one[name].double(), two[name].double(), atol=1e-6)}
    assert moved_names
    assert all("running" in name for name in moved_names)


def test_both_forms_of_a_time_ordered_clip_differ_and_time_codes_matter() -> None:
    net = Fusion(12, 20, **SIZES, **LAYERS, temporal=True)
    moved(net).eval()
    given = clips()
    assert given.time is not None
    later = replace(given, time=replace(given.time, visual_step=1.3))
    with torch.no_grad():
        one, other = (net(c.audio, c.visual, c.time)[0][:, 0] for c in (given, later))
    assert not torch.allclose(one, other)
    assert functional.cosine_similarity(one, other).shape == (5,)
