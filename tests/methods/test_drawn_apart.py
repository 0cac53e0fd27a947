"""Runs of one seed that differ in the loss share their first weights and every later draw."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import nn

from avbench.harness.plugins.registry import plugins
from avbench.harness.testing.simulated import SimulatedProgress, Task, fitted
from avbench.methods.learning.batch import Dims
from avbench.methods.learning.drawn_apart import drawn_apart
from avbench.methods.learning.training import BatchMethod

TASK = Task(audio=16, visual=24)
RANKING = {"semantics": "ranking", "ranking_triples": 40}
FITTED_FAST = {
    "ez-avgzl": {"layers": 1, "heads": 2, "head_width": 8},
    "fvaegan-d2": {"synthetic": 5, "classifier_epochs": 1},
}
# All losses that options choose, but for APN's: it draws nothing after its first weights.
PAIRS: list[tuple[str, dict[str, Any], dict[str, Any]]] = [
    *(("avca", {}, {f"loss_{loss}": False}) for loss in ("t", "rec", "ct", "w", "r")),
    ("hyper-single", {}, {"geometry": "e"}),
    ("hyper-single", {}, {"similarity": "norm-product", "train_head": False}),
    ("hyper-single", {"location": "attended"}, {"location": "projected"}),
    ("hyper-multiple", {}, {"geometry": "h+e+s+h"}),
    ("ez-avgzl", {}, {"class_optimisation": False}),
    ("ez-avgzl", {}, RANKING),
    ("ez-avgzl", RANKING, {**RANKING, "margin": 0.0, "alpha": 0.1}),
    ("ez-avgzl", {}, {"contrast": "batch"}),
    ("mdii", {}, {"masks": False}),
    ("mdii", {"masks": False}, {"masks": False, "distillation": False}),
    ("mdii", {}, {"mask_weight": 0.0}),
    ("mdii", {}, {"masked_share": 0.4, "saliency": "signed"}),
    ("ale", {}, {"loss_regression": True}),
    ("avgzslnet", {}, {"reconstruction": "mse"}),
    ("cjme", {}, {"triplet_weighting": "batch"}),
    ("devise", {}, {"hinge": False}),
    ("fvaegan-d2", {}, {"d2_weight": 1.0}),
    ("sje", {}, {"hinge": False}),
]


def method(slug: str, options: dict[str, Any]) -> BatchMethod:
    kind = plugins().method(slug).method
    assert issubclass(kind, BatchMethod)
    given = {"batches_per_epoch": 2, "batch_size": 8, **FITTED_FAST.get(slug, {}), **options}
    return kind(kind.Options.model_validate(given))


@pytest.mark.parametrize(("slug", "first", "second"), PAIRS, ids=lambda value: str(value))
def test_the_loss_changes_no_draw(slug: str, first: dict[str, Any], second: dict[str, Any]) -> None:
    train = TASK.training_set(unseen_names=slug == "ez-avgzl")
    starts, ends = [], []
    for options in (first, second):
        torch.manual_seed(3)
        starts.append(nn.ModuleDict(method(slug, options).build(Dims.of(train))).state_dict())
        fitted(method(slug, options), train, SimulatedProgress(seed=3))
        ends.append(torch.get_rng_state())
    shared = {name for name in starts[0].keys() & starts[1].keys() if not name.startswith("curvatures")}
    assert shared
    for name in shared:
        assert torch.equal(starts[0][name], starts[1][name]), name
    assert torch.equal(*ends)


@pytest.mark.parametrize("slug", ["hyper-alignment", "hyper-single", "hyper-multiple"])
def test_alignment_draws_nothing_beyond_avca(slug: str) -> None:
    """Cosine alignment with any curvatures is then Euclidean alignment up to rounding, whatever was predicted."""
    train = TASK.training_set(unseen_names=False)
    fitted(method("avca", {}), train)
    state = torch.get_rng_state()
    fitted(method(slug, {}), train)
    assert torch.equal(torch.get_rng_state(), state)


def test_what_is_drawn_apart_is_seeded_by_the_run_and_is_no_later_draw() -> None:
    drawn = []
    for seed in (0, 0, 1):
        torch.manual_seed(seed)
        with drawn_apart():
            drawn.append(torch.rand(8))
        drawn.append(torch.rand(8))
    assert torch.equal(drawn[0], drawn[2])
    assert torch.equal(drawn[1], drawn[3])
    assert not any(torch.equal(drawn[0], other) for other in (drawn[1], drawn[4], drawn[5]))
