"""The checks of avbench, and that the map is the minimum of the paper's objective."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from avbench import Classes, Clips, Method, TrainingSet
from avbench.harness.testing import check_method

from avbench_eszsl.method import ESZSL, ESZSLOptions


class Alone:
    """The harness's side of a fit, for a method without epochs."""

    epochs, seed, device = 1, 0, torch.device("cpu")

    def epoch_done(self, method: Method) -> float:
        raise AssertionError("a closed form has no epochs")


def problem(clips: int = 40, classes: int = 5, audio: int = 6, visual: int = 4, text: int = 7) -> TrainingSet:
    generator = torch.Generator().manual_seed(0)
    names = tuple(f"class {c}" for c in range(classes))
    known = Classes(
        names, names, torch.randn(classes, text, generator=generator), torch.ones(classes, dtype=torch.bool)
    )
    seen = Clips(
        3 + torch.randn(clips, audio, generator=generator), 9 * torch.randn(clips, visual, generator=generator)
    )
    return TrainingSet(seen, torch.arange(clips) % classes, known)


def fitted(train: TrainingSet, **options: Any) -> ESZSL:
    method = ESZSL(ESZSLOptions(**options))
    method.fit(train, Alone())
    return method


def features(train: TrainingSet) -> torch.Tensor:
    """(d, N) float64: a clip per column, as in the paper."""
    return torch.cat([train.clips.audio, train.clips.visual], 1).double().T


def test_the_method_keeps_the_contract() -> None:
    check_method(ESZSL).raise_if_failed()


@pytest.mark.parametrize(("gamma", "lambda_text"), [(0.5, 2.0), (30.0, 0.1)])
def test_the_map_minimises_the_objective(gamma: float, lambda_text: float) -> None:
    train = problem()
    X, S = features(train), train.classes.vectors.double().T
    Y = 2 * torch.nn.functional.one_hot(train.labels).double() - 1
    fit = fitted(train, gamma=gamma, lambda_text=lambda_text, standardise=False).state()["map"].double()
    V = fit.clone().requires_grad_()

    def objective(V: torch.Tensor) -> torch.Tensor:
        terms = (X.T @ V @ S - Y, V @ S, X.T @ V, V)
        weights = (1, gamma, lambda_text, gamma * lambda_text)
        return torch.stack([w * t.square().sum() for w, t in zip(weights, terms, strict=True)]).sum()

    (at_map,) = torch.autograd.grad(objective(V), V)
    zero = torch.zeros_like(fit).requires_grad_()
    (at_zero,) = torch.autograd.grad(objective(zero), zero)
    assert at_map.norm() < 1e-5 * at_zero.norm()
    for direction in torch.eye(fit.numel(), dtype=torch.float64)[:10]:
        step = 0.1 * direction.view_as(fit)
        assert objective(fit + step) > objective(fit)


def test_standardised_features_have_mean_zero_and_variance_one() -> None:
    train = problem()
    X = features(train)
    standard = (X - X.mean(1, keepdim=True)) / X.std(1, keepdim=True, correction=0)
    by_hand = TrainingSet(Clips(standard.T[:, :6].float(), standard.T[:, 6:].float()), train.labels, train.classes)
    inside, outside = fitted(train), fitted(by_hand, standardise=False)
    torch.testing.assert_close(
        inside.predict(train.clips, train.classes), outside.predict(by_hand.clips, train.classes), atol=1e-5, rtol=1e-4
    )


def test_a_constant_feature_does_no_harm() -> None:
    train = problem()
    train.clips.audio[:, 2] = 5.0
    assert fitted(train).predict(train.clips, train.classes).isfinite().all()


def test_many_clips_are_taken_in_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    train = problem()
    whole = fitted(train).state()["map"]
    monkeypatch.setattr("avbench_eszsl.method.ROWS", 7)
    torch.testing.assert_close(fitted(train).state()["map"], whole)
