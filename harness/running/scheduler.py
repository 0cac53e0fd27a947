"""The scheduler's job that a process belongs to: a claim of a job that is over can be taken over at once."""

from __future__ import annotations

import os
import re
import subprocess
import time

ASK_SECONDS = 15.0
"""The same job is not asked after more often."""
PATTERN = r"slurm-\d{1,10}-\d{1,6}"
_OVER = {
    "BOOT_FAIL",
    "CANCELLED",
    "COMPLETED",
    "DEADLINE",
    "FAILED",
    "NODE_FAIL",
    "OUT_OF_MEMORY",
    "PREEMPTED",
    "TIMEOUT",
}
_answers: dict[str, tuple[float, bool]] = {}


def job_here() -> str:
    """``slurm-<job>-<times it was started again>`` inside a job of SLURM, else empty."""
    job, restarts = os.environ.get("SLURM_JOB_ID", ""), os.environ.get("SLURM_RESTART_COUNT", "0")
    text = f"slurm-{job}-{restarts}"
    return text if re.fullmatch(PATTERN, text) else ""


def surely_over(job: str) -> bool:
    """Whether a job that :func:`job_here` named has ended, or was started again since. False where nobody can say."""
    asked, answer = _answers.get(job, (-ASK_SECONDS, False))
    if answer or time.monotonic() - asked < ASK_SECONDS:
        return answer
    _, number, restarts = job.split("-")
    answer = _asked(number, int(restarts))
    _answers[job] = time.monotonic(), answer
    return answer


def _asked(number: str, restarts: int) -> bool:
    try:
        done = subprocess.run(
            ["scontrol", "--oneliner", "show", "job", number], capture_output=True, text=True, timeout=10, check=False
        )
    except (OSError, subprocess.TimeoutExpired):
        return False
    if done.returncode:
        return "Invalid job id" in done.stderr + done.stdout
    for line in done.stdout.splitlines():  # the id of an array is that of one of its tasks too
        state, again = re.search(r"\bJobState=(\w+)", line), re.search(r"\bRestarts=(\d+)", line)
        if line.startswith(f"JobId={number} ") and state:
            return state[1] in _OVER or (again is not None and int(again[1]) > restarts)
    return False
