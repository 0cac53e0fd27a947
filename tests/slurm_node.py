"""A real SLURM of one node for tests. Where it cannot be started, they are skipped, saying why."""

from __future__ import annotations

import os
import shutil
import subprocess
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parent / "slurm" / "one-node.sh"
COMMANDS = ("slurmctld", "slurmd", "munged", "sbatch", "runuser")


def missing() -> str:
    """Why no SLURM can be started here; empty where one can."""
    if os.getuid() != 0:
        return "a SLURM is started by root only"
    lacking = [name for name in COMMANDS if shutil.which(name) is None and not Path("/usr/sbin", name).exists()]
    return f"not installed: {', '.join(lacking)} (Debian: slurm-wlm, munge)" if lacking else ""


needs_slurm = pytest.mark.skipif(bool(missing()), reason=missing())


@contextmanager
def one_node(folder: Path) -> Iterator[Path]:
    """A SLURM at work, with its state below a folder; gives the file of its settings, for ``SLURM_CONF``."""
    done = subprocess.run([SCRIPT, "start", folder], capture_output=True, text=True, check=False, timeout=90)
    if done.returncode:
        pytest.skip(f"SLURM does not start here: {done.stderr[-1_500:]}")
    try:
        yield folder / "slurm.conf"
    finally:
        environment = {**os.environ, "SLURM_CONF": str(folder / "slurm.conf")}
        for words in (["--signal=KILL", "--full"], []):
            subprocess.run(["scancel", *words, "--user=root"], env=environment, check=False, timeout=30)
        end = time.monotonic() + 20  # steps that cannot tell their end would go on trying
        while time.monotonic() < end and _queue(environment):
            time.sleep(0.2)
        subprocess.run([SCRIPT, "stop", folder], check=True, timeout=30)


def _queue(environment: Mapping[str, str]) -> str:
    """The jobs that have not ended."""
    asked = ["squeue", "--noheader", "--states=all", "--format=%T"]
    done = subprocess.run(asked, env=environment, capture_output=True, text=True, check=False, timeout=30)
    return " ".join(state for state in done.stdout.split() if state in ("RUNNING", "COMPLETING", "PENDING"))
