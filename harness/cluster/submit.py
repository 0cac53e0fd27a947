"""From runs to a job array, by submitit."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from typing import Any

from avbench.harness.atomic import begun, remove_folder
from avbench.harness.cluster.job import Share
from avbench.harness.cluster.packing import pack
from avbench.harness.cluster.settings import SlurmSettings
from avbench.harness.cluster.slurm import never_given, require_slurm, seen_by_a_node
from avbench.harness.cluster.submission import PLACE, Request, Submission, Submitted, submissions
from avbench.harness.errors import AvbenchError, UsageError
from avbench.harness.extras import require
from avbench.harness.records.planned import PlannedRun
from avbench.harness.records.record import RunRecord
from avbench.harness.records.results import ResultsFolder
from avbench.harness.running.estimates import Estimates

Told = Callable[[str], None]
"""Takes a line for the user."""


def require_cluster(results: ResultsFolder, settings: SlurmSettings, told: Told) -> None:
    """All that can be refused before anything is submitted.

    Raises :class:`UsageError` without submitit, without SLURM, for an unknown partition, for jobs that no node is large
    enough for, and for a results folder that the nodes do not see; :class:`AvbenchError` for one that cannot be written
    to. ``told``: where no node was free to be asked.
    """
    require("submitit", "cluster", "jobs are submitted by submitit")
    if "%" in str(results.root):
        raise UsageError(f"{results.root}: SLURM takes % in a path for a variable; name another folder with --results")
    require_slurm(settings)
    if reason := never_given(settings):
        told(f"Whether there are nodes for such jobs could not be asked ({reason}); without any, the jobs wait.")
    results.require_room([])
    if any((s.logs / f"{job}_0_log.out").exists() for s in submissions(results) for job in s.submitted.jobs[:1]):
        return  # jobs have written there before
    with begun(results.root / PLACE / "probe") as probe:
        if reason := seen_by_a_node(probe.path, settings):
            told(f"Whether the nodes see {results.root} could not be asked ({reason}); jobs that do not see it fail.")


def require_time(runs: Sequence[PlannedRun], seconds: Sequence[float | None], settings: SlurmSettings) -> None:
    """Raise :class:`UsageError` for a run that takes longer than a job may, by earlier runs."""
    for run, length in zip(runs, seconds, strict=True):
        if length is not None and length > 60 * settings.time:
            raise UsageError(
                f"{run} takes about {length / 60:.0f} min by earlier runs, a job {settings.time} min at most, and what "
                "it leaves begins anew: raise --slurm time="
            )


def submit(
    results: ResultsFolder,
    runs: Sequence[PlannedRun],
    before: Sequence[RunRecord | None],
    settings: SlurmSettings,
    request: Request,
) -> Submission:
    """Submit one array of jobs that share these runs. Raises :class:`AvbenchError` with SLURM's words."""
    kind = "cuda" if settings.gpus or settings.gres or request.device not in ("auto", "cpu") else "cpu"
    estimates = Estimates.of(results)
    seconds = [estimates.seconds(run, kind) for run in runs]
    require_time(runs, seconds, settings)
    packs = pack(seconds, settings.pack_seconds, settings.jobs)
    submission = Submission.new(results)
    submission.write(runs, before, packs, request)
    try:
        jobs = _submit(submission, len(packs), settings)
    except AvbenchError:
        remove_folder(submission.folder)
        raise
    submission.note(Submitted(started=datetime.now(UTC).isoformat(timespec="seconds"), jobs=jobs))
    return submission


def _submit(submission: Submission, count: int, settings: SlurmSettings) -> list[str]:
    import submitit
    from submitit.core.utils import FailedJobError, FailedSubmissionError

    executor: Any = submitit.SlurmExecutor(
        submission.logs, max_num_timeout=settings.resubmissions, python=settings.python
    )
    executor.update_parameters(**settings.parameters())
    try:
        made = executor.submit_array([Share(submission.folder, number) for number in range(count)])
    except (FailedJobError, FailedSubmissionError) as error:
        raise AvbenchError(f"SLURM refuses the jobs: {error}") from None
    return [job.job_id for job in made]
