"""Which process something belongs to: who writes a file, who does a run. Tells the living from the dead."""

from __future__ import annotations

import hashlib
import os
import re
import socket
from contextlib import suppress
from dataclasses import dataclass
from functools import cache
from pathlib import Path


@dataclass(frozen=True)
class Owner:
    """A process: its machine, its id, and when it started, so that a later process of the same id is another."""

    machine: str
    """Eight hexadecimal digits for host, boot and, in a container, the space of process ids."""
    pid: int
    start: int
    """Clock ticks from boot to its start; 0 where the system does not tell."""

    PATTERN = r"[0-9a-f]{8}-\d{1,10}-\d{1,20}"

    def __str__(self) -> str:
        return f"{self.machine}-{self.pid}-{self.start}"

    @classmethod
    def parse(cls, text: str) -> Owner | None:
        """The inverse of ``str``; None for anything else."""
        if not re.fullmatch(cls.PATTERN, text):
            return None
        machine, pid, start = text.split("-")
        return cls(machine, int(pid), int(start))

    @property
    def here(self) -> bool:
        """Whether its life and death can be seen from this process."""
        return self.machine == _machine()

    @property
    def dead(self) -> bool:
        """Whether it surely runs no more. Of a process elsewhere nobody can say so: False."""
        if not self.here:
            return False
        try:
            os.kill(self.pid, 0)
        except (ProcessLookupError, OverflowError):
            return True
        except PermissionError:  # of another user, and alive
            pass
        return _start(self.pid) != self.start


def me() -> Owner:
    """This process."""
    return Owner(_machine(), os.getpid(), _start(os.getpid()))


@cache
def _machine() -> str:
    facts = [socket.gethostname()]
    with suppress(OSError):
        facts.append(Path("/proc/sys/kernel/random/boot_id").read_text("ascii"))
    with suppress(OSError):
        facts.append(os.readlink("/proc/self/ns/pid"))
    return hashlib.sha256("\n".join(facts).encode("utf-8", "surrogateescape")).hexdigest()[:8]


def _start(pid: int) -> int:
    """When a process started, -1 for one that has ended and was not waited for yet.

    Fields 3 and 22 of ``/proc/<pid>/stat``. The second, the name, may hold anything: count from its closing bracket.
    """
    try:
        fields = Path(f"/proc/{pid}/stat").read_bytes().rpartition(b")")[2].split()
        return -1 if fields[0] in (b"Z", b"X") else int(fields[19])
    except (OSError, IndexError, ValueError):
        return 0
