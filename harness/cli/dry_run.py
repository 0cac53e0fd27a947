"""``avbench run --dry-run``: what would be done with each run, how long that takes, and how much is stored."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from avbench.harness.records.planned import PlannedRun
    from avbench.harness.records.results import ResultsFolder
    from avbench.harness.running.session import Known


def tell(
    planned: Sequence[PlannedRun],
    names: Sequence[str],
    folder: ResultsFolder,
    fresh: bool,
    device: str,
    workers: int,
    as_json: bool,
) -> None:
    """One line per run on standard output, the sum of them on standard error.

    ``device``: as records name it; ``workers``: how many runs there are at once.
    """
    from avbench.harness.running.estimates import Estimates
    from avbench.harness.running.session import known_of

    estimates = Estimates.of(folder)
    rows: list[dict[str, Any]] = []
    todo: list[PlannedRun] = []
    for run, name, known in zip(planned, names, known_of(planned, folder), strict=True):
        rows.append(
            {
                "identity": run.configuration.identity,
                "run": name,
                "state": _state(known, fresh),
                "seconds": estimates.seconds(run, device),
            }
        )
        if fresh or not known.stands:
            todo.append(run)
    if as_json:
        click.echo(json.dumps(rows, indent=1))
    else:
        for row in rows:
            click.echo(f"{row['identity'][:8]}  {row['run']}: {row['state']}")
    click.echo(
        in_words([estimates.seconds(r, device) for r in todo], [estimates.bytes(r) for r in todo], workers), err=True
    )


def in_words(seconds: Sequence[float | None], sizes: Sequence[float | None], workers: int) -> str:
    """Such as ``To do: 20 runs, about 3.1 h by earlier runs (1.6 h with 2 at once), about 5 MB``."""
    from avbench.harness.cli.progress import duration
    from avbench.harness.running.estimates import makespan

    if not seconds:
        return "To do: nothing."
    told, many = [s for s in seconds if s is not None], len(seconds)
    time = "time unknown: no earlier run tells"
    if told:
        time = f"about {duration(sum(told))} by earlier runs"
        if workers > 1:
            time += f" ({duration(makespan(told, workers))} with {workers} at once)"
        if len(told) < many:
            time += f", without {many - len(told)} of unknown time"
    known = [s for s in sizes if s is not None]
    size = f"about {sum(known) / 1e6:,.1f} MB" if len(known) == many else "size unknown"
    if known and len(known) < many:
        size = f"more than {sum(known) / 1e6:,.1f} MB"
    return f"To do: {many} {'run' if many == 1 else 'runs'}, {time}, {size} to store."


def _state(known: Known, fresh: bool) -> str:
    if known.record is None:
        return "new"
    if fresh:
        return "repeated"
    if known.reasons:
        return "damaged, repeated"
    if known.lacks_state:
        return "finished without its state, repeated for it"
    return "finished already" if known.record.finished else "failed before, tried again"
