"""TCaF's fusion and losses, and the similarities, against slow versions written from their descriptions."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from plain_layers import assert_same_after_a_step, plain
from torch import Tensor, nn
from torch.nn import functional

from avbench.methods.learning.fusion import (
    Fusion,
    TransformerLayer,
    cross_modal,
    forbidden,
    tcaf_heads,
    tcaf_loss,
    tcaf_scores,
)
from avbench.methods.learning.similarity import Bilinear, CrossAttention, DotProduct, Perceptron

NO_DROPOUT = {"dropout_encoder": 0.0, "dropout_token": 0.0, "dropout_transformer": 0.0}
SEEN_BY = {0: (0, 1, 2), 1: (0, 2), 2: (0, 1)}
"""Which tokens (class 0, audio 1, visual 2) a token sees."""


@pytest.fixture(autouse=True)
def _seeded() -> None:
    torch.manual_seed(0)


def fusion(layers: int = 2, heads: int = 2, head_width: int = 5) -> Fusion:
    sizes: dict[str, Any] = {"layers": layers, "heads": heads, "head_width": head_width, "hidden_encoder": 16}
    return Fusion(20, 30, **sizes, **NO_DROPOUT).double()


def norm(x: Tensor, layer: nn.Module) -> Tensor:
    centred = x - x.mean()
    return centred / (centred.square().mean() + 1e-5).sqrt() * layer.weight + layer.bias


def slow_layer(layer: TransformerLayer, tokens: list[Tensor]) -> list[Tensor]:
    """One clip, token by token and head by head."""
    h = layer.heads
    to_query, to_key, to_value = layer.query_key_value.weight.chunk(3)
    normed = [norm(x, layer.norm) for x in tokens]
    attended = []
    for i, x in enumerate(tokens):
        answers = []
        for head in range(h):
            query = (to_query @ normed[i]).chunk(h)[head]
            keys = [(to_key @ normed[j]).chunk(h)[head] for j in SEEN_BY[i]]
            values = [(to_value @ normed[j]).chunk(h)[head] for j in SEEN_BY[i]]
            exponents = [math.exp((query @ key).item() / math.sqrt(len(query))) for key in keys]
            answers.append(sum(e / sum(exponents) * value for e, value in zip(exponents, values, strict=True)))
        mix = layer.mix[0]
        attended.append(x + mix.weight @ torch.cat(answers) + mix.bias)
    wide, _, _, narrow, _ = layer.feed_forward
    return [x + narrow(functional.gelu(wide(norm(x, layer.norm)))) for x in attended]


def test_the_fused_tokens_are_those_of_the_slow_version() -> None:
    net = fusion().eval()
    with torch.no_grad():
        net.layers[0].norm.weight.uniform_(0.5, 1.5)
        audio, visual = 255 * torch.rand(3, 20).double(), torch.rand(3, 30).double()
        got, valid = net(audio, visual)
        assert valid is None
        start = torch.cat([torch.zeros(32), torch.ones(32)]).double()  # sines and cosines of 0
        code = net.code_time.weight @ start + net.code_time.bias
        for clip in range(3):
            phi_a = net.encode_audio(audio[clip : clip + 1])[0]
            phi_v = net.encode_visual(visual[clip : clip + 1] / visual[clip].square().sum().sqrt())[0]
            tokens = [net.class_token]
            for phi, modality, enter in zip(
                (phi_a, phi_v), net.code_modality, (net.enter_audio, net.enter_visual), strict=True
            ):
                tokens.append(enter(torch.cat([phi, code + modality])))
            for layer in net.layers:
                tokens = slow_layer(layer, tokens)
            torch.testing.assert_close(got[clip], torch.stack(tokens))


def test_a_modality_does_not_see_itself() -> None:
    """After one layer, attention gives the audio token nothing of the audio features; it has them by the residual."""
    layer = TransformerLayer(2, 5, 0.0)
    bias = forbidden(cross_modal(1, 1, torch.device("cpu")))
    x = torch.randn(1, 3, 300)
    other = x.clone()
    other[:, 1] = torch.randn(300)
    query_of_x = layer.query_key_value.weight[:10]
    with torch.no_grad():
        query_of_x.zero_()  # equal weights: what remains is whom a token sees
    heard, other_heard = layer.attend(layer.norm(x), bias), layer.attend(layer.norm(other), bias)
    torch.testing.assert_close(heard[:, 1], other_heard[:, 1])
    for token in (0, 2):
        assert not torch.allclose(heard[:, token], other_heard[:, token])


def test_the_norm_of_visual_features_does_not_matter() -> None:
    net = fusion().eval()
    audio, visual = torch.rand(3, 20).double(), torch.rand(3, 30).double()
    torch.testing.assert_close(net(audio, visual)[0], net(audio, 100 * visual)[0])
    assert not torch.allclose(net(audio, visual)[0], net(100 * audio, visual)[0])
    assert bool(net(audio, torch.zeros_like(visual))[0].isfinite().all())


PADDING = 64
"""Parameters of TCaF's code of padded time steps, which averaged features do not have."""


