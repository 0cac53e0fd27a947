"""The framework around the checks: selection, expected failures, reports."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import replace
from typing import Any

import pytest
from simulated_bad_methods import DeadOption, DropoutInPredict, Good, Softmaxed, Uncited

from avbench.harness.errors import MethodError, UsageError
from avbench.harness.testing import CHECKS, check_method
from avbench.harness.testing.simulated import simulated_classes
from avbench.splits import load_split

BY_NAME = {check.name: check for check in CHECKS}


class KnownDeadOption(DeadOption):
    info = replace(Good.info, expected_failures={"options-effective": "the margin waits for its loss"})


class DeclaredSoftmax(Softmaxed):
    info = replace(Good.info, scores_depend_on_candidates=True)


class MisspeltExpectation(Good):
    info = replace(Good.info, expected_failures={"option-effective": "?"})


class WithoutInfo(Good):
    info: Any = None


def test_only_what_is_asked_for_is_reported() -> None:
    report = check_method(Good, only=["one-clip", "metadata-complete"])
    assert [result.check.name for result in report.results] == ["metadata-complete", "one-clip"]
    assert report.passed
    assert report.summary == "good: 2 passed"


def test_an_unknown_check_is_refused_with_a_suggestion() -> None:
    with pytest.raises(UsageError, match="Did you mean 'one-clip'"):
        check_method(Good, only=["one-clipp"])
    with pytest.raises(UsageError, match="Did you mean 'options-effective'"):
        check_method(MisspeltExpectation)


def test_a_class_without_info_is_refused() -> None:
    with pytest.raises(MethodError, match="info must be a MethodInfo"):
        check_method(WithoutInfo)


def test_a_declared_failure_is_expected() -> None:
    report = check_method(KnownDeadOption, only=["options-effective"])
    assert report.passed
    (result,) = report.results
    assert (result.outcome, result.detail) == ("expected failure", "the margin waits for its loss")


def test_a_failure_may_be_expected_by_the_caller() -> None:
    report = check_method(Uncited, only=["metadata-complete"], expected_failures={"metadata-complete": "a draft"})
    assert report.passed
    assert report.results[0].detail == "a draft"


def test_an_expected_failure_that_passes_is_a_failure() -> None:
    report = check_method(Good, only=["one-clip"], expected_failures={"one-clip": "it was so once"})
    assert not report.passed
    assert report.results[0].outcome == "unexpectedly passed"
    with pytest.raises(MethodError, match="remove it from expected_failures, which say: it was so once"):
        report.raise_if_failed()


def test_what_needs_a_failed_check_is_skipped() -> None:
    (result,) = check_method(DropoutInPredict, only=["order-independent"]).results
    assert (result.outcome, result.detail) == ("skipped", "needs scores-repeatable, which did not pass")


def test_scores_may_depend_on_the_candidates_where_that_is_declared() -> None:
    (result,) = check_method(DeclaredSoftmax, only=["candidates-independent"]).results
    assert (result.outcome, result.detail) == ("skipped", "the method declares scores_depend_on_candidates")


@pytest.mark.parametrize("check", [BY_NAME["metadata-complete"], BY_NAME["one-clip"]], ids=str)
def test_a_check_can_be_run_alone(check: object) -> None:
    assert check in CHECKS
    assert [r.outcome for r in check_method(Good, only=[str(check)]).results] == ["passed"]


def test_a_check_run_alone_raises_its_failure() -> None:
    with pytest.raises(MethodError, match=r"checks.md#metadata-complete"):
        check_method(Uncited, only=["metadata-complete"]).raise_if_failed()


def test_a_report_can_be_written_as_json() -> None:
    report = check_method(Uncited, only=["metadata-complete"])
    written = json.loads(json.dumps(report.as_json()))
    assert written["passed"] is False
    (check,) = written["checks"]
    assert check["outcome"] == "failed"
    assert check["guide"] == "checks.md#metadata-complete"
    assert "bibtex" in check["detail"]


def test_the_catalogue_is_sound() -> None:
    names = [check.name for check in CHECKS]
    assert len(set(names)) == len(names)
    for place, check in enumerate(CHECKS):
        assert set(check.needs) <= set(names[:place])
        assert check.reason.endswith(".")
        assert check.remedy.endswith(".")


def test_the_catalogue_is_read_without_torch() -> None:
    code = "import sys, avbench.harness.testing, avbench.harness.cli.methods_check; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


class LooksUp(Good):
    """Knows its classes by name, as a method with word vectors of its own does."""

    def fit(self, train: Any, progress: Any) -> None:
        for name, prompt in zip(train.classes.names, train.classes.prompts, strict=True):
            assert load_split("ucf", "main").find(name).prompt == prompt
        super().fit(train, progress)


class InNumPy(Good):
    def predict(self, clips: Any, classes: Any) -> Any:
        return super().predict(clips, classes).double().numpy()


def test_classes_have_real_names() -> None:
    assert check_method(LooksUp, only=["scores-sound"]).passed
    for count in (6, 101, 150, 300, 400):
        classes = simulated_classes(count)
        assert len(set(classes.names)) == len(classes) == count
    assert not any(name.startswith("class ") for name in simulated_classes(300).names)


def test_numpy_scores_are_told_how_to_become_a_tensor() -> None:
    report = check_method(InNumPy, only=["scores-sound"])
    assert not report.passed
    assert "not a NumPy array of float64: return torch.from_numpy(scores)" in str(report.failures[0])
