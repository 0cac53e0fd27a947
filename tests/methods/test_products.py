"""The faster linear map computes what torch's does, and gives way to it where it does not apply."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from avbench.harness.testing.simulated import fitted, simulated_training
from avbench.methods.avca import AVCA, AVCAOptions
from avbench.methods.learning import products
from avbench.methods.learning.products import Linear

SHAPES = [((512, 300), 64), ((256, 2, 64), 300), ((2, 256, 2, 300), 900), ((64, 512), 512)]


def both(shape: tuple[int, ...], outputs: int, bias: bool = True) -> tuple[Linear, nn.Linear, Tensor]:
    torch.manual_seed(0)
    ours, plain = Linear(shape[-1], outputs, bias), nn.Linear(shape[-1], outputs, bias)
    plain.load_state_dict(ours.state_dict())
    return ours, plain.double(), torch.randn(shape)


@pytest.mark.parametrize(("shape", "outputs"), SHAPES)
@pytest.mark.parametrize("bias", [True, False])
def test_values_and_gradients_are_those_of_the_exact_map(shape: tuple[int, ...], outputs: int, bias: bool) -> None:
    ours, exact, x = both(shape, outputs, bias)
    mine, reference = x.clone().requires_grad_(), x.double().requires_grad_()
    out, expected = ours(mine), exact(reference)
    weight = torch.randn_like(out)
    (out * weight).sum().backward()
    (expected * weight).sum().backward()
    assert products.POINTWISE is None or "OneDNN" in type(out.grad_fn).__name__
    pairs: list[tuple[Tensor | None, Tensor | None]] = [(out, expected), (mine.grad, reference.grad)]
    pairs += [(a.grad, b.grad) for a, b in zip(ours.parameters(), exact.parameters(), strict=True)]
    for found, wanted in pairs:
        assert found is not None
        assert wanted is not None
        assert found.dtype == torch.float32
        error = (found - wanted).abs().max() / wanted.abs().max()
        assert error < 1e-5  # float32 sums of at most 1,024 terms


def test_a_strided_input_gives_the_same_bits_as_a_copy() -> None:
    ours, _, x = both((256, 6, 64), 300)
    assert torch.equal(ours(x[:, 2:4]), ours(x[:, 2:4].contiguous()))


def test_no_factor_with_gaps_reaches_onednn(monkeypatch: pytest.MonkeyPatch) -> None:
    if products.POINTWISE is None:
        pytest.skip("this build of torch has no oneDNN")
    product, seen = products.POINTWISE, []

    def watched(x: Tensor, weight: Tensor, *rest: object) -> Tensor:
        seen.append(weight.is_contiguous() or weight.t().is_contiguous())
        out: Tensor = product(x, weight, *rest)
        return out

    monkeypatch.setattr(products, "POINTWISE", watched)
    ours, _, x = both((256, 6, 64), 300)
    x.requires_grad_()
    ours(x.unbind(1)[3]).unflatten(1, (2, 150))[:, 1].square().sum().backward()
    assert seen == [True] * 3


@pytest.mark.parametrize("shape", [(64, 300), (256, 900), (128, 512), (100, 300), (192, 1)])
def test_a_transpose_is_torch_s(shape: tuple[int, int]) -> None:
    x = torch.randn(shape)
    found = products.transposed(x)
    assert found.is_contiguous()
    assert torch.equal(found, x.t())


def test_a_fit_has_the_bits_that_it_has_with_torch_s_own_transposes(monkeypatch: pytest.MonkeyPatch) -> None:
    taken = list[int]()

    def plain(x: Tensor) -> Tensor:
        taken.append(len(x))
        return x.t().contiguous()

    train = simulated_training()
    options = AVCAOptions(epochs=1, batches_per_epoch=2, batch_size=128)
    states = []
    for transpose in (products.transposed, plain):
        monkeypatch.setattr(products, "transposed", transpose)
        states.append(fitted(AVCA(options), train).state())
    assert products.POINTWISE is None or any(rows % products.TILE == 0 for rows in taken)
    assert all(torch.equal(tensor, states[1][name]) for name, tensor in states[0].items())


def test_rows_do_not_depend_on_other_rows_beyond_rounding() -> None:
    ours, _, x = both((512, 300), 64)
    assert torch.allclose(ours(x)[:100], ours(x[:100]), rtol=0, atol=1e-5)


@pytest.mark.parametrize("case", ["small", "double", "autocast", "missing"])
def test_elsewhere_torch_s_own_product_is_used(case: str, monkeypatch: pytest.MonkeyPatch) -> None:
    ours, plain, x = both((512, 300), 64)
    plain = plain.float()
    if case == "small":
        x = x[:2]
    elif case == "double":
        x, ours, plain = x.double(), ours.double(), plain.double()
    elif case == "missing":
        monkeypatch.setattr(products, "POINTWISE", None)
    with torch.autocast("cpu", torch.bfloat16, enabled=case == "autocast"):
        assert torch.equal(ours(x), plain(x))


def test_second_derivatives_are_those_of_the_exact_map() -> None:
    ours, exact, x = both((64, 512), 64)
    second = []
    for layer, given in ((ours, x), (exact, x.double())):
        given.requires_grad_()
        (gradient,) = torch.autograd.grad(layer(given).tanh().sum(), given, create_graph=True)
        gradient.square().sum().backward()
        second.append([given.grad, *(p.grad for p in layer.parameters())])
    for found, wanted in zip(*second, strict=True):
        assert found is not None
        assert wanted is not None
        torch.testing.assert_close(found.double(), wanted, rtol=0, atol=float(1e-5 * wanted.abs().max()))
