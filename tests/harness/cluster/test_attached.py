"""What the command that follows a plan does when jobs end early, are cancelled, or are still at work."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
from simulated_results import configuration_of, record_of

from avbench.harness.cli.jobs import cancel
from avbench.harness.cluster import attached, slurm
from avbench.harness.cluster.attached import Attached
from avbench.harness.cluster.settings import SlurmSettings
from avbench.harness.cluster.slurm import JobState
from avbench.harness.cluster.submission import Request, Submission, Submitted
from avbench.harness.errors import AvbenchError
from avbench.harness.records.planned import PlannedRun
from avbench.harness.records.record import RunRecord
from avbench.harness.records.results import ResultsFolder
from avbench.harness.tracks import Track

RUNS = [PlannedRun(configuration_of("ale", Track("ucf", "main"), "aligned", seed)) for seed in range(3)]


class Cluster:
    """A queue of one job per submission. ``does``: how many runs each job does before it ends."""

    def __init__(self, does: Sequence[int]) -> None:
        self.does = list(does)
        self.submitted: list[list[int]] = []
        self.alive: list[str] = []

    def submit(
        self, results: ResultsFolder, runs: Sequence[PlannedRun], before: Sequence[RunRecord | None], *_: Any
    ) -> Submission:
        submission = Submission(results.root / ".jobs" / f"{len(self.submitted)}")
        self.submitted.append([run.configuration.seed for run in runs])
        submission.write(runs, before, [list(range(len(runs)))], Request())
        submission.note(Submitted(started="2026-01-01", jobs=[f"{len(self.submitted)}"]))
        for run in runs[: self.does.pop(0)]:
            results.save(record_of(run.configuration), None)
        return submission

    def states(self) -> dict[str, JobState]:
        return {job: JobState(job, "RUNNING", "0:01", "node") for job in self.alive}


@pytest.fixture
def follow(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[Cluster], tuple[list[int], list[str]]]:
    def run(cluster: Cluster) -> tuple[list[int], list[str]]:
        told: list[str] = []
        monkeypatch.setattr(attached, "submit", cluster.submit)
        monkeypatch.setattr(attached, "states", cluster.states)
        monkeypatch.setattr(attached, "require_cluster", lambda *_: None)
        monkeypatch.setattr(attached, "ASK_SECONDS", 0.0)
        monkeypatch.setattr(attached, "LOOK_SECONDS", 0.0)
        follower = Attached(RUNS, ResultsFolder(tmp_path), SlurmSettings(partition="main"), Request(), told.append)
        return [index for index, _, _ in follower.complete()], told

    return run


Follow = Callable[[Cluster], tuple[list[int], list[str]]]


def test_what_ended_jobs_left_is_submitted_again(follow: Follow) -> None:
    cluster = Cluster([2, 1])
    assert sorted(follow(cluster)[0]) == [0, 1, 2]
    assert cluster.submitted == [[0, 1, 2], [2]]


def test_jobs_that_do_nothing_are_not_submitted_for_ever(follow: Follow) -> None:
    cluster = Cluster([1, 0, 0, 0])
    with pytest.raises(AvbenchError, match="left 2 runs, none of which was done by the last ones"):
        follow(cluster)
    assert cluster.submitted == [[0, 1, 2], [1, 2]]


def test_jobs_at_work_are_followed_and_only_the_rest_is_submitted(
    follow: Follow, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cluster = Cluster([0, 3])
    other = cluster.submit(ResultsFolder(tmp_path), RUNS[:2], [None, None])
    cluster.alive = other.submitted.jobs

    def ends() -> dict[str, JobState]:
        there = Cluster.states(cluster)
        for run in RUNS[:2]:
            ResultsFolder(tmp_path).save(record_of(run.configuration), None)
        return there

    monkeypatch.setattr(cluster, "states", ends)
    found, told = follow(cluster)
    assert sorted(found) == [0, 1, 2]
    assert cluster.submitted == [[0, 1], [2]]
    assert told[0] == "Following 0, at work on 2 of these runs."


def test_a_cancelled_submission_is_not_submitted_again(
    follow: Follow, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cluster = Cluster([1])
    cluster.alive = ["1"]

    def cancelled() -> dict[str, JobState]:
        for path in (tmp_path / ".jobs").glob("*"):
            submission = Submission(path)
            submission.note(submission.submitted.model_copy(update={"cancelled": True}))
        return Cluster.states(cluster)

    monkeypatch.setattr(cluster, "states", cancelled)
    with pytest.raises(AvbenchError, match="0 was cancelled, 2 runs are left"):
        follow(cluster)


def test_a_command_ends_with_the_last_job_that_its_user_cancels(
    follow: Follow, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cluster = Cluster([1, 2])

    monkeypatch.setattr(slurm, "states", lambda: {"1": JobState("1", "RUNNING", "0:01", "node")})
    monkeypatch.setattr(slurm, "cancel", lambda jobs: None)

    def cancelled() -> dict[str, JobState]:
        if cluster.submitted:
            cancel.main(["1", "--results", str(tmp_path)], standalone_mode=False)
        return {}

    monkeypatch.setattr(cluster, "states", cancelled)
    with pytest.raises(AvbenchError, match="0 was cancelled, 2 runs are left"):
        follow(cluster)
    assert cluster.submitted == [[0, 1, 2]]
