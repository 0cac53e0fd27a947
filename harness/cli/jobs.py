"""``avbench jobs``: what was submitted from a results folder, its logs, and its end."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from avbench.harness.errors import AvbenchError, UsageError, unknown

if TYPE_CHECKING:
    from avbench.harness.cluster.slurm import JobState
    from avbench.harness.cluster.submission import Submission

LINES = 40
"""Of a log, unless all is asked for."""

results_option = click.option(
    "--results", default="results", show_default=True, type=click.Path(path_type=Path), help="Results folder."
)


@click.group()
def jobs() -> None:
    """List and cancel jobs on a cluster, and show their logs."""


@jobs.command("list")
@results_option
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def list_jobs(results: Path, as_json: bool) -> None:
    """Submissions from a results folder and their jobs, the last submission last."""
    rows, note = _rows(results)
    if note:
        click.echo(note, err=True)
    if as_json:
        click.echo(json.dumps(rows, indent=1))
        return
    if not rows:
        click.echo(f"{results}: nothing was submitted from here")
    for row in rows:
        click.echo(
            f"{row['job']:<12} {row['state']:<12} {row['done']:>4} of {row['runs']:>4} runs  {row['elapsed']:>10}  "
            f"{row['where']}  {row['submission']}"
        )


@jobs.command()
@click.argument("job")
@results_option
@click.option("--all", "whole", is_flag=True, help=f"All of it, not only the last {LINES} lines.")
def logs(job: str, results: Path, whole: bool) -> None:
    """What a job printed: standard output, then standard error. JOB as 'jobs list' names it."""
    found = {name: submission for submission in _submissions(results) for name in submission.submitted.jobs}
    if job not in found:
        raise unknown("job", job, found)
    there = [found[job].logs / f"{job}_0_log.{kind}" for kind in ("out", "err")]
    for path in there:
        if path.exists():
            lines = path.read_text("utf-8", "replace").splitlines()
            click.echo(f"== {path}")
            click.echo("\n".join(lines if whole else lines[-LINES:]))
    if not any(path.exists() for path in there):
        raise AvbenchError(f"job {job} has no log yet: it has not begun, or its node does not see {found[job].logs}")


@jobs.command()
@click.argument("names", metavar="[JOB|SUBMISSION]...", nargs=-1)
@results_option
@click.option("--all", "everything", is_flag=True, help="All that was submitted from the results folder.")
def cancel(names: Sequence[str], results: Path, everything: bool) -> None:
    """End jobs, or all jobs of a submission. Finished runs are kept; runs of a single job are taken by the others.

    A command that follows a submission ends with it, or with its last job.
    """
    from avbench.harness.cluster.slurm import cancel, states

    there = list(_submissions(results))
    known = {name for submission in there for name in (submission.name, *submission.submitted.jobs)}
    for name in names:
        if name not in known:
            raise unknown("job or submission", name, known)
    if not names and not everything:
        raise UsageError("name a job or a submission, or give --all; 'avbench jobs list' shows them")
    alive = {job: state for job, state in states().items() if state.alive}
    ended: list[str] = []
    for submission in there:
        submitted = submission.submitted
        whole = everything or submission.name in names
        chosen = [job for job in submitted.jobs if job in alive and (whole or job in names)]
        others = [job for job in submitted.jobs if job in alive and job not in chosen]
        if whole or (chosen and all(alive[job].state == "COMPLETING" for job in others)):
            # with its last job a submission has ended, by the user's will
            submission.note(submitted.model_copy(update={"cancelled": True}))
        ended += chosen
    cancel(ended)
    click.echo(f"cancelled {len(ended)} {'job' if len(ended) == 1 else 'jobs'}")


def _submissions(results: Path) -> Iterator[Submission]:
    from avbench.harness.cluster.submission import submissions
    from avbench.harness.records.results import ResultsFolder

    return submissions(ResultsFolder(results.absolute()))


def _rows(results: Path) -> tuple[list[dict[str, Any]], str]:
    from avbench.harness.cluster.slurm import states

    there: dict[str, JobState] = {}
    note, ended = "", "ended"
    submitted = list(_submissions(results))
    try:
        there = states() if submitted else {}
    except AvbenchError as error:
        note, ended = f"The states are unknown: {error}", "unknown"
    rows = []
    for submission in submitted:
        new = [submission.done(index) is not None for index in range(len(submission.runs))]
        for number, job in enumerate(submission.submitted.jobs):
            pack, state = submission.shared.packs[number], there.get(job)
            rows.append(
                {
                    "submission": submission.name,
                    "job": job,
                    "state": state.state.lower() if state else ended,
                    "cancelled": submission.submitted.cancelled,
                    "runs": len(pack),
                    "done": sum(new[index] for index in pack),
                    "elapsed": state.elapsed if state else "",
                    "where": state.where if state else "",
                    "logs": str(submission.logs / f"{job}_0_log.out"),
                }
            )
    return rows, note
