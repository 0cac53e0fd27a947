"""Class-embedding optimisation against sums over pairs and triples, and where it ends."""

from __future__ import annotations

import math
from itertools import permutations
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from torch.nn.functional import normalize

from avbench.harness.contract.data import Classes
from avbench.harness.errors import DataError
from avbench.harness.testing.simulated import simulated_classes
from avbench.methods.learning.class_embeddings import (
    ClassOptimisation,
    Distance,
    NamedVectors,
    all_triples,
    drawn_triples,
    nearest_distance,
    proximity_loss,
    ranking_loss,
    separation_loss,
)

DISTANCES: tuple[Distance, ...] = ("cosine", "l2", "l1")
distances = pytest.mark.parametrize("kind", DISTANCES)


@pytest.fixture(autouse=True)
def _seeded() -> None:
    torch.manual_seed(0)


def unit(classes: int, width: int, seed: int = 0) -> Tensor:
    draws = torch.randn(classes, width, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    return normalize(draws, dim=1)


def texts(classes: int = 40) -> Tensor:
    """Unit vectors in groups of five that resemble each other, as those of words do."""
    groups = unit(classes // 5 + 1, 300, seed=3).repeat_interleave(5, dim=0)[:classes]
    return normalize(unit(classes, 300, seed=1) + groups + unit(1, 300, seed=2), dim=1)


def slow_distance(x: Tensor, y: Tensor, kind: Distance) -> float:
    differences = [a - b for a, b in zip(x.tolist(), y.tolist(), strict=True)]
    if kind == "cosine":
        return 1 - sum(a * b for a, b in zip(x.tolist(), y.tolist(), strict=True))
    return sum(map(abs, differences)) if kind == "l1" else math.hypot(*differences)


@distances
def test_separation_by_loops(kind: Distance) -> None:
    w = unit(9, 4)
    least = [min(slow_distance(w[c], w[k], kind) for k in range(9) if k != c) for c in range(9)]
    assert separation_loss(w, kind).item() == pytest.approx(-sum(least) / 9)


def test_separation_moves_a_class_and_its_nearest_the_lowest_on_ties() -> None:
    w = normalize(torch.tensor([[1.0, 0.0, 0.0], [0.8, 0.6, 0.0], [0.8, -0.6, 0.0], [-1.0, 0.0, 0.1]]).double(), dim=1)
    w.requires_grad_()
    separation_loss(w, "cosine").backward()  # type: ignore[no-untyped-call]
    # Nearest: of row 0 row 1 (row 2 is as near), of rows 1 and 2 row 0, of row 3 row 1 (row 2 is as near).
    assert w.grad is not None
    torch.testing.assert_close(w.grad[0], (2 * w[1] + w[2]).detach() / 4)
    torch.testing.assert_close(w.grad[1], (2 * w[0] + w[3]).detach() / 4)
    torch.testing.assert_close(w.grad[2], w[0].detach() / 4)
    torch.testing.assert_close(w.grad[3], w[1].detach() / 4)


@distances
def test_proximity_by_loops(kind: Distance) -> None:
    w, text = unit(7, 4), unit(7, 4, seed=1)
    slow = [slow_distance(a, b, kind) for a, b in zip(w, text, strict=True)]
    assert proximity_loss(w, text, kind).item() == pytest.approx(sum(slow) / 7)


@distances
def test_the_gradient_at_the_start_is_finite(kind: Distance) -> None:
    text = unit(7, 4)
    free = text.clone().requires_grad_()
    w = normalize(free, dim=1)
    triples = all_triples(7, text.device)
    loss = proximity_loss(w, text, kind) + separation_loss(w, kind) + ranking_loss(w, text, triples, 1.0)
    loss.backward()  # type: ignore[no-untyped-call]
    assert free.grad is not None
    assert bool(free.grad.isfinite().all())


@pytest.mark.parametrize("margin", [0.0, 0.5, 1.0])
def test_ranking_by_loops_over_all_ordered_triples(margin: float) -> None:
    w, text = unit(6, 4), unit(6, 4, seed=1)
    terms = []
    for c, i, j in permutations(range(6), 3):
        of_text = slow_distance(text[c], text[i], "l2") - slow_distance(text[c], text[j], "l2")
        of_w = slow_distance(w[c], w[i], "l2") - slow_distance(w[c], w[j], "l2")
        terms.append(max(0.0, margin - math.copysign(1, of_text) * of_w))
    triples = all_triples(6, w.device)
    assert triples.shape == (3, len(terms) // 2)
    assert ranking_loss(w, text, triples, margin).item() == pytest.approx(sum(terms) / len(terms))


def test_equal_distances_of_texts_rank_nothing() -> None:
    text = torch.eye(4, dtype=torch.float64)
    w = unit(4, 4).requires_grad_()
    loss = ranking_loss(w, text, all_triples(4, w.device), 0.7)
    loss.backward()  # type: ignore[no-untyped-call]
    assert loss.item() == pytest.approx(0.7)
    assert w.grad is not None
    assert not w.grad.any()


def test_margins_above_all_differences_have_the_same_gradient_and_none_has_none() -> None:
    text = texts(12)

    def gradient(margin: float) -> Tensor:
        free = text.clone().requires_grad_()
        loss = ranking_loss(normalize(free, dim=1), text, all_triples(12, text.device), margin)
        (result,) = torch.autograd.grad(loss, free)
        return result

    torch.testing.assert_close(gradient(0.5), gradient(1.0))
    assert gradient(1.0).abs().max() > 1e-3
    assert not gradient(0.0).any()


@settings(max_examples=50, deadline=None)
@given(classes=st.integers(3, 60), seed=st.integers(0, 2**31))
def test_drawn_triples_are_distinct_classes(classes: int, seed: int) -> None:
    c, i, j = drawn_triples(classes, 500, torch.Generator().manual_seed(seed))
    for x, y in ((c, i), (c, j), (i, j)):
        assert not bool((x == y).any())
    assert 0 <= min(c.min(), i.min(), j.min()) <= max(c.max(), i.max(), j.max()) < classes


def test_drawn_triples_are_uniform() -> None:
    c, i, j = drawn_triples(4, 240_000, torch.Generator().manual_seed(0))
    _, counts = (16 * c + 4 * i + j).unique(return_counts=True)
    assert len(counts) == 4 * 3 * 2
    chi_square = ((counts - 10_000).double().square() / 10_000).sum().item()
    assert chi_square < 50  # 23 degrees of freedom: exceeded once in a thousand seeds


def test_the_drawn_ranking_loss_estimates_that_of_all_triples() -> None:
    w, text = unit(30, 6), unit(30, 6, seed=1)
    exact = ranking_loss(w, text, all_triples(30, w.device), 0.3).item()
    draws = torch.Generator().manual_seed(0)
    estimates = torch.stack([ranking_loss(w, text, drawn_triples(30, 400, draws), 0.3) for _ in range(300)])
    error = estimates.std().item() / math.sqrt(len(estimates))
    assert abs(estimates.mean().item() - exact) < 4 * error < 0.02


def optimisation(**changes: Any) -> ClassOptimisation:
    values: dict[str, Any] = {
        "semantics": "proximity",
        "distance": "cosine",
        "alpha": 0.5,
        "margin": 1.0,
        "triples": 65_536,
        "sums": False,
        "growth": 1.25,
        "steps": 1000,
        "rate": 1e-4,
    }
    return ClassOptimisation(**{**values, **changes})


@distances
@pytest.mark.parametrize("semantics", ["proximity", "ranking"])
def test_classes_move_apart_up_to_the_stop(semantics: str, kind: Distance) -> None:
    text = texts().float()
    w = optimisation(semantics=semantics, distance=kind, triples=2000).run(text, 0)
    assert w.dtype == torch.float32
    torch.testing.assert_close(w.norm(dim=1), torch.ones(len(w)))
    growth = nearest_distance(w) / nearest_distance(text)
    assert 1.25 <= growth + 1e-6 < 1.28
    kept = torch.corrcoef(torch.stack([torch.pdist(text), torch.pdist(w)]))[0, 1]
    assert kept > 0.8


def test_it_stops_at_once_or_after_the_last_step() -> None:
    text = texts().float()
    torch.testing.assert_close(optimisation(growth=1.0).run(text, 0), text)
    one = optimisation(growth=1000.0, steps=1).run(text, 0)
    assert 1e-5 < (one - text).abs().max() < 1.5e-4  # the first step of Adam is at most its rate, then normalised
    more = [nearest_distance(optimisation(growth=1000.0, steps=steps).run(text, 0)).item() for steps in (5, 50, 150)]
    assert more == sorted(more)


@pytest.mark.parametrize("kind", ["cosine", "l2"])
def test_proximity_alone_has_its_minimum_at_the_start(kind: Distance) -> None:
    """Only rounding moves them, which Adam blows up, but not to the length of one step."""
    text = texts().float()
    w = optimisation(alpha=0.0, distance=kind).run(text, 0)
    torch.testing.assert_close(w, text, rtol=0, atol=1e-4)
    assert ranking_loss(w.double(), text.double(), all_triples(len(text), text.device), 0.0) < 1e-8


@pytest.mark.parametrize("scale", [1.0, 3.0, 0.1])
def test_a_growth_of_one_takes_no_step(scale: float) -> None:
    """Also where normalising twice rounds otherwise than once."""
    for classes in range(5, 45, 5):
        text = scale * texts(classes)
        once = normalize(text, dim=1)
        torch.testing.assert_close(optimisation(growth=1.0, rate=1.0).run(text, 0), once, rtol=0, atol=1e-12)


def test_triples_are_those_of_the_seed_and_leave_other_draws_alone() -> None:
    text, state = texts().float(), torch.get_rng_state()
    ranked = [optimisation(semantics="ranking", triples=50, steps=3).run(text, seed) for seed in (0, 0, 1)]
    assert torch.equal(ranked[0], ranked[1])
    assert not torch.equal(ranked[0], ranked[2])
    assert torch.equal(torch.get_rng_state(), state)


def test_without_the_meaning_the_order_of_distances_suffers() -> None:
    text = texts().float()

    def kept(alpha: float) -> float:
        w = optimisation(semantics="ranking", alpha=alpha, growth=1.8, triples=3000).run(text, 0)
        assert nearest_distance(w) >= 1.8 * nearest_distance(text) - 1e-4
        triples = all_triples(len(text), text.device)
        return -ranking_loss(w, text, triples, 0.0).item()

    assert kept(0.5) > kept(1.0)


def test_printed_sums_draw_the_classes_together() -> None:
    """The ranking term then outweighs separation (C - 1)(C - 2)-fold, and the nearest neighbours come nearer."""
    text = texts().float()
    w = optimisation(semantics="ranking", sums=True, triples=2000, steps=150).run(text, 0)
    assert nearest_distance(w) < 0.95 * nearest_distance(text)


@pytest.mark.parametrize("semantics", ["proximity", "ranking"])
def test_sums_are_means_times_their_numbers(semantics: Any) -> None:
    w, text, every = unit(6, 4), unit(6, 4, seed=1), all_triples(6, torch.device("cpu"))
    mean = proximity_loss(w, text, "cosine") if semantics == "proximity" else ranking_loss(w, text, every, 1.0)
    apart = separation_loss(w, "cosine")
    terms = 6 if semantics == "proximity" else 6 * 5 * 4
    for sums, expected in ((False, 0.7 * mean + 0.3 * apart), (True, 0.7 * terms * mean + 0.3 * 6 * apart)):
        loss = optimisation(semantics=semantics, alpha=0.3, sums=sums).loss(w, text, lambda: every)
        torch.testing.assert_close(loss, expected)


def test_vectors_of_any_length_start_on_the_sphere() -> None:
    text = texts().float()
    torch.testing.assert_close(optimisation().run(7 * text, 0), optimisation().run(text, 0), rtol=0, atol=1e-5)


@pytest.mark.parametrize("classes", [1, 2])
def test_too_few_classes_are_refused(classes: int) -> None:
    with pytest.raises(DataError, match="class_optimisation=false"):
        optimisation().run(texts(classes), 0)


def test_classes_are_found_by_name() -> None:
    known = simulated_classes(5, text=4)
    stored = NamedVectors(known.names, 1 + known.vectors)
    other = simulated_classes(3, text=4, seed=1)
    names = (known.names[3], "elsewhere", known.names[0])
    asked = Classes(names, names, 5 * other.vectors, other.trained)
    found = stored(asked)
    torch.testing.assert_close(found[[0, 2]], 1 + known.vectors[[3, 0]])
    torch.testing.assert_close(found[1], other.vectors[1])

    copy = NamedVectors([""] * 5, torch.zeros(5, 4))
    copy.load_state_dict(stored.state_dict())
    assert torch.equal(copy(asked), found)
    assert not list(stored.parameters())


def test_a_step_of_gradient_descent_by_hand() -> None:
    text = torch.nn.functional.normalize(texts(6).double(), dim=1)
    free = text.clone().requires_grad_()
    settings = {"growth": 1000.0, "steps": 1, "rate": 0.5, "optimiser": "gradient-descent"}
    rule = optimisation(**settings)
    rule.loss(torch.nn.functional.normalize(free, dim=1), text, lambda: all_triples(6, text.device)).backward()
    assert free.grad is not None
    by_hand = torch.nn.functional.normalize(free.detach() - 0.5 * free.grad, dim=1)
    torch.testing.assert_close(rule.run(text, 0), by_hand)
    assert not torch.allclose(by_hand, text, atol=1e-3)
