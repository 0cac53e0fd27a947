"""Reading files that may come from strangers: regular files of bounded size only, and none that nobody meant."""

from __future__ import annotations

import json
import stat
from pathlib import Path
from typing import Any

from avbench.harness.errors import RecordError

_LITTER = {"__macosx", ".ds_store", "thumbs.db", "desktop.ini", ".ipynb_checkpoints"}


def is_litter(name: str) -> bool:
    """Whether a file or folder of this name is what systems and editors leave beside data: ``._x`` and the like."""
    return name.startswith("._") or name.lower() in _LITTER


def read_limited(path: Path, limit: int) -> bytes:
    """The content of a regular file of at most ``limit`` bytes.

    Raises :class:`RecordError` for a link, a device, a pipe, a larger file, or one that cannot be read.
    """
    try:
        status = path.lstat()
        if not stat.S_ISREG(status.st_mode):
            raise RecordError(f"{path}: not a regular file")
        if status.st_size > limit:
            raise RecordError(f"{path}: larger than {limit:,} bytes, which it may not be")
        return path.read_bytes()
    except FileNotFoundError:
        raise RecordError(f"{path}: is missing") from None
    except OSError as error:
        raise RecordError(f"{path}: cannot be read ({error.strerror})") from None


def refuse_half_characters(data: Any) -> None:
    """Raise ``ValueError`` for decoded JSON with half a character, such as ``"\\ud800"``, in a value or a name.

    JSON can write what no file can hold as text, and pydantic puts other characters in its place in names.
    """
    try:
        json.dumps(data, ensure_ascii=False).encode()
    except UnicodeEncodeError as error:
        half = ascii(error.object[error.start])
        raise ValueError(f"holds half a character ({half}), which cannot be stored as text") from None
