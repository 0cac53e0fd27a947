"""The benchmark of seeds in company: it measures pairs, sees what differs, and calls small what is small."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy import stats
from simulated_features import simulated_features

from avbench.harness.evaluation.two_stages import Result
from avbench.methods.sje import SJE

BUDGET = {"epochs": 2, "batches_per_epoch": 3, "batch_size": 8}


@pytest.fixture(autouse=True)
def _importable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(Path(__file__).parents[2] / "benchmarks"))


def rows(seeds: int) -> dict[str, dict[str, Any]]:
    from seeds_together import pairs

    return {row["of"]: row for row in pairs(SJE, simulated_features(), range(seeds), 2, BUDGET).rows()}


def test_company_is_below_the_noise_of_seeds() -> None:
    found = rows(3)
    for metric in ("S", "U", "HM", "ZSL"):
        assert found[metric]["verdict"] == "below seed noise"
        assert found[metric]["largest"] < 1e-9
        assert found[metric]["p"] == 1
    assert found["scores, share"]["difference"] < 1e-4


def test_company_that_trains_other_seeds_is_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    import seeds_together

    true: Callable[..., list[Result]] = seeds_together.run_together

    def others(*given: Any, seeds: Sequence[int], **rest: Any) -> list[Result]:
        return true(*given, seeds=[seed + 10 for seed in seeds], **rest)

    monkeypatch.setattr(seeds_together, "run_together", others)
    found = rows(4)
    assert found["scores, share"]["difference"] > 0.1
    assert "not shown to be below seed noise" in {found[metric]["verdict"] for metric in ("S", "U", "HM", "ZSL")}


def test_the_interval_is_that_of_the_paired_test() -> None:
    from paired import Paired
    from seeds_together import paired_p

    draws = np.random.default_rng(0)
    base = draws.normal(30, 5, 12)
    near, far = base + draws.normal(0.1, 0.5, 12), base + draws.normal(8, 0.5, 12)
    for values, verdict in ((near, "below seed noise"), (far, "not shown to be below seed noise")):
        found, expected = Paired.of(list(values), list(base)), stats.ttest_rel(values, base)
        assert (found.low, found.high) == pytest.approx(tuple(expected.confidence_interval(0.95)))
        assert found.seed_sd == pytest.approx(base.std(ddof=1))
        assert found.verdict == verdict
        assert paired_p(list(values), list(base)) == pytest.approx(expected.pvalue)
