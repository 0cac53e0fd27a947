"""Where an archive's files are read from: a folder, or a zip that is never unpacked. Knows no torch.

Members of a zip are read into memory one at a time, under a size limit, and their names never become paths on disk. So
a zip has nothing to escape into; one that tries is refused all the same, because nothing in it can be trusted.
"""

from __future__ import annotations

import io
import stat
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.resources.abc import Traversable
from pathlib import Path, PurePosixPath
from typing import BinaryIO, cast

from avbench.harness.errors import DataError
from avbench.harness.printable import printable

MAX_MEMBERS = 1_000_000
MAX_FILE_BYTES = 2**30
"""The largest file of the genuine archive that is read has about 20 MB."""
MAX_RATIO = 200
"""Features hardly compress. Small files may: below ``RATIO_BYTES`` the ratio is not looked at."""
RATIO_BYTES = 2**20
READ = (".h5", ".npy", ".csv")

READ_ERRORS = (OSError, RuntimeError, ValueError, KeyError, EOFError, zipfile.BadZipFile, zlib.error)
"""What reading a damaged file, HDF5 file or zip member can raise."""


@contextmanager
def opened(path: Path) -> Iterator[Traversable]:
    """The root of a folder or zip. Raises :class:`DataError` for anything else, and for a zip that is hostile."""
    if path.is_dir():
        yield path
        return
    if not path.exists():
        raise DataError(f"{path}: there is no such file or folder")
    try:
        archive = zipfile.ZipFile(path)
    except READ_ERRORS as error:
        raise DataError(f"{path}: neither a folder nor a whole zip file ({error})") from None
    with archive:
        members = archive.infolist()
        if len(members) > MAX_MEMBERS:
            raise DataError(f"{path}: refused, {len(members):,} members are more than any feature archive has")
        for member in members:
            if reason := _refusal(member):
                raise DataError(f"{path}: refused, its member {printable(member.filename)!r} {reason}")
        yield cast(Traversable, zipfile.Path(archive))


def _refusal(member: zipfile.ZipInfo) -> str | None:
    """What is wrong with a member of a zip, if anything."""
    name = PurePosixPath(member.filename)
    if name.is_absolute() or ".." in name.parts or "\\" in member.filename or ":" in (name.parts or ("",))[0]:
        return "has a name that leads out of the archive"
    if stat.S_ISLNK(member.external_attr >> 16):
        return "is a link"
    if name.suffix.lower() not in READ:
        return None
    if member.flag_bits & 1:
        return "is encrypted"
    if member.file_size > MAX_FILE_BYTES:
        return f"unpacks to {member.file_size:,} bytes, which no feature file does"
    if member.file_size > max(RATIO_BYTES, MAX_RATIO * member.compress_size):
        return f"unpacks from {member.compress_size:,} to {member.file_size:,} bytes, which no feature file does"
    return None


@contextmanager
def reading(entry: Traversable) -> Iterator[BinaryIO]:
    """A seekable stream of a file of at most ``MAX_FILE_BYTES``; what is larger ends there."""
    with cast(BinaryIO, entry.open("rb")) as stream:
        yield stream if isinstance(entry, Path) else io.BytesIO(stream.read(MAX_FILE_BYTES))
