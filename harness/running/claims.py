"""Claims: who does a run, so that any number of commands share one results folder, and its work.

A claim is a file ``<results>/.claims/<identity>`` that names its owner, made before a run starts and deleted after it.
The claim of a dead process is taken over. Whether a process on another machine lives is asked of the scheduler, where
the claim names its job, and seen by its heartbeat, the time of the file, against the clock of the file system that both
share. Knows no torch.
"""

from __future__ import annotations

import os
import re
import threading
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from avbench.harness.atomic import begun, sweep
from avbench.harness.owner import Owner, me
from avbench.harness.running import scheduler

HEARTBEAT_SECONDS = 20.0
SILENT_SECONDS = 180.0
"""A claimant on another machine that was not heard of for so long is dead; network file systems may show old times."""


@dataclass(frozen=True)
class Holder:
    """Who a claim belongs to."""

    owner: Owner
    job: str = ""
    """Of the scheduler, where it runs in one."""

    def __str__(self) -> str:
        return f"{self.owner} {self.job}".strip()

    @classmethod
    def parse(cls, text: str) -> Holder | None:
        """The inverse of ``str``; None for anything else."""
        place, _, job = text.partition(" ")
        owner = Owner.parse(place)
        return cls(owner, job) if owner and (not job or re.fullmatch(scheduler.PATTERN, job)) else None

    @classmethod
    def here(cls) -> Holder:
        """This process."""
        return cls(me(), scheduler.job_here())


class Claims:
    """The claims on the runs of one results folder."""

    def __init__(self, root: Path) -> None:
        self.folder = root / ".claims"

    def claim(self, identity: str) -> Claim | None:
        """Claim a run for this process, until the claim is released. None while another process has it.

        Raises OSError where the folder cannot be written to.
        """
        path = self.folder / identity
        return Claim(path) if self._take(path) else None

    def drop(self, identities: Iterable[str]) -> None:
        """Give up what this process claims of these runs: an interrupt may come between a claim and its holder."""
        for identity in identities:
            for path in (self.folder / f"{identity}~", self.folder / identity):
                if _read(path) == Holder.here():
                    _leave(path)

    def owner(self, identity: str) -> Owner | None:
        """Who does a run now, as far as can be known."""
        path = self.folder / identity
        holder = _read(path)
        return holder.owner if holder is not None and self._alive(path, holder) else None

    def sweep(self) -> None:
        """Delete the claims of the dead. Never fails."""
        sweep(self.folder)
        with suppress(OSError):
            for path in sorted(self.folder.iterdir()):
                if not path.name.startswith(".") and self._take(path):
                    _leave(path)
            self.folder.rmdir()

    def _take(self, path: Path) -> bool:
        """Make a claim file, or take it over from the dead.

        Of several that see the same dead owner, only the one that holds a claim on the claim may delete it.
        """
        if self._make(path):
            return True
        dead = _read(path)
        if dead is not None and self._alive(path, dead):
            return False
        right = path.with_name(f"{path.name}~")
        if not self._take(right):
            return False
        try:
            if _read(path) == dead:
                path.unlink(missing_ok=True)
            return self._make(path)
        finally:
            right.unlink(missing_ok=True)

    def _make(self, path: Path) -> bool:
        while True:
            try:
                with begun(path) as made:
                    made.stream.write(str(Holder.here()).encode())
                    made.becomes(path, replace=False)
                return True
            except FileExistsError:
                return False
            except FileNotFoundError:  # another process has just deleted the empty folder
                continue

    def _alive(self, path: Path, holder: Holder) -> bool:
        if holder.owner.here:
            return not holder.owner.dead
        if holder.job and scheduler.surely_over(holder.job):
            return False
        try:
            with begun(path.with_name("clock")) as clock:
                now = os.fstat(clock.stream.fileno()).st_mtime
            return now - path.stat().st_mtime < SILENT_SECONDS
        except FileNotFoundError:
            return False


class Claim:
    """A claim that this process has. A thread keeps it fresh for other machines until it is released."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._released = threading.Event()
        threading.Thread(target=self._beat, daemon=True).start()

    def release(self) -> None:
        """Let others have the run."""
        self._released.set()
        if _read(self._path) == Holder.here():
            _leave(self._path)

    def __enter__(self) -> Claim:
        return self

    def __exit__(self, *_: object) -> None:
        self.release()

    def _beat(self) -> None:
        while not self._released.wait(HEARTBEAT_SECONDS):
            with suppress(OSError):
                os.utime(self._path)


def _read(path: Path) -> Holder | None:
    """The holder that a claim names; None where there is none, or none that can be read."""
    try:
        return Holder.parse(path.read_text("utf-8", "replace"))
    except OSError:
        return None


def _leave(path: Path) -> None:
    """Delete a claim, and the folder with the last one."""
    with suppress(OSError):
        path.unlink()
        path.parent.rmdir()
