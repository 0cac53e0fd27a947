"""Starting the worker of a run: what it loads, within which limits, in what surroundings. Imports torch when used."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from avbench.harness.contract.input_file import InputFile
from avbench.harness.contract.options import Options
from avbench.harness.errors import UsageError
from avbench.harness.features.store import HomelessError, home
from avbench.harness.isolation import sandbox
from avbench.harness.isolation.choice import Isolation
from avbench.harness.isolation.messages import Begin, First
from avbench.harness.isolation.process import Command, WorkerProcess, worker
from avbench.harness.plugins.registry import Registered
from avbench.harness.records.record import Precision

if TYPE_CHECKING:
    import torch

MORE_PROCESSES = 1024
"""Processes and threads that a worker may add to those of its user."""
KEPT = ("LANG", "LANGUAGE", "LC_ALL", "LC_CTYPE", "TZ", "LD_LIBRARY_PATH", "PYTHONHASHSEED")
"""Environment variables that a worker gets, beside those that say how to compute."""
COMPUTING = ("OMP_", "GOMP_", "KMP_", "MKL_", "OPENBLAS_", "ATEN_", "CUDA_", "CUBLAS_", "CUDNN_", "NVIDIA_")
WORKER = "avbench.harness.isolation.worker"


@dataclass(frozen=True)
class Computing:
    """Where a run takes place."""

    device: torch.device
    threads: int
    precision: Precision


@contextmanager
def started(
    registered: Registered, options: Options, computing: Computing, isolation: Isolation, results: Path
) -> Iterator[WorkerProcess]:
    """The worker of one run, which loads its method while the judge loads the features. ``results``: their folder."""
    given: dict[str, Any] = {name: _absolute(value) for name, value in options}
    begin = Begin(
        module=registered.module,
        slug=registered.info.slug,
        options=type(options).model_construct(**given).model_dump(mode="json"),
        device=str(computing.device),
        threads=computing.threads,
        precision=computing.precision,
        **limits(isolation),
    )
    files = [value.path for value in given.values() if isinstance(value, InputFile)]
    command = command_of(isolation, begin, registered, files, results)
    with worker(command, begin, isolation.silence, isolation.seconds) as process:
        yield process


def limits(isolation: Isolation) -> dict[str, Any]:
    """What a worker's first message says of limits."""
    return {
        "memory": isolation.memory or os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE"),
        "processes": _processes() + MORE_PROCESSES,
        "sandboxed": isolation.kind == "sandbox",
    }


def command_of(
    isolation: Isolation, first: First, registered: Registered, files: Sequence[Path], results: Path | None
) -> Command:
    """How a worker is started for the code of a method, with the files that its options name.

    Raises :class:`UsageError` for code or files among the answers that a sandbox is to leave out.
    """
    words = [sys.executable, "-P", "-m", WORKER]
    if isolation.kind == "sandbox":
        answers = (*_answers(results), *isolation.hidden)
        words = sandbox.command(sandbox.code_of(registered), files, answers, first.device, first.memory, words)
    return Command(words, _environment(isolation))


def require_possible(registered: Registered, isolation: Isolation) -> None:
    """Raise :class:`UsageError` for a method that no other process can load, or where there can be no sandbox."""
    if isolation and not registered.module:
        raise UsageError(
            f"method {registered.info.slug!r} comes from no installed package: another process lacks it; "
            "'avbench methods new' makes a package of it"
        )
    require_sandbox(isolation)


def require_sandbox(isolation: Isolation) -> None:
    """Raise :class:`UsageError` where a sandbox is asked for and there can be none."""
    if isolation.kind == "sandbox" and (reason := sandbox.unavailable()):
        raise UsageError(f"--isolation sandbox: {reason}")


def _absolute(value: object) -> object:
    return InputFile(value.path.absolute(), value.sha256) if isinstance(value, InputFile) else value


def _answers(results: Path | None) -> Iterator[Path]:
    """Folders with answers."""
    if results is not None:
        yield results
    with suppress(HomelessError):
        yield home()


def _environment(isolation: Isolation) -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if name in KEPT or name.startswith(COMPUTING)}
    path = os.pathsep.join(str(Path(entry).absolute()) for entry in sys.path if Path(entry).exists())
    if isolation.kind == "sandbox":
        own = sandbox.ENVIRONMENT
    else:
        own = {name: os.environ[name] for name in ("HOME", "PATH", "TMPDIR", "USER") if name in os.environ}
    return {**kept, **own, "PYTHONPATH": path}


def _processes() -> int:
    """Processes and threads that this user has, as the limit counts them."""
    count = 0
    for process in Path("/proc").glob("[0-9]*"):
        try:
            if process.stat().st_uid == os.getuid():
                count += len(os.listdir(process / "task"))
        except OSError:  # it has ended
            continue
    return count
