"""Carrying out checks of one method in an order that lets one fault fail one check."""

from __future__ import annotations

import importlib
import time
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from functools import cached_property, lru_cache
from typing import TYPE_CHECKING, cast

from avbench.harness.contract.method import Method, MethodInfo
from avbench.harness.errors import AvbenchError, MethodError, unknown
from avbench.harness.testing.catalogue import CHECKS
from avbench.harness.testing.check import Check, NotApplicableError, Outcome, Result
from avbench.harness.testing.report import Report

if TYPE_CHECKING:
    from avbench.harness.testing.subject import Subject

BY_NAME = {check.name: check for check in CHECKS}


class Examination:
    """All checks of one method. Each is carried out once; they share their fits.

    Raises :class:`MethodError` for a class without ``info``, :class:`UsageError` for an expected failure of a check
    that does not exist.
    """

    def __init__(self, method: type[Method], expected_failures: Mapping[str, str] | None = None) -> None:
        if not isinstance(getattr(method, "info", None), MethodInfo):
            raise MethodError(f"{method.__name__}.info must be a MethodInfo: without it there is nothing to check")
        self.method = method
        self.expected = {**method.info.expected_failures, **(expected_failures or {})}
        selected(self.expected)
        self._results: dict[str, Result] = {}

    def run(self, checks: Sequence[Check]) -> Iterator[Result]:
        """The results of some checks, one by one."""
        return (self.result(check) for check in checks)

    def result(self, check: Check) -> Result:
        """The result of a check; what it needs is checked before."""
        if check.name not in self._results:
            start = time.perf_counter()
            outcome, detail = self._outcome(check)
            if check.name in self.expected:
                outcome, detail = _expected(outcome, detail, self.expected[check.name])
            self._results[check.name] = Result(check, outcome, detail, time.perf_counter() - start)
        return self._results[check.name]

    @cached_property
    def _subject(self) -> Subject:
        from avbench.harness.testing.subject import Subject

        return Subject(self.method)

    def _outcome(self, check: Check) -> tuple[Outcome, str]:
        for name in check.needs:
            if self.result(BY_NAME[name]).outcome is not Outcome.PASSED:
                return Outcome.SKIPPED, f"needs {name}, which did not pass"
        from avbench.harness.testing.surroundings import one_thread

        try:
            with one_thread():
                _function(check)(self._subject)
        except AvbenchError as failure:
            return Outcome.FAILED, str(failure)
        except NotApplicableError as reason:
            return Outcome.SKIPPED, str(reason)
        except Exception as error:  # the method's own, in a place where it was not expected
            return Outcome.FAILED, f"{type(error).__name__}: {error}"
        return Outcome.PASSED, ""


def _function(check: Check) -> Callable[[Subject], None]:
    """What carries out a check. It raises :class:`CheckFailedError` or :class:`NotApplicableError`."""
    module, _, name = check.function.partition(":")
    function = getattr(importlib.import_module(f"avbench.harness.testing.{module}"), name)
    return cast("Callable[[Subject], None]", function)


def _expected(outcome: Outcome, detail: str, reason: str) -> tuple[Outcome, str]:
    """What an outcome means where a failure is expected."""
    if outcome is Outcome.FAILED:
        return Outcome.EXPECTED_FAILURE, reason
    if outcome is Outcome.PASSED:
        return Outcome.UNEXPECTEDLY_PASSED, f"remove it from expected_failures, which say: {reason}"
    return outcome, detail


@lru_cache(maxsize=1)
def examination(method: type[Method]) -> Examination:
    """The examination of the method that was asked for last."""
    return Examination(method)


def selected(names: Collection[str]) -> tuple[Check, ...]:
    """Checks by name in the order of the catalogue, all without names. Raises :class:`UsageError` for unknown ones."""
    for name in names:
        if name not in BY_NAME:
            raise unknown("check", name, BY_NAME)
    return tuple(check for check in CHECKS if not names or check.name in names)


def check_method(
    method: type[Method], *, only: Collection[str] = (), expected_failures: Mapping[str, str] | None = None
) -> Report:
    """Check a method on small simulated data, in seconds. For the tests of a plugin::

        def test_contract():
            check_method(MyMethod).raise_if_failed()

    One test for each check, with shared fits::

        @pytest.mark.parametrize("check", CHECKS, ids=str)
        def test_contract(check):
            check_method(MyMethod, only=[check.name]).raise_if_failed()

    ``only``: names of the checks to report (default: all; what they need is checked too). ``expected_failures``: name
    of a check -> reason, beside those that the method declares in its ``info``. One that passes counts as a failure.
    Raises :class:`UsageError` for an unknown name of a check.
    """
    examined = Examination(method, expected_failures) if expected_failures else examination(method)
    return Report(method.info.slug, tuple(examined.run(selected(only))))
