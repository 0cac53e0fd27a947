"""Workers for tests: real ones, and forks of the test process, which start at once and know all that it knows."""

from __future__ import annotations

import os
import socket
import stat
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import torch

from avbench.harness.contract.method import Method
from avbench.harness.isolation import process
from avbench.harness.isolation.choice import Isolation
from avbench.harness.isolation.judge import stand_in
from avbench.harness.isolation.messages import FROM_JUDGE, FROM_JUDGE_BYTES
from avbench.harness.isolation.service import Service
from avbench.harness.isolation.start import Computing, started
from avbench.harness.isolation.wire import receive
from avbench.harness.plugins.registry import Registered

PROCESS = Isolation("process", silence=300.0)


def wires() -> list[int]:
    """The sockets of this process."""
    found = [int(name) for name in os.listdir("/proc/self/fd")]
    return [fd for fd in found if os.path.exists(f"/proc/self/fd/{fd}") and stat.S_ISSOCK(os.fstat(fd).st_mode)]


class Forked:
    """Stands for :class:`subprocess.Popen`: the worker as a fork, without its limits."""

    def __init__(self, words: Sequence[str], *, pass_fds: Sequence[int], **_: Any) -> None:
        read, write = os.pipe()
        self.pid = os.fork()
        if not self.pid:
            os.setsid()
            os.dup2(write, 1)
            os.dup2(write, 2)
            for fd in set(wires()) - {*pass_fds}:  # the judge's end
                os.close(fd)
            judge = socket.socket(fileno=pass_fds[0])
            Service(judge, FROM_JUDGE.validate_json(receive(judge, FROM_JUDGE_BYTES)[0])).serve()
        os.close(write)
        self.stdout = os.fdopen(read, "rb")
        self._status: int | None = None

    def wait(self, _timeout: float | None = None) -> int:
        if self._status is None:
            self._status = os.waitstatus_to_exitcode(os.waitpid(self.pid, 0)[1])
        return self._status


@pytest.fixture
def forked(monkeypatch: pytest.MonkeyPatch) -> None:
    """Workers are forks."""
    monkeypatch.setattr(process.subprocess, "Popen", Forked)


@contextmanager
def isolated(
    registered: Registered, isolation: Isolation = PROCESS, results: Path = Path("results"), **options: Any
) -> Iterator[Callable[[], Method]]:
    """What makes methods in a worker."""
    place = Computing(torch.device("cpu"), torch.get_num_threads(), "float32")
    chosen = registered.method.Options(**options)
    with started(registered, chosen, place, isolation, results) as worker:
        yield stand_in(registered, worker)


def alive(group: int) -> bool:
    """Whether any process of a group lives; the dead that nobody has buried do not."""
    for path in Path("/proc").glob("[0-9]*/stat"):
        try:
            state, _, of = path.read_text().rpartition(")")[2].split()[:3]
        except OSError:
            continue
        if int(of) == group and state != "Z":
            return True
    return False
