"""What a record says about where a run took place."""

from __future__ import annotations

import platform
import resource
import subprocess
import sys
from contextlib import suppress
from functools import cache
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING

from avbench.harness.records.record import Environment

if TYPE_CHECKING:
    import torch


def environment(device: torch.device) -> Environment:
    """Versions, device, threads and, inside a git checkout, the commit of the working directory."""
    import torch

    commit, dirty = git_state(Path.cwd())
    return Environment(
        avbench=version("avbench"),
        python=platform.python_version(),
        torch=str(torch.__version__),
        platform=f"{platform.system()} {platform.machine()}",
        device=device_name(device),
        threads=torch.get_num_threads(),
        git_commit=commit,
        git_dirty=dirty,
    )


def device_name(device: torch.device) -> str:
    """``cpu (<model>)`` or ``cuda (<model>)``."""
    import torch

    if device.type == "cuda":
        return f"cuda ({torch.cuda.get_device_name(device)})"
    return f"cpu ({_cpu_model()})"


def forget_peak_memory(device: torch.device) -> None:
    """Start to measure anew, where the system lets a process do so (CUDA, Linux)."""
    import torch

    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)
    else:
        with suppress(OSError):
            Path("/proc/self/clear_refs").write_text("5", "ascii")


def peak_memory_bytes(device: torch.device) -> int:
    """Peak since :func:`forget_peak_memory`: of the allocator on CUDA, of this process on the CPU.

    On systems other than Linux, the peak since the process started.
    """
    import torch

    if device.type == "cuda":
        return int(torch.cuda.max_memory_allocated(device))
    with suppress(OSError, StopIteration):
        lines = Path("/proc/self/status").read_text("ascii").splitlines()
        return next(int(line.split()[1]) for line in lines if line.startswith("VmHWM:")) * 1024
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024


@cache
def git_state(folder: Path) -> tuple[str | None, bool | None]:
    """Commit and dirty flag of the checkout that holds a folder; (None, None) outside one or without git."""
    try:
        commit = _git(folder, "rev-parse", "HEAD")
        return commit, bool(_git(folder, "status", "--porcelain", "--untracked-files=no"))
    except (OSError, subprocess.SubprocessError):
        return None, None


def _git(folder: Path, *arguments: str) -> str:
    done = subprocess.run(["git", *arguments], cwd=folder, capture_output=True, text=True, check=True, timeout=10)
    return done.stdout.strip()


@cache
def _cpu_model() -> str:
    try:
        for line in Path("/proc/cpuinfo").read_text("utf-8").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    except OSError:
        pass
    return platform.processor() or platform.machine()
