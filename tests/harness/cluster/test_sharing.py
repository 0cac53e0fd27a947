"""How jobs share a plan: packs, order, claims of jobs that are over, signals, staging."""

from __future__ import annotations

import os
import signal
import time
from dataclasses import replace
from itertools import permutations
from pathlib import Path

import pytest
from simulated_archive import made_up
from simulated_results import configuration_of, record_of

from avbench.harness.cluster.job import interrupting, work
from avbench.harness.cluster.packing import order_of, pack
from avbench.harness.cluster.staging import stage
from avbench.harness.cluster.submission import Request, Submission, digest
from avbench.harness.errors import DataError, RecordError
from avbench.harness.features.archive import find_sets, read_set
from avbench.harness.features.store import Store, home
from avbench.harness.isolation import strangers
from avbench.harness.isolation.choice import Isolation
from avbench.harness.owner import me
from avbench.harness.records.planned import PlannedRun
from avbench.harness.records.results import ResultsFolder
from avbench.harness.running import scheduler
from avbench.harness.running.claims import Claims, Holder
from avbench.harness.running.estimates import makespan
from avbench.harness.tracks import Track


def test_packs_hold_each_run_once_and_about_the_same_work() -> None:
    seconds = [float(n % 7 + 1) for n in range(50)]
    packs = pack(seconds, target=20, most=64)
    assert len(packs) == 10  # 197 seconds
    assert sorted(index for each in packs for index in each) == list(range(50))
    loads = [sum(seconds[index] for index in each) for each in packs]
    assert max(loads) - min(loads) <= max(seconds)
    assert len(pack(seconds, target=20, most=4)) == 4
    assert sorted(map(len, pack([None] * 10, target=20, most=4))) == [2, 2, 3, 3]
    assert pack([None, 10.0, 30.0], target=20, most=9) == [[2], [0], [1]]


def test_a_job_begins_with_its_own_runs_and_with_the_last_of_others() -> None:
    packs = [[0, 1], [2, 3], [4]]
    assert order_of(packs, 0) == [0, 1, 3, 2, 4]
    assert order_of(packs, 2) == [4, 1, 0, 3, 2]


def test_the_makespan_is_within_a_third_of_the_best_one() -> None:
    lengths = [5.0, 4.0, 4.0, 3.0, 3.0]
    best = min(max(sum(order[:cut]), sum(order[cut:])) for order in permutations(lengths) for cut in range(6))
    assert best <= makespan(lengths, 2) <= best * 7 / 6


def scontrol(folder: Path, monkeypatch: pytest.MonkeyPatch, body: str) -> None:
    (folder / "scontrol").write_text(f"#!/bin/sh\n{body}\n")
    (folder / "scontrol").chmod(0o755)
    monkeypatch.setenv("PATH", f"{folder}:{os.environ['PATH']}")
    monkeypatch.setattr(scheduler, "_answers", {})


@pytest.mark.parametrize(
    ("body", "over"),
    [
        ('echo "JobId=7 ArrayJobId=6 JobState=RUNNING Reason=None Restarts=0"', False),
        ('echo "JobId=7 ArrayJobId=6 JobState=COMPLETING Reason=None Restarts=0"', False),
        ('echo "JobId=7 ArrayJobId=6 JobState=CANCELLED Reason=None Restarts=0"', True),
        ('echo "JobId=7 ArrayJobId=6 JobState=PENDING Reason=None Restarts=1"', True),
        ('echo "JobId=8 ArrayJobId=7 JobState=CANCELLED"; echo "JobId=7 JobState=RUNNING Restarts=0"', False),
        ('echo "slurm_load_jobs error: Invalid job id specified" >&2; exit 1', True),
        ('echo "slurm_load_jobs error: Unable to contact slurm controller" >&2; exit 1', False),
    ],
)
def test_a_claim_of_a_job_that_is_over_is_taken_at_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, body: str, over: bool
) -> None:
    """The claim is of another machine and fresh: only the scheduler knows."""
    scontrol(tmp_path, monkeypatch, body)
    path = tmp_path / ".claims" / "run"
    path.parent.mkdir()
    path.write_text(str(Holder(replace(me(), machine="0" * 8), "slurm-7-0")))
    claim = Claims(tmp_path).claim("run")
    assert (claim is not None) == over
    if claim is not None:
        claim.release()


