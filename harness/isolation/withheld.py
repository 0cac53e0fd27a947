"""The end of a worker whose method failed: it says why, and what a sandbox withheld."""

from __future__ import annotations

import errno
import os
import socket
import traceback
from typing import NoReturn

from avbench.harness.errors import AvbenchError, DataError
from avbench.harness.isolation.messages import MOST_MESSAGE, MOST_TRACEBACK, Failed
from avbench.harness.isolation.wire import send
from avbench.harness.printable import storable

_NETWORK = {errno.ENETUNREACH, errno.EHOSTUNREACH, errno.ENETDOWN, errno.ECONNREFUSED, errno.EADDRNOTAVAIL}
_FILES = {errno.ENOENT, errno.EACCES, errno.EPERM, errno.EROFS, errno.ENXIO}


def fail(judge: socket.socket, error: BaseException, *, sandboxed: bool) -> NoReturn:
    """Tell the judge why, and end this process."""
    text = str(error) if isinstance(error, AvbenchError) else f"{type(error).__name__}: {error}"
    if sandboxed and (what := withheld(error)):
        text += f" (the sandbox withholds {what})"
    trace = "".join(traceback.format_exception(error))
    try:
        send(judge, Failed(message=storable(text)[:MOST_MESSAGE], traceback=storable(trace)[-MOST_TRACEBACK:]))
    finally:
        os._exit(1)


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
