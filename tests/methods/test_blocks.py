"""The fused layers against plain PyTorch layers called once per group."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from avbench.methods.learning.blocks import Block, Dropout, NormReluDrop, TwoTokenAttention, dropout_mask

CPU = torch.device("cpu")


@pytest.mark.parametrize("rate", [0.1, 0.5, 0.8])
def test_a_mask_drops_at_the_rate_and_keeps_the_mean(rate: float) -> None:
    torch.manual_seed(0)
    mask = dropout_mask((999, 101), rate, CPU)
    assert mask.shape == (999, 101)
    assert mask.unique().tolist() == pytest.approx([0.0, 1 / (1 - rate)])
    dropped = (mask == 0).float()
    assert dropped.mean() == pytest.approx(rate, abs=4 * 0.5 / mask.numel() ** 0.5)
    # The four entries that share a word are independent of each other, and none is special.
    fours = dropped.flatten()[: mask.numel() // 4 * 4].view(-1, 4)
    assert torch.allclose(fours.mean(0), torch.tensor(rate), atol=0.02)
    assert torch.allclose(torch.corrcoef(fours.T), torch.eye(4), atol=0.03)


def test_masks_follow_the_global_seed() -> None:
    masks = []
    for seed in (1, 1, 2):
        torch.manual_seed(seed)
        masks.append(dropout_mask((64,), 0.5, CPU))
    assert torch.equal(masks[0], masks[1])
    assert not torch.equal(masks[0], masks[2])


def test_dropout_is_off_in_evaluation() -> None:
    layer, x = Dropout(0.5), torch.ones(10, 10)
    assert set(layer(x).unique().tolist()) == {0.0, 2.0}
    assert torch.equal(layer.eval()(x), x)


@pytest.mark.parametrize("groups", [1, 3])
@pytest.mark.parametrize("rate", [0.0, 0.4])
def test_the_gradient_of_the_fused_layer(groups: int, rate: float) -> None:
    torch.manual_seed(3)
    x, weight, bias = (torch.randn(*shape, dtype=torch.double) for shape in ((7, 4 * groups), (4,), (4,)))
    mask = dropout_mask(x.shape, rate, CPU).double() if rate else None

    def layer(x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
        mean, variance = torch.zeros(2, x.shape[1], dtype=torch.double)
        out: Tensor = NormReluDrop.apply(x, weight, bias, mask, 1 / (1 - rate), mean, variance)
        return out

    inputs = tuple(t.requires_grad_() for t in (x, weight, bias))
    assert torch.autograd.gradcheck(layer, inputs)
    # A second pass over the retained graph gives the same: nothing that was saved is overwritten.
    total = layer(*inputs).square().sum()
    first = torch.autograd.grad(total, inputs, retain_graph=True)
    assert all(torch.equal(a, b) for a, b in zip(first, torch.autograd.grad(total, inputs), strict=True))


@pytest.mark.parametrize("groups", [(), (2,), (2, 3)])
@pytest.mark.parametrize("momentum", [0.1, 0.99])
def test_a_block_is_linear_norm_relu_called_once_per_group(groups: tuple[int, ...], momentum: float) -> None:
    torch.manual_seed(0)
    block = Block(5, 4, momentum=momentum)
    linear, norm = nn.Linear(5, 4), nn.BatchNorm1d(4, momentum=momentum)
    linear.load_state_dict(block.linear.state_dict())
    block.weight.data.uniform_(0.5, 2)
    block.bias.data.normal_()
    norm.weight.data.copy_(block.weight)
    norm.bias.data.copy_(block.bias)
    x = torch.randn(9, *groups, 5, requires_grad=True)
    rows = x.detach().view(9, -1, 5).unbind(1)
    expected = torch.stack([functional.relu(norm(linear(part))) for part in rows], dim=1).view(9, *groups, 4)

    out = block(x)
    assert torch.allclose(out, expected, atol=1e-6)
    assert torch.allclose(block.running_mean, norm.running_mean, atol=1e-6)
    assert torch.allclose(block.running_var, norm.running_var, atol=1e-6)

    toward = torch.randn_like(out)
    (out * toward).sum().backward()
    (expected * toward).sum().backward()
    assert torch.allclose(block.linear.weight.grad, linear.weight.grad, atol=1e-5)
    assert torch.allclose(block.linear.bias.grad, linear.bias.grad, atol=1e-5)
    assert torch.allclose(block.weight.grad, norm.weight.grad, atol=1e-5)
    assert torch.allclose(block.bias.grad, norm.bias.grad, atol=1e-5)
    assert x.grad is not None

    block.eval()
    norm.eval()
    assert torch.allclose(block(x), functional.relu(norm(linear(x.view(-1, 5)))).view(out.shape), atol=1e-6)


def test_a_block_drops_at_its_rate_in_training_only() -> None:
    torch.manual_seed(0)
    block = Block(8, 50, dropout=0.3)
    nn.init.ones_(block.bias)
    x = torch.randn(400, 2, 8)
    plain = Block(8, 50)
    plain.load_state_dict(block.state_dict())
    expected, out = plain(x), block(x)
    kept = (out > 0)[expected > 0]
    assert kept.float().mean() == pytest.approx(0.7, abs=0.01)
    assert torch.allclose(out[out > 0], expected[out > 0] / 0.7, atol=1e-5)
    assert torch.equal(block.eval()(x), plain.eval()(x))


def test_attention_is_softmax_over_two_tokens() -> None:
    torch.manual_seed(0)
    layer = TwoTokenAttention(12, heads=3, hidden=5, dropout=0.5).eval()
    x = torch.randn(2, 7, 12)
    got = layer(x)

    tokens = x.transpose(0, 1)  # (7, 2, 12)
    query, key, value = layer.query_key_value(layer.norm(tokens)).split(12, dim=-1)
    heads = []
    for h in range(3):
        q, k, v = (t[..., 4 * h : 4 * h + 4] for t in (query, key, value))
        heads.append((q @ k.transpose(1, 2) / 4**0.5).softmax(-1) @ v)
    first = tokens + layer.mix[0](torch.cat(heads, -1))
    norm, widen, _, _, narrow, _ = layer.feed_forward
    second = first + narrow(functional.gelu(widen(norm(first))))
    assert torch.allclose(got.transpose(0, 1), second, atol=1e-5)
