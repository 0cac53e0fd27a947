"""Asking SLURM, by its own commands: partitions, the states of jobs, what a node sees."""

from __future__ import annotations

import getpass
import re
import shlex
import shutil
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from avbench.harness.cluster.settings import SlurmSettings
from avbench.harness.errors import AvbenchError, UsageError, unknown

ANSWER_SECONDS = 60
PROBE_SECONDS = 20
"""How long a probe waits for a free node."""
ALIVE = {"PENDING", "CONFIGURING", "RUNNING", "SUSPENDED", "STOPPED", "COMPLETING", "REQUEUED", "REQUEUE_HOLD"}


@dataclass(frozen=True)
class JobState:
    """One job, or one task of an array, as the queue shows it."""

    job: str
    """``17`` or ``17_3``."""
    state: str
    """SLURM's word, such as ``RUNNING``."""
    elapsed: str
    where: str
    """Its node, or why it waits."""

    @property
    def alive(self) -> bool:
        return self.state in ALIVE


def require_slurm(settings: SlurmSettings) -> None:
    """Raise :class:`UsageError` where SLURM's commands are not here, or there is no such partition."""
    for name in ("sbatch", "srun", "squeue", "sinfo", "scancel"):
        if shutil.which(name) is None:
            raise UsageError(f"there is no {name!r} here: start this on a machine that submits to SLURM, or run here")
    known = set(asked("sinfo", "--noheader", "--format=%R").split())
    if settings.partition not in known:
        raise unknown("partition", settings.partition, known)


def never_given(settings: SlurmSettings) -> str | None:
    """Why it is not known whether there are nodes for such jobs; None where there are.

    SLURM takes a job that no node is large enough for, and lets it wait for ever. Raises :class:`UsageError` where it
    says that it can start none: while it could start a small one in the same place, for else nodes may just be down.
    """
    if not (reason := _refusal(settings, settings.share)):
        return None
    if _refusal(settings, {"time": 1}):
        return reason
    offers = asked("sinfo", "--noheader", f"--partition={settings.partition}", "--format=%c CPUs, %m MB, %G, %l")
    there = "; ".join(dict.fromkeys(line.strip() for line in offers.splitlines()))
    raise UsageError(
        f"SLURM has no place for such jobs ({reason}): ask for less with --slurm. Nodes of {settings.partition} by "
        f"processors, memory, other resources and time limit: {there}"
    )


def _refusal(settings: SlurmSettings, share: Mapping[str, str | int]) -> str:
    """What SLURM says against a job that it is asked about and does not get; empty where it would start it one day."""
    options = [f"--{name.replace('_', '-')}={value}" for name, value in {**settings.place, **share}.items()]
    try:
        asked("sbatch", "--test-only", "--nodes=1", *options, "--wrap=true")
    except AvbenchError as error:
        return re.sub(r"^(sbatch: )*(error: |allocation failure: )?", "", str(error).splitlines()[-1])
    return ""


def states() -> dict[str, JobState]:
    """The user's jobs that the queue still knows, by id. Those that ended longer ago are forgotten by SLURM."""
    lines = asked(
        "squeue", "--noheader", "--array", "--states=all", f"--user={getpass.getuser()}", "--format=%i|%T|%M|%R"
    )
    found = (JobState(*line.split("|", 3)) for line in lines.splitlines() if line.count("|") >= 3)
    return {job.job: job for job in found}


def cancel(jobs: Sequence[str]) -> None:
    """End jobs. Those that have ended already are no error."""
    if jobs:
        asked("scancel", "--quiet", *jobs)


def seen_by_a_node(path: Path, settings: SlurmSettings) -> str | None:
    """Why it is not known whether a node sees a file; None where one does.

    Raises :class:`UsageError` where a node answers that it does not.
    """
    options = [f"--{name}={value}" for name, value in settings.place.items()]
    look = f"test -e {shlex.quote(str(path))} && echo seen || echo unseen"
    options += ["--ntasks=1", "--time=1", f"--immediate={PROBE_SECONDS}", "--job-name=avbench-probe", "--chdir=/"]
    command = ["srun", *options, "sh", "-c", look]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=3 * PROBE_SECONDS, check=False)
    except subprocess.TimeoutExpired:
        return "no answer in time"
    if "unseen" in done.stdout.split():
        raise UsageError(
            f"{path.parent.parent}: the nodes of partition {settings.partition} do not see this results folder; "
            "name one on a file system that they share, with --results"
        )
    if "seen" in done.stdout.split():
        return None
    words = done.stderr.strip().splitlines() or [f"exit code {done.returncode}"]
    return re.sub(r"^srun: (error: )?", "", words[-1])


def asked(*command: str) -> str:
    """What a command of SLURM prints. Raises :class:`AvbenchError` with its own words where it fails."""
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=ANSWER_SECONDS, check=False)
    except FileNotFoundError:
        raise UsageError(f"there is no {command[0]!r} here: SLURM's commands are on the machines that submit") from None
    except subprocess.TimeoutExpired:
        raise AvbenchError(f"SLURM does not answer ({command[0]}, {ANSWER_SECONDS} s); try again later") from None
    if done.returncode:
        raise AvbenchError(f"{command[0]}: {done.stderr.strip() or done.stdout.strip() or done.returncode}")
    return done.stdout