def test_a_process_in_a_job_says_so_in_its_claims(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SLURM_JOB_ID", "12")
    monkeypatch.setenv("SLURM_RESTART_COUNT", "3")
    with Claims(tmp_path).claim("run") or pytest.fail("not free"):
        text = (tmp_path / ".claims" / "run").read_text()
        assert text == f"{me()} slurm-12-3"
        assert Holder.parse(text) == Holder(me(), "slurm-12-3")
    assert not (tmp_path / ".claims").exists()
    assert Holder.parse(f"{me()} something else") is None


def test_a_handler_that_ends_the_process_ends_a_run_as_an_interrupt() -> None:
    """A run stores every exception but KeyboardInterrupt as its failure."""

    def handler(*_: object) -> None:
        raise SystemExit(-1)

    caught: list[BaseException] = []

    def run() -> None:
        try:
            os.kill(os.getpid(), signal.SIGUSR2)
            time.sleep(1)
        except BaseException as error:
            caught.append(error)
            raise

    before = signal.signal(signal.SIGUSR2, handler)
    try:
        with pytest.raises(SystemExit), interrupting(signal.SIGUSR2):
            run()
        assert isinstance(caught[0], KeyboardInterrupt)
        assert signal.getsignal(signal.SIGUSR2) is handler
    finally:
        signal.signal(signal.SIGUSR2, before)


def test_a_submission_knows_what_is_new(tmp_path: Path) -> None:
    results = ResultsFolder(tmp_path)
    configurations = [configuration_of("ale", Track("ucf", "main"), "aligned", seed) for seed in range(2)]
    old = record_of(configurations[0])
    results.save(old, None)
    submission = Submission.new(results)
    submission.write([PlannedRun(c) for c in configurations], [old, None], [[0, 1]], Request())
    again = Submission(submission.folder)
    assert again.runs == [PlannedRun(c) for c in configurations]
    assert again.done(0) is None
    assert again.done(1) is None
    results.save(record_of(configurations[1]), None)
    assert digest(again.done(1) or old) != digest(old)
    assert len(list(results.records())) == 2  # what is kept of submissions is no record
    (submission.folder / "plan.json").write_text('{"runs": 1}')
    with pytest.raises(RecordError, match=r"plan\.json"):
        _ = Submission(submission.folder).shared


def test_a_job_keeps_strangers_apart_as_well(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[Isolation] = []
    monkeypatch.setattr(strangers, "describe_strangers", lambda isolation, _root: asked.append(isolation))
    submission = Submission.new(ResultsFolder(tmp_path))
    submission.write([], [], [[]], Request(device="cpu", isolation=Isolation("process")))
    work(Submission(submission.folder), 0)
    assert asked == [Isolation("process")]


def test_features_are_read_from_the_copy_on_a_nodes_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AVBENCH_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("LOCAL", str(tmp_path / "local"))
    (found,) = find_sets(made_up(tmp_path / "archive", "ucf", "main"))
    Store().save(read_set(found, allow_missing=True))
    track = Track("ucf", "main")
    before = Store().load(track).manifest
    staged = stage([track, Track("ucf", "demo")], "$LOCAL")
    assert home() == staged
    assert staged.parent == tmp_path / "local"
    assert Store().tracks() == (track,)
    assert Store().load(track).manifest == before
    for place in ("$NOWHERE", "relative"):
        with pytest.raises(DataError, match="name an absolute path"):
            stage([track], place)