@pytest.mark.parametrize(
    ("audio", "visual", "layers", "heads", "head_width", "hidden", "count"),
    [
        (128, 4096, 6, 8, 64, 512, 7_269_972),
        (128, 4096, 8, 8, 64, 512, 8_655_028),
        (512, 512, 5, 8, 64, 256, 4_521_764),
        (512, 512, 8, 3, 128, 128, 5_161_908),
        (512, 512, 8, 6, 128, 128, 8_848_308),
    ],
)
def test_with_its_heads_it_has_the_parameters_of_tcaf(
    audio: int, visual: int, layers: int, heads: int, head_width: int, hidden: int, count: int
) -> None:
    sizes: dict[str, Any] = {"layers": layers, "heads": heads, "head_width": head_width, "hidden_encoder": hidden}
    parts = [Fusion(audio, visual, **sizes, **NO_DROPOUT), *tcaf_heads(300, dropout_output=0, dropout_label=0).values()]
    assert sum(p.numel() for part in parts for p in part.parameters()) == count - PADDING


def test_the_loss_of_tcaf_and_its_batch_norm() -> None:
    net = nn.ModuleDict(tcaf_heads(12, dropout_output=0, dropout_label=0)).double()
    slow = plain(net)
    assert isinstance(slow, nn.ModuleDict)
    tokens, classes, labels = torch.randn(9, 3, 300).double(), torch.randn(5, 12).double(), torch.arange(9) % 5
    w = classes[labels]
    theta_o, theta_w = slow["project_clip"](tokens[:, 0]), slow["project_label"](w)
    theta_c = slow["project_label"](classes)
    expected = torch.zeros(()).double()
    for i, y in enumerate(labels.tolist()):
        logits = torch.stack([theta_o[i] @ theta_c[c] for c in range(5)])
        expected = expected - (logits[y] - logits.exp().sum().log()) / 9
    for x, y in ((theta_o, theta_w), (slow["rebuild_clip"](theta_o), w), (slow["rebuild_label"](theta_w), w)):
        expected = expected + (x - y).square().mean()
    assert_same_after_a_step(net, tcaf_loss(net, net["project_clip"](tokens[:, 0]), classes, labels), slow, expected)


def test_the_scores_of_tcaf_are_distances() -> None:
    net = nn.ModuleDict(tcaf_heads(12, dropout_output=0, dropout_label=0)).double().eval()
    tokens, classes = torch.randn(4, 3, 300).double(), torch.randn(5, 12).double()
    clip, label = net["project_clip"](tokens[:, 0]), net["project_label"](classes)
    slow = [[-(clip[i] - label[c]).square().sum().sqrt().item() for c in range(5)] for i in range(4)]
    torch.testing.assert_close(tcaf_scores(net, clip, classes), torch.tensor(slow).double())


def cross_attention(heads: int = 3, head_width: int = 7) -> CrossAttention:
    return CrossAttention(heads, head_width, dropout=0.0).double().requires_grad_(False)


