"""Watching what code does to its surroundings: connections, writes, settings. Imports torch.

Files are watched through Python's audit events, which a plugin cannot undo. They do not see files opened by C++ code
(such as ``torch.save``): the working folder is an empty one, and what is left there counts as written.
"""

from __future__ import annotations

import contextlib
import os
import socket
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import torch

from avbench.harness.evaluation.random_state import random_state_kept, seed_generators

# audit event -> places of the addresses, or of the paths, among its arguments
CONNECTING = {
    "socket.connect": 1,
    "socket.sendto": 1,
    "socket.sendmsg": 1,
    "socket.getaddrinfo": 0,
    "socket.gethostbyname": 0,
    "urllib.Request": 0,
}
CHANGING: dict[str, tuple[int, ...]] = {
    "os.remove": (0,),
    "os.rename": (0, 1),
    "os.mkdir": (0,),
    "os.rmdir": (0,),
    "os.link": (1,),
    "os.symlink": (1,),
    "os.truncate": (0,),
    "os.chmod": (0,),
    "os.utime": (0,),
    "sqlite3.connect": (0,),
}
LIBRARIES = ("TORCHINDUCTOR_", "TRITON_", "KMP_DUPLICATE_LIB_OK", "KMP_INIT_AT_FORK")
"""Beginnings of environment variables that libraries set when they are imported: torch, scikit-learn."""


@dataclass
class Watch:
    """What was seen while code ran."""

    addresses: list[str] = field(default_factory=list)
    """Where it tried to connect."""
    written: list[str] = field(default_factory=list)
    """Paths outside the folder for temporary files that it tried to write or change."""
    settings: dict[str, tuple[str, str]] = field(default_factory=dict)
    """Settings of the process that it changed: name -> before and after."""
    drew: bool = False
    """Whether it drew from a global random generator or seeded one."""


@contextmanager
def one_thread() -> Iterator[None]:
    """Let torch compute in one thread: on tiny tensors, and beside other processes, more are many times slower."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


@contextmanager
def watched(seed: int) -> Iterator[Watch]:
    """Seed the global generators, run code in an empty working folder, watch it, and put everything back."""
    _install()
    watch, device = Watch(), torch.device("cuda" if torch.cuda.is_available() else "cpu")
    before = _settings()
    with random_state_kept(device), tempfile.TemporaryDirectory() as folder, contextlib.chdir(folder):
        seed_generators(seed)
        generators = _generators()
        bytecode, sys.dont_write_bytecode = sys.dont_write_bytecode, True
        _watches.append((watch, os.path.realpath(folder)))
        try:
            yield watch
        finally:
            _watches.pop()
            sys.dont_write_bytecode = bytecode
            watch.drew = _generators() != generators
            _compare(watch, before, folder)


def _compare(watch: Watch, before: Mapping[str, Any], folder: str) -> None:
    """Note changed settings, undo them, and note files that were left behind."""
    if (here := os.getcwd()) != os.path.realpath(folder):
        watch.settings["working folder"] = ("as it was", here)
        os.chdir(folder)
    after = _settings()
    for name, setting in SETTINGS.items():
        if after[name] != before[name]:
            watch.settings[name] = (str(before[name]), str(after[name]))
            setting.put(before[name])
    for name in sorted(before["environment"].keys() | after["environment"].keys()):
        old, new = before["environment"].get(name), after["environment"].get(name)
        if old != new and not name.startswith(LIBRARIES):
            watch.settings[f"environment variable {name}"] = (str(old), str(new))
            os.environ.pop(name, None) if old is None else os.environ.update({name: old})
    left = (str(path.relative_to(folder)) for path in Path(folder).rglob("*"))
    watch.written += sorted(path for path in left if path not in watch.written)


@dataclass(frozen=True)
class Setting:
    """A setting of the process."""

    get: Callable[[], Any]
    put: Callable[[Any], Any]


def _attribute(owner: Any, name: str) -> Setting:
    return Setting(lambda: getattr(owner, name), lambda value: setattr(owner, name, value))


SETTINGS = {
    "torch.get_default_dtype()": Setting(torch.get_default_dtype, torch.set_default_dtype),
    "torch.get_default_device()": Setting(torch.get_default_device, torch.set_default_device),
    "torch.is_grad_enabled()": Setting(torch.is_grad_enabled, torch.set_grad_enabled),
    "torch.get_num_threads()": Setting(torch.get_num_threads, torch.set_num_threads),
    "torch.are_deterministic_algorithms_enabled()": Setting(
        torch.are_deterministic_algorithms_enabled, torch.use_deterministic_algorithms
    ),
    "torch.get_float32_matmul_precision()": Setting(
        torch.get_float32_matmul_precision, torch.set_float32_matmul_precision
    ),
    "torch.is_anomaly_enabled()": Setting(torch.is_anomaly_enabled, torch.autograd.set_detect_anomaly),
    "torch.backends.cudnn.benchmark": _attribute(torch.backends.cudnn, "benchmark"),
    "torch.backends.cudnn.deterministic": _attribute(torch.backends.cudnn, "deterministic"),
    "numpy.geterr()": Setting(np.geterr, lambda value: np.seterr(**value)),
}


def _settings() -> dict[str, Any]:
    return {name: setting.get() for name, setting in SETTINGS.items()} | {"environment": dict(os.environ)}


def _generators() -> tuple[bytes, str, object]:
    """The states of the global generators, to be compared."""
    import random

    return torch.get_rng_state().numpy().tobytes(), str(np.random.get_state(legacy=False)), random.getstate()


_watches: list[tuple[Watch, str]] = []


@cache
def _install() -> None:
    """Listen to audit events, once per process: an audit hook cannot be removed."""
    sys.addaudithook(lambda event, arguments: _note(event, arguments) if _watches else None)


def _note(event: str, arguments: tuple[Any, ...]) -> None:
    watch, folder = _watches[-1]
    if event in CONNECTING:
        address = arguments[CONNECTING[event]]
        if event.startswith("socket.") and _is_local(arguments[0]):
            return
        text = ":".join(map(str, address[:2])) if isinstance(address, tuple) else str(address)
        if text not in watch.addresses:
            watch.addresses.append(text)
        return
    if event == "open":
        paths = [arguments[0]] if _writes(arguments[1], arguments[2]) else []
    else:
        paths = [arguments[place] for place in CHANGING.get(event, ())]
    for path in paths:
        if isinstance(path, str | bytes | os.PathLike) and not _is_temporary(given := os.fsdecode(path), folder):
            inside = os.path.relpath(os.path.realpath(given), folder)
            name = given if inside.startswith("..") else inside
            if name not in watch.written:
                watch.written.append(name)


def _is_local(connection: object) -> bool:
    """Whether this is a socket between processes of this machine that has no address."""
    return isinstance(connection, socket.socket) and connection.family == getattr(socket, "AF_UNIX", None)


def _writes(mode: object, flags: object) -> bool:
    """Whether a file is opened to be changed: by the letters of ``open``, or by the flags of ``os.open``."""
    if isinstance(mode, str):
        return any(letter in mode for letter in "wax+")
    return isinstance(flags, int) and bool(flags & (os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC))


def _is_temporary(path: str, folder: str) -> bool:
    """Whether a path is a device, or in the folder for temporary files but not in the working folder."""
    path = os.path.realpath(path)
    if path.startswith(folder + os.sep):
        return False
    return path.startswith((os.path.realpath(tempfile.gettempdir()) + os.sep, "/dev/"))
