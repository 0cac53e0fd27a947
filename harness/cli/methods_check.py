"""``avbench methods check``: whether a method keeps the contract."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence

import click
from tabulate import tabulate

from avbench.harness.errors import MethodError, UsageError
from avbench.harness.plugins.registry import plugins
from avbench.harness.testing.check import Check, Result
from avbench.harness.testing.examination import Examination, selected
from avbench.harness.testing.report import Report


@click.command()
@click.argument("name", required=False)
@click.option("--only", multiple=True, metavar="CHECK", help="Only this check; may be given several times.")
@click.option("--list", "as_list", is_flag=True, help="List the checks and why they exist.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def check(name: str | None, only: tuple[str, ...], as_list: bool, as_json: bool) -> None:
    """Check method NAME on small simulated data. Exit code 5 when a check fails."""
    checks = selected(only)
    if as_list:
        click.echo(_listing(checks, as_json))
        return
    if name is None:
        raise UsageError("which method? Give its name, or --list for the checks ('avbench methods list' has the names)")
    report = _examined(Examination(plugins().method(name).method), checks)
    if as_json:
        click.echo(json.dumps(report.as_json(), indent=1))
    else:
        rows = [[str(r.check), str(r.outcome), r.detail] for r in report.results]
        click.echo(tabulate(rows, headers=["check", "outcome", ""], maxcolwidths=[None, None, 80]))
        for result in report.failures:
            click.echo(f"\n{result}")
        click.echo(f"\n{report.summary}")
    if not report.passed:
        raise MethodError(f"{report.method} fails {', '.join(r.check.name for r in report.failures)}")


def _listing(checks: Sequence[Check], as_json: bool) -> str:
    if as_json:
        fields = ("name", "reason", "remedy", "guide", "needs")
        return json.dumps([{field: getattr(c, field) for field in fields} for c in checks], indent=1)
    return tabulate([[c.name, c.reason] for c in checks], headers=["check", "reason"], maxcolwidths=[None, 90])


def _examined(examination: Examination, checks: Sequence[Check]) -> Report:
    """Carry out checks; on a terminal, standard error shows which one is at work."""
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn())
    console = Console(file=sys.stderr)
    results: list[Result] = []
    with Progress(*columns, console=console, transient=True, disable=not sys.stderr.isatty()) as bars:
        task = bars.add_task("", total=len(checks))
        for one in checks:
            bars.update(task, description=one.name)
            results.append(examination.result(one))
            bars.advance(task)
    return Report(examination.method.info.slug, tuple(results))
