"""Changes of files in one step: a file or folder is there whole or not at all, and what the dead left is found again.

Until it takes its place, what is being written lies beside it under a name that says who writes it:
``.<name>.<owner>-<number>.part``. :func:`sweep` deletes what belongs to no living process.
"""

from __future__ import annotations

import errno
import itertools
import os
import re
import shutil
import stat
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO

from avbench.harness.owner import Owner, me

FOREIGN_SECONDS = 24 * 3600
"""What a process on another machine left is thrown away after this time: nobody here can see whether it lives."""

_PART = re.compile(rf"\.(?P<name>.+)\.(?P<owner>{Owner.PATTERN})-[a-z0-9_]+\.part")
_EARLIER = re.compile(r"\..+\.(json|safetensors)\.[a-z0-9_]{8}")
"""What earlier versions wrote, without saying who."""
_UNSUPPORTED = {errno.EINVAL, errno.ENOTSUP, errno.ENOSYS}
_NO_LINKS = _UNSUPPORTED | {errno.EPERM, errno.EMLINK}
_numbers = itertools.count()


class Begun:
    """A file that is being written and has no place yet."""

    def __init__(self, path: Path) -> None:
        self.path = path
        handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | getattr(os, "O_CLOEXEC", 0), 0o666)
        self.stream: BinaryIO = os.fdopen(handle, "w+b")

    def becomes(self, path: Path, *, replace: bool = True) -> None:
        """Put the file in its place, in the same folder. Raises FileExistsError where it may not replace what is there.

        A file system that knows no links cannot keep two writers apart who both may not replace: the later one wins.
        """
        self.stream.flush()
        try:
            os.fsync(self.stream.fileno())
        except OSError as error:  # some network file systems do without
            if error.errno not in _UNSUPPORTED:
                raise
        self.stream.close()
        if not replace and _linked(self.path, path):
            self.path.unlink()
        else:
            os.replace(self.path, path)

    def discard(self) -> None:
        """Delete what has not taken its place."""
        self.stream.close()
        self.path.unlink(missing_ok=True)


@contextmanager
def begun(path: Path) -> Iterator[Begun]:
    """A file to write, named after ``path`` and in its folder, which is made as needed.

    Gone after the block, unless it has taken its place.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    made = Begun(_named(path))
    try:
        yield made
    finally:
        made.discard()


@contextmanager
def writing(path: Path) -> Iterator[BinaryIO]:
    """A stream, open for writing and reading, that becomes the file ``path`` when the block ends without exception."""
    try:
        with begun(path) as made:
            yield made.stream
            made.becomes(path)
    except OSError as error:
        if error.filename is None:  # a full disk does not say where
            error.filename = str(path)
        raise


def write_bytes(path: Path, content: bytes) -> None:
    """Write a file at once."""
    with writing(path) as file:
        file.write(content)


@contextmanager
def begun_folder(path: Path) -> Iterator[Path]:
    """A folder to fill, named after ``path`` and beside it, with the mode that the umask leaves. Gone after the block.

    Move out of it what is to stay.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    made = _named(path)
    made.mkdir()
    try:
        yield made
    finally:
        shutil.rmtree(made, ignore_errors=True)


def remove_folder(path: Path) -> None:
    """Delete a folder in one step: it loses its name first, so that nobody takes what a kill leaves of it for whole."""
    doomed = _named(path)
    os.replace(path, doomed)
    shutil.rmtree(doomed)


@contextmanager
def scratch(name: str) -> Iterator[Path]:
    """An empty folder for this user alone, in the system's place for what is temporary. Gone after the block."""
    place = Path(tempfile.gettempdir())
    sweep(place)
    with tempfile.TemporaryDirectory(prefix=f".{name}.{me()}-", suffix=".part", dir=place) as made:
        yield Path(made)


def owner_of(path: Path) -> Owner | None:
    """Who writes a part; None for anything else."""
    found = _PART.fullmatch(path.name)
    return Owner.parse(found["owner"]) if found else None


def target_of(path: Path) -> Path:
    """What a part is to become."""
    found = _PART.fullmatch(path.name)
    return path.with_name(found["name"]) if found else path


def abandoned(path: Path) -> bool:
    """Whether a part belongs to no living process."""
    return outlived(path, owner_of(path))


def outlived(path: Path, owner: Owner | None) -> bool:
    """Whether a file or folder has outlived its owner; where nobody can see the owner, whether it is old enough."""
    if owner is not None and owner.here:
        return owner.dead
    with suppress(OSError):
        return time.time() - path.lstat().st_mtime > FOREIGN_SECONDS
    return False


def sweep(folder: Path) -> int:
    """Delete the parts in a folder that belong to no living process, and say how many bytes that were.

    What cannot be deleted stays: sweeping never fails. Parts of other users are left to them.
    """
    swept = 0
    for path in unfinished(folder):
        with suppress(OSError):
            status = path.lstat()
            if status.st_uid != os.getuid() or not abandoned(path):
                continue
            swept += size(path)
            if stat.S_ISDIR(status.st_mode):
                shutil.rmtree(path)
            else:
                path.unlink()
    return swept


def unfinished(folder: Path) -> list[Path]:
    """What is being written in a folder, or was; nothing where the folder cannot be read."""
    with suppress(OSError):
        return sorted(folder / n for n in os.listdir(folder) if _PART.fullmatch(n) or _EARLIER.fullmatch(n))
    return []


def size(path: Path) -> int:
    """Bytes of a file, or of the files below a folder."""
    if path.is_dir() and not path.is_symlink():
        return sum(size(child) for child in path.iterdir())
    return path.lstat().st_size


def _named(path: Path) -> Path:
    return path.with_name(f".{path.name}.{me()}-{next(_numbers)}.part")


def _linked(source: Path, target: Path) -> bool:
    """A second name for a file, if none has it yet; False where the file system knows no links."""
    try:
        os.link(source, target)
    except FileExistsError:
        raise
    except OSError as error:
        if error.errno not in _NO_LINKS:
            raise
        if target.exists():
            raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), str(target)) from None
        return False
    return True
