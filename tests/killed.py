"""Doing something in a forked child that is killed at one of its file operations: as a kill or a power cut would."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from pathlib import Path

KILLED = 37
_CHANGES = frozenset({"os.rename", "os.remove", "os.rmdir", "os.mkdir", "os.link", "os.symlink", "os.truncate"})


def changes_of(work: Callable[[Callable[[str], None]], None], place: Path) -> int:
    """How many file operations ``work`` makes below ``place``, none of them disturbed."""
    status, said = _child(work, place, None)
    assert status == 0, f"the undisturbed work failed: {said}"
    return int(said[-1])


def killed_at(number: int, work: Callable[[Callable[[str], None]], None], place: Path) -> list[str]:
    """Do ``work`` and kill it just before its file operation ``number``, from 1; give what it said until then."""
    status, said = _child(work, place, number)
    assert status in (KILLED, 0), f"ended with {status}: {said}"
    return said if status == KILLED else said[:-1]


def _child(work: Callable[[Callable[[str], None]], None], place: Path, number: int | None) -> tuple[int, list[str]]:
    ours, theirs = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(ours)
        try:
            count = _counting(place, number)
            work(lambda text: _say(theirs, text))
            _say(theirs, str(count[0]))
            os._exit(0)
        except BaseException as error:
            _say(theirs, f"{type(error).__name__}: {error}")
            os._exit(1)
    os.close(theirs)
    with os.fdopen(ours, "rb") as stream:
        content = stream.read()
    status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    return status, content.decode("utf-8", "replace").splitlines()


def _say(pipe: int, text: str) -> None:
    os.write(pipe, text.replace("\n", " ").encode("utf-8", "replace") + b"\n")


def _counting(place: Path, number: int | None) -> list[int]:
    """Count the changes of files below a place by this process; end it at change ``number``."""
    count, process, below = [0], os.getpid(), os.fsencode(place)

    def hook(event: str, arguments: tuple[object, ...]) -> None:
        if event == "open":
            changes = isinstance(arguments[2], int) and arguments[2] & (os.O_WRONLY | os.O_RDWR | os.O_CREAT)
        else:
            changes = event in _CHANGES or event == "subprocess.Popen"
        if not changes or os.getpid() != process:
            return
        path = arguments[0]
        if event != "subprocess.Popen" and not (isinstance(path, str | bytes) and os.fsencode(path).startswith(below)):
            return
        count[0] += 1
        if count[0] == number:
            os._exit(KILLED)

    sys.addaudithook(hook)
    return count
