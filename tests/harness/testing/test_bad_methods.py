"""Each fault is caught by exactly the check that names it, with what was found and what to do."""

from __future__ import annotations

import pytest
import torch
from simulated_bad_methods import BAD, Good, OnTheHost, OverTime
from simulated_eager_method import Eager

from avbench.harness.contract.method import Method
from avbench.harness.testing import CHECKS, check_method

OVER_TIME = ("padding-ignored", "one-step", "uneven-lengths", "averaged-too")
"""Checks that say nothing of methods on averaged features."""


def test_a_good_method_passes_every_check() -> None:
    report = check_method(Good)
    report.raise_if_failed()
    skipped = {result.check.name for result in report.results if result.outcome == "skipped"}
    assert skipped - {"cuda"} == set(OVER_TIME)
    assert ("cuda" in skipped) == (not torch.cuda.is_available())


def test_every_check_has_a_method_that_it_catches() -> None:
    assert {name for name, _ in BAD.values()} | {"torch-free-import", "cuda"} == {check.name for check in CHECKS}


@pytest.mark.parametrize(("method", "name", "found"), [(bad, *caught) for bad, caught in BAD.items()])
def test_a_fault_is_caught_by_the_check_that_names_it(method: type[Method], name: str, found: str) -> None:
    _only_failure(method, name, found)


def test_a_module_that_imports_torch_is_caught() -> None:
    _only_failure(Eager, "torch-free-import", "importing simulated_eager_method imports torch")


@pytest.mark.cuda
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
def test_scores_on_the_host_are_caught() -> None:
    _only_failure(OnTheHost, "cuda", "predict returned a tensor on cpu")


def test_a_good_method_over_time_passes_every_check() -> None:
    report = check_method(OverTime)
    report.raise_if_failed()
    assert not {result.check.name for result in report.results if result.outcome == "skipped"} & set(OVER_TIME)


def _only_failure(method: type[Method], name: str, found: str) -> None:
    report = check_method(method)
    assert [result.check.name for result in report.failures] == [name], report.text()
    failure = report.failures[0]
    assert found in failure.detail
    assert failure.check.remedy in report.text()
    for result in report.results:  # what could not be said without it is skipped and says why
        if result.outcome == "skipped" and result.check.name not in ("cuda", *OVER_TIME):
            assert result.detail.startswith("needs ")
