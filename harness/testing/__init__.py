"""Checks that every method must pass, for ``avbench methods check`` and for the tests of a plugin."""

from avbench.harness.testing.catalogue import CHECKS
from avbench.harness.testing.check import Check, Outcome, Result
from avbench.harness.testing.examination import check_method
from avbench.harness.testing.report import Report

__all__ = ["CHECKS", "Check", "Outcome", "Report", "Result", "check_method"]
