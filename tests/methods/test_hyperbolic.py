"""Spaces of constant curvature and the alignment loss against slow formulas and identities."""

from __future__ import annotations

import math
from itertools import pairwise

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from avbench.methods.learning.hyperbolic import EDGE, Euclidean, Hyperbolic, Space, Sphere, alignment, similarities

SIMILARITIES = ("cosine", "norm-product", "distance")
CURVED: tuple[type[Hyperbolic] | type[Sphere], ...] = (Hyperbolic, Sphere)
ALL_SPACES = [Euclidean(), *(space(k) for space in CURVED for k in (1e-6, 0.2, 1.0))]


def rows(count: int, size: int = 5, length: float = 1.0, seed: int = 0) -> Tensor:
    """Random rows, float64, of norms spread around ``length``."""
    return length * torch.randn(count, size, generator=torch.Generator().manual_seed(seed)).double() / size**0.5


def inside(count: int, k: float, seed: int = 0) -> Tensor:
    """Rows inside the ball of curvature -k, away from its edge."""
    x = rows(count, seed=seed)
    return x / x.norm(dim=1, keepdim=True) * (0.95 * torch.rand(count, 1).double() / math.sqrt(k))


def projected(x: Tensor, k: float) -> Tensor:
    """One row moved into the ball (card section 3.1)."""
    radius = (1 - 1e-3) / math.sqrt(k)
    return x * min(1.0, radius / max(x.norm().item(), 1e-5))


def ball_log(z: Tensor, k: float) -> Tensor:
    reach = math.sqrt(k) * z.norm().item()
    return z * (math.atanh(min(reach, 1 - 1e-5)) / reach)


def ball_exp(v: Tensor, k: float) -> Tensor:
    reach = math.sqrt(k) * v.norm().item()
    return v * (math.tanh(reach) / reach)


def sphere_exp(v: Tensor, k: float) -> Tensor:
    reach = math.sqrt(k) * v.norm().item()
    return v * (math.tan(reach) / reach)


def moebius(x: Tensor, y: Tensor, k: float) -> Tensor:
    """Moebius sum in curvature -k (eq. 2; k < 0 is the sphere)."""
    xy, xx, yy = (x @ y).item(), (x @ x).item(), (y @ y).item()
    return ((1 + 2 * k * xy + k * yy) * x + (1 - k * xx) * y) / (1 + 2 * k * xy + k * k * xx * yy)


def on_model(x: Tensor, space: Hyperbolic | Sphere) -> Tensor:
    """A row as a unit vector one dimension up, on the hyperboloid or the sphere; the last coordinate is the height."""
    sign = -1 if isinstance(space, Sphere) else 1
    k = float(space.k)
    kxx = sign * k * (x @ x)
    return torch.cat([2 * math.sqrt(k) * x, (1 + kxx).reshape(1)]) / (1 - kxx)


def model_distance(x: Tensor, y: Tensor, space: Hyperbolic | Sphere) -> float:
    """Geodesic distance as an angle, hyperbolic or plain, between unit vectors."""
    a, b = on_model(x, space), on_model(y, space)
    flat, height = (a[:-1] @ b[:-1]).item(), (a[-1] * b[-1]).item()
    sphere = isinstance(space, Sphere)
    angle = math.acos(max(-1.0, min(1.0, height + flat))) if sphere else math.acosh(max(1.0, height - flat))
    return angle / math.sqrt(float(space.k))


@pytest.mark.parametrize("k", [1e-6, 0.01, 0.2, 1.0, 30.0])
def test_the_ball_projects_and_takes_the_logarithm(k: float) -> None:
    x = torch.cat([inside(6, k), rows(6, length=3 / math.sqrt(k)), rows(6, length=100.0)])
    expected = torch.stack([ball_log(projected(row, k), k) for row in x])
    torch.testing.assert_close(Hyperbolic(k).tangent(x), expected, rtol=1e-9, atol=0)
    torch.testing.assert_close(Hyperbolic(k).tangent(x.float()), expected.float(), rtol=2e-4, atol=0)


