"""Runs in company: each has the same bits as alone, and an exception or a break ends them all."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from dataclasses import replace

import numpy as np
import pytest
import torch
from simulated_features import ridge, simulated_features

from avbench.harness.evaluation.protocol import ALIGNED
from avbench.harness.evaluation.two_stages import Result, run_two_stages
from avbench.harness.running.company import Company, Pause
from avbench.methods.avca import AVCA
from avbench.methods.cjme import CJME
from avbench.methods.hyper_alignment import HyperAlignment
from avbench.methods.learning.training import BatchMethod

CPU = torch.device("cpu")


def drawn(pause: Pause, seed: int, rounds: int = 4) -> list[float]:
    """Numbers from all global generators, with pauses between them."""
    torch.manual_seed(seed)
    np.random.seed(seed)
    random.seed(seed)
    found = []
    for _ in range(rounds):
        found += [float(torch.rand(())), float(np.random.random()), random.random()]
        pause()
    return found


def calls(number: int) -> list[Callable[[Pause], list[float]]]:
    return [lambda pause, seed=seed: drawn(pause, seed, rounds=2 + seed) for seed in range(number)]


@pytest.mark.parametrize("size", [1, 2, 3, 9])
def test_each_call_draws_what_it_draws_alone(size: int) -> None:
    alone = {seed: drawn(lambda: None, seed, rounds=2 + seed) for seed in range(5)}
    assert dict(Company[list[float]](CPU, size).results(calls(5))) == alone


def test_the_caller_s_generators_are_left_as_they_were() -> None:
    torch.manual_seed(3)
    before = torch.get_rng_state()
    list(Company[list[float]](CPU, 2).results(calls(3)))
    assert torch.equal(torch.get_rng_state(), before)


def test_turns_go_round() -> None:
    order: list[int] = []

    def call(number: int) -> Callable[[Pause], int]:
        def run(pause: Pause) -> int:
            for _ in range(3):
                order.append(number)
                pause()
            return number

        return run

    list(Company[int](CPU, 2).results([call(0), call(1), call(2)]))
    assert order[:6] == [0, 1, 0, 1, 0, 1]
    assert order[6:] == [2, 2, 2]


def test_an_exception_breaks_all_off() -> None:
    def fails(pause: Pause) -> list[float]:
        pause()
        raise RuntimeError("no luck")

    ended: list[bool] = []

    def endless(pause: Pause) -> list[float]:
        try:
            while True:
                pause()
        finally:
            ended.append(True)

    with pytest.raises(RuntimeError, match="no luck"):
        list(Company[list[float]](CPU, 2).results([fails, endless]))
    assert ended == [True]


def test_a_break_of_the_caller_ends_all() -> None:
    started: list[bool] = []
    ended: list[bool] = []

    def endless(pause: Pause) -> int:
        started.append(True)
        try:
            while True:
                pause()
        finally:
            ended.append(True)

    results: Iterator[tuple[int, int]] = Company[int](CPU, 3).results([lambda pause: 7, endless, endless])
    assert next(results) == (0, 7)
    results.close()  # type: ignore[attr-defined]
    assert ended == started


def same(one: Result, other: Result) -> bool:
    return replace(one, seconds=(0, 0), evidence={}) == replace(other, seconds=(0, 0), evidence={}) and all(
        np.array_equal(a, b)
        for name in one.evidence
        for a, b in zip(one.evidence[name].to_arrays().values(), other.evidence[name].to_arrays().values(), strict=True)
    )


@pytest.mark.parametrize(
    "device", [CPU, pytest.param(torch.device("cuda"), marks=pytest.mark.cuda)], ids=["cpu", "cuda"]
)
def test_a_run_has_the_same_bits_alone_or_in_company(device: torch.device) -> None:
    features = simulated_features().to(device)
    options = AVCA.Options(epochs=2, batches_per_epoch=5, batch_size=16)

    def run(seed: int, pause: Pause) -> Result:
        return run_two_stages(lambda: AVCA(options), features, ALIGNED, epochs=2, seed=seed, pause=pause)

    alone = [run(seed, lambda: None) for seed in range(3)]
    together = Company[Result](device, 3).results([lambda pause, seed=seed: run(seed, pause) for seed in range(3)])
    for seed, result in together:
        assert same(result, alone[seed])
    assert not same(alone[0], alone[1])


@pytest.mark.cuda
@pytest.mark.parametrize("members", [2, 4])
@pytest.mark.parametrize("kind", [AVCA, CJME, HyperAlignment], ids=lambda kind: kind.info.slug)
def test_captured_graphs_share_nothing(kind: type[BatchMethod], members: int) -> None:
    """At a size where the graphs of several runs replay at once: with one workspace for all, HM differed by points."""
    device = torch.device("cuda")
    features = simulated_features(clips=24, width=512).to(device)
    options = kind.Options(epochs=2, batches_per_epoch=100, batch_size=256)

    def run(seed: int, pause: Pause) -> Result:
        return run_two_stages(lambda: kind(options), features, ALIGNED, epochs=2, seed=seed, pause=pause)

    alone = [run(seed, lambda: None) for seed in range(members)]
    calls = [lambda pause, seed=seed: run(seed, pause) for seed in range(members)]
    for seed, result in Company[Result](device, members).results(calls):
        assert same(result, alone[seed]), f"seed {seed}"


def test_methods_without_epochs_take_turns_too() -> None:
    features = simulated_features()
    pauses: list[int] = []
    run_two_stages(ridge, features, ALIGNED, epochs=3, seed=0, pause=lambda: pauses.append(1))
    assert len(pauses) >= 4