def slow_cross_attention(head: CrossAttention, tokens: Tensor, query: Tensor) -> tuple[Tensor, Tensor]:
    """Answer (300,) and score of one class for one clip."""
    h = head.heads
    to_key, to_value = head.key_value.weight.chunk(2)
    normed = [norm(x, head.norm_tokens) for x in tokens]
    asked = (head.query.weight @ norm(query, head.norm_query)).chunk(h)
    answers = []
    for i in range(h):
        products = [(asked[i] @ (to_key @ x).chunk(h)[i]).item() / math.sqrt(len(asked[i])) for x in normed]
        total = sum(map(math.exp, products))
        weighted = zip(products, normed, strict=True)
        answers.append(sum(math.exp(p) / total * (to_value @ x).chunk(h)[i] for p, x in weighted))
    answer = head.mix.weight @ torch.cat(answers) + head.mix.bias
    inner_norm, wide, _, _, narrow, _ = head.feed_forward
    state = query + answer
    state = state + narrow(functional.gelu(wide(norm(state, inner_norm))))
    outer_norm, linear = head.score
    return answer, linear.weight[0] @ norm(state, outer_norm)


def test_cross_attention_is_that_of_the_slow_version() -> None:
    head = cross_attention()
    for module in (head.norm_query, head.norm_tokens):
        module.weight.uniform_(0.5, 1.5)
    tokens, queries = torch.randn(4, 3, 300).double(), torch.randn(5, 300).double()
    answers, scores = head.attend(queries, tokens), head(tokens, queries)
    for i in range(4):
        for c in range(5):
            answer, score = slow_cross_attention(head, tokens[i], queries[c])
            torch.testing.assert_close(answers[i, c], answer)
            torch.testing.assert_close(scores[i, c], score)


def spread_of_rankings(scores: Tensor) -> int:
    """How many different rankings of the classes the clips have."""
    return len({tuple(row) for row in scores.argsort(1).tolist()})


def test_attention_over_a_single_token_does_not_depend_on_the_class() -> None:
    """A softmax over one key is 1: that is why all fused tokens are keys."""
    head, queries = cross_attention(), torch.randn(6, 300).double()
    single = head.attend(queries, torch.randn(20, 1, 300).double())
    assert torch.equal(single, single[:, :1].expand_as(single))
    all_tokens = head.attend(queries, torch.randn(20, 3, 300).double())
    assert (all_tokens - all_tokens[:, :1]).abs().amax() > 1e-3


def test_a_residual_alone_would_rank_the_classes_alike_for_every_clip() -> None:
    head, queries, tokens = cross_attention(), torch.randn(6, 300).double(), torch.randn(20, 1, 300).double()
    direction = torch.randn(300).double()
    assert spread_of_rankings((queries + head.attend(queries, tokens)) @ direction) == 1
    assert spread_of_rankings(head(tokens, queries)) > 1  # by the feed-forward part and the layer norms


def test_a_linear_layer_on_clip_and_class_cannot_classify_and_the_bilinear_form_can() -> None:
    queries, tokens = torch.randn(6, 300), torch.randn(20, 3, 300)
    both = torch.cat([tokens[:, :1].expand(-1, 6, -1), queries.expand(20, -1, -1)], dim=2)
    with torch.no_grad():
        assert spread_of_rankings(nn.Linear(600, 1)(both).squeeze(-1)) == 1
        for similarity in (Bilinear(), DotProduct(), Perceptron()):
            assert spread_of_rankings(similarity(tokens, queries)) > 10


def test_other_similarities_by_loops() -> None:
    tokens, queries = torch.randn(4, 3, 300).double(), torch.randn(5, 300).double()
    bilinear, perceptron = Bilinear().double(), Perceptron().double()
    got = [module(tokens, queries) for module in (DotProduct(), bilinear, perceptron)]
    for i in range(4):
        for c in range(5):
            x, q = tokens[i, 0], queries[c]
            slow = (
                x @ q,
                sum(x[k] * (bilinear.map.weight[k] @ q) for k in range(300)),
                perceptron.second(functional.gelu(perceptron.first(torch.cat([x, q]))))[0],
            )
            for scores, expected in zip(got, slow, strict=True):
                torch.testing.assert_close(scores[i, c], expected)