@pytest.mark.parametrize("k", [0.01, 0.2, 1.0])
def test_exponential_and_logarithm_undo_each_other(k: float) -> None:
    points, angles = inside(8, k), rows(8, length=0.5 / math.sqrt(k))
    back = torch.stack([ball_exp(v, k) for v in Hyperbolic(k).tangent(points)])
    torch.testing.assert_close(back, points, rtol=1e-9, atol=0)
    vectors = rows(8, length=1.5 / math.sqrt(k))
    torch.testing.assert_close(Hyperbolic(k).tangent(torch.stack([ball_exp(v, k) for v in vectors])), vectors)
    back = torch.stack([sphere_exp(v, k) for v in Sphere(k).tangent(vectors)])
    torch.testing.assert_close(back, vectors)
    torch.testing.assert_close(Sphere(k).tangent(torch.stack([sphere_exp(v, k) for v in angles])), angles)


def test_from_the_edge_on_lengths_are_constant() -> None:
    k = 0.2
    x = torch.linspace(0.5, 3, 26, dtype=torch.float64)[:, None] * torch.tensor(
        [[EDGE / math.sqrt(k), 0]], dtype=torch.float64
    )
    lengths = Hyperbolic(k).tangent(x).norm(dim=1)
    assert (lengths.diff()[:5] > 0).all()
    torch.testing.assert_close(lengths[5:], torch.full((21,), math.atanh(EDGE) / math.sqrt(k)).double())
    assert lengths[-1].item() == pytest.approx(8.50, abs=0.005)
    assert lengths[-1].item() * math.sqrt(k) == pytest.approx(3.800, abs=5e-4)


@pytest.mark.parametrize("space", CURVED)
def test_without_curvature_the_space_is_euclidean(space: type[Hyperbolic] | type[Sphere]) -> None:
    x = rows(9, length=3)
    deviation = {k: (space(k).tangent(x) - x).abs().max().item() for k in (1e-4, 1e-6)}
    assert 0 < deviation[1e-6] < 1e-4
    assert deviation[1e-6] == pytest.approx(deviation[1e-4] / 100, rel=0.02)  # first order in k
    torch.testing.assert_close(space(1e-8).geodesics(x), Euclidean().geodesics(x), rtol=1e-5, atol=1e-12)
    torch.testing.assert_close(Euclidean().geodesics(x), 2 * (x[:, None] - x).norm(dim=-1))
    assert Euclidean().tangent(x) is x


@pytest.mark.parametrize("k", [0.01, 0.2, 1.0])
def test_geodesics_are_lengths_of_moebius_differences(k: float) -> None:
    x = inside(9, k)
    for space, sign, inverse in ((Hyperbolic(k), 1, math.atanh), (Sphere(k), -1, math.atan)):
        moved = [[moebius(-a, b, sign * k).norm().item() for b in x] for a in x]
        expected = [[2 / math.sqrt(k) * inverse(math.sqrt(k) * m) for m in line] for line in moved]
        torch.testing.assert_close(
            space.geodesics(x), torch.tensor(expected, dtype=torch.float64), rtol=1e-8, atol=1e-12
        )


