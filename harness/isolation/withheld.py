"""What a sandbox withholds, told from the error that a method met there."""

from __future__ import annotations

import errno
import socket

from avbench.harness.errors import DataError

_NETWORK = {errno.ENETUNREACH, errno.EHOSTUNREACH, errno.ENETDOWN, errno.ECONNREFUSED, errno.EADDRNOTAVAIL}
_FILES = {errno.ENOENT, errno.EACCES, errno.EPERM, errno.EROFS, errno.ENXIO}


def withheld(error: BaseException | None) -> str | None:
    """What was asked for in vain, if that is why something was raised."""
    seen: set[int] = set()
    while error is not None and id(error) not in seen:
        seen.add(id(error))
        if isinstance(error, DataError):
            return "the store of features and the demo"
        if isinstance(error, ImportError):
            return f"all modules but those of the method and of Python's packages: {error.name}"
        if isinstance(error, ProcessLookupError):
            return "all other processes"
        if isinstance(error, socket.gaierror) or (isinstance(error, OSError) and error.errno in _NETWORK):
            return "the network"
        if isinstance(error, OSError) and error.errno in _FILES:
            return f"all files but those of the method and of Python: {error.filename}"
        error = error.__cause__ or error.__context__
    return None
