"""What a record says about where a run took place."""

from __future__ import annotations

import platform
import subprocess
from collections.abc import Callable
from contextlib import suppress
from functools import cache
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from avbench.harness.evaluation.peak_memory import peak_memory_bytes
from avbench.harness.printable import storable
from avbench.harness.records.record import Environment

if TYPE_CHECKING:
    import torch

Answer = TypeVar("Answer")


def environment(device: torch.device) -> Environment:
    """Versions, device, threads and, inside a git checkout, the commit of the working directory.

    What cannot be found out is left open and named: it costs no run.
    """
    import torch

    unknown: list[str] = []

    def ask(what: str, answer: Callable[[], Answer], otherwise: Answer) -> Answer:
        try:
            return answer()
        except Exception as error:
            unknown.append(storable(f"{what}: {type(error).__name__}: {error}")[:500])
            return otherwise

    nothing: tuple[str | None, bool | None] = (None, None)
    commit, dirty = ask("git", lambda: git_state(Path.cwd()), nothing)
    return Environment(
        avbench=ask("avbench", lambda: version("avbench"), "unknown"),
        python=platform.python_version(),
        torch=str(torch.__version__),
        platform=ask("platform", lambda: f"{platform.system()} {platform.machine()}", "unknown"),
        device=storable(ask("device", lambda: device_name(device), device.type))[:2_000],
        threads=torch.get_num_threads(),
        git_commit=commit,
        git_dirty=dirty,
        unknown=unknown,
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


def peak_memory(device: torch.device) -> tuple[int, list[str]]:
    """:func:`peak_memory_bytes`, or 0 and why it cannot be found out."""
    try:
        return peak_memory_bytes(device), []
    except Exception as error:
        return 0, [storable(f"peak memory: {type(error).__name__}: {error}")[:500]]


@cache
def git_state(folder: Path) -> tuple[str | None, bool | None]:
    """Commit and dirty flag of the checkout that holds a folder; (None, None) outside one or without git."""
    try:
        commit = _git(folder, "rev-parse", "HEAD").decode("ascii", "backslashreplace")
        return commit, bool(_git(folder, "status", "--porcelain", "--untracked-files=no"))
    except (OSError, subprocess.SubprocessError):
        return None, None


def _git(folder: Path, *arguments: str) -> bytes:
    """What git says, as bytes: names of files need not be text."""
    done = subprocess.run(["git", *arguments], cwd=folder, capture_output=True, check=True, timeout=10)
    return done.stdout.strip()


@cache
def _cpu_model() -> str:
    try:
        for line in Path("/proc/cpuinfo").read_text("utf-8", "replace").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    except OSError:
        pass
    return platform.processor() or platform.machine()
