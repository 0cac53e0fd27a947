"""A seed that trains with others against the same seed alone: equal draws, and equal scores up to rounding."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from avbench.harness.contract.data import TrainingSet
from avbench.harness.contract.method import Method
from avbench.harness.evaluation.compiler import Compiler
from avbench.harness.evaluation.random_state import seed_generators
from avbench.harness.plugins.registry import plugins
from avbench.harness.testing.simulated import simulated_classes, simulated_training
from avbench.methods.learning.blocks import dropout_mask
from avbench.methods.learning.mapped import Wanted, drawn
from avbench.methods.learning.training import BatchMethod

CPU = torch.device("cpu")
HMS = [30.0, 20.0, 10.0, 9.0, 8.0, 7.0]
"""Of the epochs: after the fifth the learning rate falls."""
STEPS = 4
METHODS = (
    "ale", "apn", "avca", "avgzslnet", "cjme", "devise", "ez-avgzl", "hyper-alignment", "hyper-multiple",
    "hyper-single", "mdii", "sje",
)  # fmt: skip


@pytest.fixture(autouse=True)
def _importable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(Path(__file__).parents[2] / "benchmarks"))


@dataclass
class Told:
    """The harness's side of a fit, alone or with others, that ends after so many epochs."""

    seed: int
    epochs: int
    together: bool = False
    done: int = 0
    device: torch.device = CPU
    compiler: Compiler | None = None

    def epoch_done(self, method: Method) -> Any:
        self.done += 1
        return None if self.together and self.done == self.epochs else HMS[self.done - 1]


def fitted(kind: type[BatchMethod], train: TrainingSet, epochs: Sequence[int], **given: Any) -> list[list[Tensor]]:
    """Scores of the training clips: of each seed alone, and of all together."""
    o = {"batches_per_epoch": STEPS, "batch_size": 16, "learning_rate": 1e-3}
    # The factor of a mask, 1 / 0.7, is not exact in float32.
    o |= {name: 0.3 for name in kind.Options.model_fields if name.startswith("dropout")}
    options = kind.Options.model_validate(o | given)
    assert kind.alone_because(options, "averaged") == ""
    alone = [kind(options) for _ in epochs]
    for seed, method in enumerate(alone):
        seed_generators(seed)
        method.fit(train, Told(seed, epochs[seed]))
    together = [kind(options) for _ in epochs]
    companions = [Told(seed, count, together=True) for seed, count in enumerate(epochs)]
    kind.fit_together(together, train, companions)
    return [[method.predict(train.clips, train.classes) for method in methods] for methods in (alone, together)]


def case(slug: str) -> tuple[type[BatchMethod], TrainingSet, dict[str, Any]]:
    kind = plugins().method(slug).method
    assert issubclass(kind, BatchMethod)
    train = simulated_training()
    if kind.info.uses_unseen_names:
        train = replace(train, unseen=simulated_classes(4, seed=5))
    given: dict[str, Any] = {"mdii": {"masks": False}, "ez-avgzl": {"layers": 1}}.get(slug, {})
    return kind, train, given


@pytest.mark.parametrize("slug", METHODS)
def test_in_double_precision_scores_agree_after_twenty_steps(slug: str) -> None:
    from double_precision import doubled

    kind, train, given = case(slug)
    alone, together = fitted(doubled(kind), train, [5, 5], **given)
    for one, other in zip(alone, together, strict=True):
        assert float((one - other).abs().max()) < 1e-9 * max(1.0, float(one.abs().max()))
    assert float((alone[0] - alone[1]).abs().max()) > 1e-3, "seeds must differ"


def test_extra_passes_agree_too() -> None:
    """``after_step`` draws masks and moves running statistics; seeds end after different epochs, one after the plateau
    has lowered its rate."""
    from double_precision import doubled

    kind, train, given = case("avca")
    alone, together = fitted(doubled(kind), train, [6, 1, 2], reference_batch_norm=True, **given)
    for one, other in zip(alone, together, strict=True):
        assert float((one - other).abs().max()) < 1e-8 * float(one.abs().max())


@pytest.mark.parametrize("slug", ["avca", "cjme", "sje"])
def test_in_single_precision_the_difference_is_small_beside_that_of_seeds(slug: str) -> None:
    kind, train, given = case(slug)
    alone, together = fitted(kind, train, [3, 3], **given)
    for one, other in zip(alone, together, strict=True):
        assert float((one - other).abs().max()) < 0.05 * float((alone[0] - alone[1]).abs().max())


def test_masks_of_a_seed_are_those_that_it_draws_alone() -> None:
    wanted = [Wanted((3, 5), 0.3), Wanted((2, 2, 7), 0.0), Wanted((16, 8), 0.5)]
    generators = [torch.Generator().manual_seed(seed) for seed in (3, 7)]
    for _ in range(2):
        found = drawn(wanted, generators, CPU)
        assert [mask.shape for mask in found] == [(2, *w.shape) for w in wanted]
    for row, seed in enumerate((3, 7)):
        torch.manual_seed(seed)
        for _ in range(2):
            alone = [dropout_mask(w.shape, w.rate, CPU) for w in wanted]
        for one, all_seeds in zip(alone, found, strict=True):
            assert torch.equal(all_seeds[row], one)