@pytest.mark.parametrize("k", [0.01, 0.2, 1.0])
@pytest.mark.parametrize("space", CURVED)
def test_geodesics_are_angles_on_the_model_surface(space: type[Hyperbolic] | type[Sphere], k: float) -> None:
    x = inside(9, k)
    expected = torch.tensor([[model_distance(a, b, space(k)) for b in x] for a in x], dtype=torch.float64)
    torch.testing.assert_close(space(k).geodesics(x), expected, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("space", ALL_SPACES, ids=str)
def test_geodesics_are_a_metric(space: Space) -> None:
    x = rows(12, length=0.6)
    lengths = space.geodesics(x)
    torch.testing.assert_close(lengths, lengths.T)
    assert torch.equal(lengths.diagonal(), torch.zeros(12).double())
    assert (lengths + torch.eye(12) > 0).all()
    assert (lengths[:, :, None] + lengths[None] - lengths[:, None] > -1e-9).all()
    from_origin = space.geodesics(torch.cat([torch.zeros(1, 5).double(), x]))[0, 1:]
    torch.testing.assert_close(from_origin, 2 * space.tangent(x).norm(dim=1))


coordinates = st.lists(st.floats(-0.5, 0.5), min_size=3, max_size=3).map(lambda c: torch.tensor(c).double())


@given(coordinates, coordinates, coordinates, st.sampled_from([-1.0, -0.1, 0.1, 1.0]))
@settings(max_examples=60, deadline=None)
def test_moebius_identities(a: Tensor, x: Tensor, y: Tensor, k: float) -> None:
    zero = torch.zeros(3).double()
    assert torch.equal(moebius(zero, x, k), x)
    torch.testing.assert_close(moebius(-x, x, k), zero)
    torch.testing.assert_close(moebius(-a, moebius(a, x, k), k), x)  # left cancellation
    assert moebius(x, y, k).norm().item() == pytest.approx(moebius(y, x, k).norm().item())
    # Moving all points by the same left sum keeps distances.
    space = Hyperbolic(k) if k > 0 else Sphere(-k)
    if k < 0 or max(moebius(a, point, k).norm().item() for point in (x, y)) < EDGE:
        moved = space.geodesics(torch.stack([moebius(a, x, k), moebius(a, y, k)]))[0, 1].item()
        assert moved == pytest.approx(space.geodesics(torch.stack([x, y]))[0, 1].item(), rel=1e-4, abs=1e-7)


def test_two_points_at_the_edge() -> None:
    k = 0.2
    outside = torch.tensor([[50.0, 0.0], [0.0, 50.0], [-50.0, 0.0], [51.0, 0.0]])
    at_edge = outside.double() / outside.double().norm(dim=1, keepdim=True) * (EDGE / math.sqrt(k))
    expected = Hyperbolic(k).geodesics(at_edge)
    torch.testing.assert_close(Hyperbolic(k).geodesics(outside).double(), expected, rtol=1e-4, atol=1e-3)
    assert expected[0, 2].item() == pytest.approx(4 * math.atanh(EDGE) / math.sqrt(k))
    antipodes = torch.tensor([[1.0], [-1.0]])
    assert Sphere(1.0).geodesics(antipodes)[0, 1].item() == pytest.approx(math.pi, abs=0.01)


@pytest.mark.parametrize("per_row", [False, True])
@pytest.mark.parametrize("space", CURVED)
@pytest.mark.parametrize("similarity", SIMILARITIES)
def test_gradients_are_finite(similarity: str, space: type[Hyperbolic] | type[Sphere], per_row: bool) -> None:
    x = torch.randn(9, 4, generator=torch.Generator().manual_seed(0))
    lengths = torch.tensor([0, 1e-30, 1e-8, 1e-4, 1, EDGE / 0.5**0.5, 1 / 0.5**0.5, 1e3, 1e10])[:, None]
    x = torch.nn.functional.normalize(x) * lengths
    x = torch.cat([x, -x, x]).requires_grad_()
    y = torch.randn(27, 4, generator=torch.Generator().manual_seed(1)).requires_grad_()
    k = (torch.full((27, 1), 0.5) if per_row else torch.tensor(0.5)).requires_grad_()
    loss = alignment(x, y, space(k if per_row else 0.5), similarity, frobenius=False)
    loss.backward()
    assert loss.isfinite()
    assert x.grad is not None
    assert x.grad.isfinite().all()
    assert y.grad is not None
    assert y.grad.isfinite().all()
    if per_row:
        assert k.grad is not None
        assert k.grad.isfinite().all()


@pytest.mark.parametrize("space", CURVED)
@pytest.mark.parametrize("similarity", SIMILARITIES)
def test_gradients_are_those_of_finite_differences(similarity: str, space: type[Hyperbolic]) -> None:
    x, y = (rows(4, length=0.7, seed=seed).requires_grad_() for seed in (0, 1))
    k = torch.linspace(0.1, 0.6, 4).double()[:, None].requires_grad_()

    def loss(x: Tensor, y: Tensor, k: Tensor) -> Tensor:
        return alignment(x, y, space(k), similarity, frobenius=True)

    assert torch.autograd.gradcheck(loss, (x, y, k))


def slow_similarity(a: Tensor, b: Tensor, space: Space, similarity: str) -> float:
    """One entry of the similarity matrix; the space has one number as its curvature."""
    if similarity == "distance":
        if isinstance(space, Euclidean):
            return -2 * math.dist(a.tolist(), b.tolist())
        assert isinstance(space, Hyperbolic | Sphere)
        k = float(space.k)
        if isinstance(space, Hyperbolic):
            a, b = projected(a, k), projected(b, k)
        return -model_distance(a, b, space)
    u, v = space.tangent(a[None])[0], space.tangent(b[None])[0]
    if similarity == "norm-product":
        return math.hypot(*u.tolist()) * math.hypot(*v.tolist())
    return sum((u * v).tolist()) / max(math.hypot(*u.tolist()), 1e-8) / max(math.hypot(*v.tolist()), 1e-8)


@pytest.mark.parametrize("frobenius", [False, True])
@pytest.mark.parametrize("similarity", SIMILARITIES)
@pytest.mark.parametrize("space", [Euclidean(), Hyperbolic(0.3), Sphere(0.3)], ids=str)
def test_alignment_by_pairs(space: Space, similarity: str, frobenius: bool) -> None:
    visual, audio = rows(2 * 5, length=2).view(2, 5, 5), rows(2 * 5, length=1, seed=1).view(2, 5, 5)
    for half, loss in enumerate(alignment(visual, audio, space, similarity, frobenius)):
        entries = [
            [[slow_similarity(a, b, space, similarity) for b in x[half]] for a in x[half]] for x in (visual, audio)
        ]
        scale = [math.sqrt(sum(e * e for line in m for e in line)) if frobenius else 1.0 for m in entries]
        difference = [entries[0][i][j] / scale[0] - entries[1][i][j] / scale[1] for i in range(5) for j in range(5)]
        assert loss.item() == pytest.approx(sum(d * d for d in difference) / 25, rel=1e-5)


def test_every_row_has_its_own_curvature() -> None:
    x, k = rows(6, length=2), torch.linspace(0.05, 2, 6).double()[:, None]
    for space in CURVED:
        alone = torch.cat([space(float(c)).tangent(row[None]) for row, c in zip(x, k, strict=True)])
        torch.testing.assert_close(space(k).tangent(x), alone)
        torch.testing.assert_close(space(k).geodesics(x), space(k.mean().item()).geodesics(x))


def loss_and_gradient(space: Space, similarity: str) -> tuple[Tensor, Tensor, Tensor]:
    generator = torch.Generator().manual_seed(0)
    visual, audio = (torch.randn(2, 40, 30, generator=generator).relu().requires_grad_() for _ in range(2))
    loss = alignment(visual, audio, space, similarity, frobenius=False).sum()
    return loss, *torch.autograd.grad(loss, (visual, audio))


PER_CLIP = torch.logspace(-6, 0, 80).view(2, 40, 1)


@pytest.mark.parametrize(
    "space", [*(s(k) for s in CURVED for k in (1e-6, 0.01, 0.2, 1.0)), Hyperbolic(PER_CLIP), Sphere(PER_CLIP)]
)
def test_under_cosine_no_curvature_can_matter(space: Space) -> None:
    """The maps change lengths, never directions (card section 3.3)."""
    for value, euclidean in zip(
        loss_and_gradient(space, "cosine"), loss_and_gradient(Euclidean(), "cosine"), strict=True
    ):
        torch.testing.assert_close(value, euclidean, rtol=2e-5, atol=1e-8)


def test_under_cosine_curvature_has_no_gradient() -> None:
    x, y = (torch.randn(20, 30, generator=torch.Generator().manual_seed(seed)) for seed in (0, 1))
    for space in CURVED:
        gradients = {}
        for similarity in SIMILARITIES:
            k = torch.full((20, 1), 0.01, requires_grad=True)
            (gradient,) = torch.autograd.grad(alignment(x, y, space(k), similarity, False), k)
            gradients[similarity] = gradient.norm().item()
        assert gradients["cosine"] < 1e-6
        assert gradients["norm-product"] > 0.1
        assert gradients["distance"] > 0.1


@pytest.mark.parametrize("similarity", ["norm-product", "distance"])
def test_without_cosine_curvature_matters(similarity: str) -> None:
    euclidean, *_ = loss_and_gradient(Euclidean(), similarity)
    for space in CURVED:
        losses = [loss_and_gradient(space(k), similarity)[0].item() for k in (0.001, 0.01, 0.2)]
        ordered = sorted([euclidean.item(), *losses])
        assert all(more > 1.03 * less for less, more in pairwise(ordered))


@pytest.mark.parametrize("similarity", SIMILARITIES)
@pytest.mark.parametrize("space", ALL_SPACES, ids=str)
def test_all_zero_encodings_do_no_harm(space: Space, similarity: str) -> None:
    visual = torch.randn(6, 4, generator=torch.Generator().manual_seed(0)).relu()
    visual[2] = 0
    visual.requires_grad_()
    audio = torch.zeros(6, 4, requires_grad=True)
    for frobenius in (False, True):
        loss = alignment(visual, audio, space, similarity, frobenius)
        gradients = torch.autograd.grad(loss, (visual, audio))
        assert loss.isfinite()
        assert all(g.isfinite().all() for g in gradients)
    if similarity == "cosine":
        assert torch.equal(similarities(audio, space, "cosine"), torch.zeros(6, 6))


def test_product_of_norms_is_a_barrier() -> None:
    """Nothing happens while both encodings of every clip are outside the radius; inside, they are pushed out."""
    k, radius = 0.2, EDGE / math.sqrt(0.2)
    visual, audio = torch.randn(2, 8, 30, generator=torch.Generator().manual_seed(0)).relu()
    visual, audio = (1.1 * radius * torch.nn.functional.normalize(x) for x in (visual, audio))
    visual.requires_grad_()
    loss = alignment(visual, audio, Hyperbolic(k), "norm-product", False)
    (gradient,) = torch.autograd.grad(loss, visual)
    assert loss.item() < 1e-6
    assert gradient.norm().item() < 1e-6
    shrunk = visual.detach().clone()
    shrunk[3] *= 0.9 / 1.1
    shrunk.requires_grad_()
    loss = alignment(shrunk, audio, Hyperbolic(k), "norm-product", False)
    (gradient,) = torch.autograd.grad(loss, shrunk)
    assert loss.item() > 1
    assert (gradient[3] @ shrunk[3]).item() < 0  # descent lengthens it
    others = torch.cat([gradient[:3], gradient[4:]])
    assert others.norm().item() < 1e-5 * gradient[3].norm().item()


def test_magnitudes_of_the_card() -> None:
    generator = torch.Generator().manual_seed(0)
    visual, audio = (torch.randn(256, 300, generator=generator).relu() for _ in range(2))
    visual.requires_grad_()
    plain = 1e-3 * alignment(visual, audio, Hyperbolic(0.2), "cosine", False)
    assert plain.item() == pytest.approx(3.6e-6, rel=0.05)
    assert alignment(visual, audio, Hyperbolic(0.2), "cosine", True).item() == pytest.approx(5e-7, rel=0.1)
    (gradient,) = torch.autograd.grad(plain, visual)
    along = (gradient * visual).sum(1).abs()
    assert (along < 1e-4 * gradient.norm(dim=1) * visual.norm(dim=1)).all()  # orthogonal to each encoding
