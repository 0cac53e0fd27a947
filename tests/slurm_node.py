"""A real SLURM of one node for tests. Where it cannot be started, they are skipped, saying why."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator
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
        user = ["scancel", "--signal=KILL", "--full", "--user=root"]
        subprocess.run(user, env=environment, check=False, timeout=30)
        subprocess.run(["scancel", "--user=root"], env=environment, check=False, timeout=30)
        subprocess.run([SCRIPT, "stop", folder], check=True, timeout=30)
