"""Where an archive's files are read from: a folder, or a zip that is never unpacked. Knows no torch.

Members of a zip are read into memory one at a time, under a size limit, and their names never become paths on disk. So
a zip has nothing to escape into; one that tries is refused all the same, because nothing in it can be trusted.
"""

from __future__ import annotations

import io
import os
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

MAX_MEMBERS = 50_000
"""The genuine archive has about 8,000."""
MAX_FILE_BYTES = 2**30
"""The largest file of the genuine archive that is read has about 20 MB."""
MAX_SEQUENCE_FILE_BYTES = 4 * 2**30
"""The same for features over time, of which one class can have over 500 MB."""
MAX_RATIO = 200
"""Of a file, and of all files to the zip. Features hardly compress; below ``RATIO_BYTES`` no ratio is looked at."""
RATIO_BYTES = 2**20
MAX_NAME = 1024
MAX_DEPTH = 32
"""Folders in the name of a member; the genuine archive has 6. Each costs memory for itself."""
SEQUENCES = ".pkl"
"""Ending of files of features over time."""
READ = (".h5", ".npy", ".csv")
COMPRESSION = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA)
"""What can be read here."""
DEFLATE64 = 9
"""What Windows packs files over 2 GB with."""

READ_ERRORS = (OSError, RuntimeError, ValueError, TypeError, LookupError, EOFError, zipfile.BadZipFile, zlib.error)
"""What reading a damaged file, HDF5 file or zip member can raise."""


@contextmanager
def opened(path: Path) -> Iterator[Traversable]:
    """The root of a folder or zip. Raises :class:`DataError` for anything else, and for a zip that is hostile."""
    if path.is_dir():
        yield Path(os.path.abspath(path))  # its name counts, so "." will not do
        return
    if not path.is_file():
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
        unpacked, packed = sum(member.file_size for member in members if _is_read(member)), path.stat().st_size
        if unpacked > max(RATIO_BYTES, MAX_RATIO * packed):  # members may overlap, so each alone proves nothing
            raise DataError(f"{path}: refused, its {packed:,} bytes unpack to {unpacked:,}, which no features do")
        yield cast(Traversable, zipfile.Path(archive))


def _refusal(member: zipfile.ZipInfo) -> str | None:
    """What is wrong with a member of a zip, if anything."""
    if len(member.filename) > MAX_NAME or member.filename.count("/") > MAX_DEPTH:
        return f"has a name of more than {MAX_NAME:,} characters or {MAX_DEPTH} folders, which no feature file has"
    name = PurePosixPath(member.filename)
    bad_parts = ".." in name.parts or ":" in (name.parts or ("",))[0] or "//" in member.filename
    if name.is_absolute() or bad_parts or "\\" in member.filename:
        return "has a name that leads out of the archive"
    if stat.S_ISLNK(member.external_attr >> 16):
        return "is a link"
    if not _is_read(member):
        return None
    if member.flag_bits & 1:
        return "is encrypted"
    if member.compress_type not in COMPRESSION:
        kind = "Deflate64" if member.compress_type == DEFLATE64 else f"method {member.compress_type}"
        return f"is compressed as {kind}, which cannot be read here; unpack the zip and give the folder"
    if member.file_size > (MAX_SEQUENCE_FILE_BYTES if _is_sequences(member) else MAX_FILE_BYTES):
        return f"unpacks to {member.file_size:,} bytes, which no feature file does"
    if member.file_size > max(RATIO_BYTES, MAX_RATIO * member.compress_size):
        return f"unpacks from {member.compress_size:,} to {member.file_size:,} bytes, which no feature file does"
    return None


def _is_read(member: zipfile.ZipInfo) -> bool:
    return member.filename.lower().endswith(READ) or _is_sequences(member)


def _is_sequences(member: zipfile.ZipInfo) -> bool:
    """Features over time; other pickles are caches of the authors' loader, which are not read."""
    name = member.filename.lower()
    return name.endswith(SEQUENCES) and "_averaged/" in name


@contextmanager
def reading(entry: Traversable, most: int = MAX_FILE_BYTES) -> Iterator[BinaryIO]:
    """A seekable stream of a regular file of at most ``most`` bytes. Raises OSError for anything else."""
    if not entry.is_file():
        raise OSError("not a regular file")
    with cast(BinaryIO, entry.open("rb")) as stream:
        if isinstance(entry, Path):
            if os.fstat(stream.fileno()).st_size > most:
                raise OSError(f"larger than {most:,} bytes, which no feature file is")
            yield stream
        else:
            yield io.BytesIO(stream.read(most))
