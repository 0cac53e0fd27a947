"""The sandbox of a worker, made by bubblewrap (Linux): Python with its packages and the method's own, and no more.

No network, no other process, no home, no store, no results, no working directory; a private ``/tmp``. All that is there
is read-only. The simulated demo can be made again from its code, so that is left out too.
"""

from __future__ import annotations

import importlib
import shutil
import site
import subprocess
import sys
import sysconfig
from collections.abc import Container, Iterable, Iterator, Mapping, Sequence
from functools import cache
from importlib.util import find_spec
from pathlib import Path

from avbench.harness.plugins.registry import Registered
from avbench.harness.plugins.source_hash import modules_of, named_files

HOME = "/home/method"
ENVIRONMENT: Mapping[str, str] = {
    "HOME": HOME,
    "PATH": "/usr/bin:/bin",
    "USER": "method",
    "TMPDIR": "/tmp",
    "PYTHONDONTWRITEBYTECODE": "1",
}
SHUT = (
    "--unshare-all",
    "--die-with-parent",
    "--new-session",
    "--cap-drop",
    "ALL",
    "--hostname",
    "method",
    "--proc",
    "/proc",
    "--dev",
    "/dev",
)
_SYSTEM = ("/usr", "/lib", "/lib32", "/lib64", "/bin", "/sbin")
_SETTINGS = ("/etc/ld.so.cache", "/etc/ld.so.conf", "/etc/ld.so.conf.d", "/etc/alternatives", "/etc/localtime")
_PROCESSORS = "/sys/devices/system"
"""How many processors there are, and what they are: kernels of matrix products are chosen by it."""
_PACKAGES = ("avbench", "avbench.harness", "avbench.methods", "avbench.splits")
_ANSWERS = ("demo.py", "demo_temporal.py")
"""Modules of avbench that make the features of the demo, with their labels."""
_OF_PREFIX = ("bin", "lib", "lib64", "pyvenv.cfg")
"""What Python needs of an environment's folder."""
_TRY_SECONDS = 20


@cache
def unavailable() -> str | None:
    """Why there can be no sandbox here, and what to do about it; None where there can."""
    if sys.platform != "linux":
        return "there are sandboxes on Linux only; use --isolation process"
    if not (bwrap := shutil.which("bwrap")):
        return "bubblewrap is not installed: install the package 'bubblewrap' (apt install bubblewrap)"
    command = [bwrap, *SHUT, *_system(), "--", "/usr/bin/env"]
    try:
        done = subprocess.run(command, capture_output=True, timeout=_TRY_SECONDS, check=False)
    except (OSError, subprocess.TimeoutExpired) as error:
        return f"bubblewrap does not run ({error}): reinstall the package 'bubblewrap'"
    if done.returncode:
        said = done.stderr.decode("utf-8", "replace").strip()[:300]
        return (
            f"bubblewrap can make no sandbox here ({said}): user namespaces must be allowed (sysctl "
            "kernel.unprivileged_userns_clone=1 or kernel.apparmor_restrict_unprivileged_userns=0; in a container, "
            "by whoever starts it)"
        )
    return None


def command(
    code: Iterable[Path],
    files: Iterable[Path],
    hidden: Iterable[Path],
    device: str,
    memory: int,
    words: Sequence[str],
) -> list[str]:
    """The command that runs ``words`` shut in.

    ``code``: of :func:`code_of`. ``files``: what else is read. ``hidden``: folders that are left out wherever they lie.
    ``memory``: bytes that temporary files may take.
    """
    bwrap = shutil.which("bwrap")
    assert bwrap is not None
    found = [bwrap, *SHUT, *_system()]
    for place in ("/tmp", "/dev/shm", HOME):
        found += ["--size", str(memory), "--tmpfs", place]
    masked = {path.resolve() for path in hidden}
    paths = (*_python(masked), *code, *files)
    shown = {place for path in paths for place in (path.absolute(), path.resolve())}
    left_out = {path.resolve() for path in (*_demo(), *masked) if path.exists()}
    left_out |= {  # where they lie for who comes by a link
        path.absolute() / place.relative_to(path.resolve())
        for path in paths
        for place in left_out
        if place.is_relative_to(path.resolve())
    }
    for path in sorted(shown | left_out):  # a folder before what is in it
        if path in shown:
            found += ["--ro-bind", str(path), str(path)]
        elif any(path.is_relative_to(place) for place in (*shown, *map(Path, _SYSTEM))):
            found += ["--tmpfs", str(path)] if path.is_dir() else ["--ro-bind", "/dev/null", str(path)]
    if device.startswith("cuda"):
        found += _cuda()
    return [*found, "--remount-ro", "/", "--chdir", HOME, "--", *words]


def _system() -> list[str]:
    found: list[str] = []
    for place in _SYSTEM:
        path = Path(place)
        if path.is_symlink():
            found += ["--symlink", str(path.readlink()), place]
        elif path.is_dir():
            found += ["--ro-bind", place, place]
    for place in (*_SETTINGS, _PROCESSORS):
        found += ["--ro-bind-try", place, place]
    return found


def _python(hidden: Container[Path]) -> set[Path]:
    """The interpreter with its library, and the folders that packages are installed in.

    A virtual environment may have been made in a folder that is hidden, such as the working directory: then its own
    parts are named, and nothing else of that folder is.
    """
    scheme = sysconfig.get_paths()
    prefixes = {Path(place) for place in (sys.prefix, sys.base_prefix, sys.exec_prefix, sys.base_exec_prefix)}
    mixed = {prefix for prefix in prefixes if prefix.resolve() in hidden}
    places = [*(prefixes - mixed), *(prefix / part for prefix in mixed for part in _OF_PREFIX)]
    places += [Path(scheme[name]) for name in ("stdlib", "platstdlib", "purelib", "platlib")]
    places += [path for path in map(Path, sys.path) if path.name in ("site-packages", "dist-packages")]
    if site.ENABLE_USER_SITE:
        places.append(Path(site.getusersitepackages()))
    executable = Path(sys.executable)
    places += [executable.parent, executable.resolve().parent]
    return {path for path in places if path.exists()}


def code_of(registered: Registered) -> Iterator[Path]:
    """avbench without its board, the code of a method and what that needs, and the files that it names."""
    for name in _PACKAGES:
        yield from map(Path, importlib.import_module(name).__path__)
    modules, foreign = modules_of(registered)
    for top in {name.partition(".")[0] for name in modules} | foreign:
        if top != "avbench" and top not in sys.stdlib_module_names:
            yield from _places(top)
    yield from named_files(registered)


def _places(top: str) -> Iterator[Path]:
    """The folders of a package, or the file of a module."""
    try:
        spec = find_spec(top)
    except (ImportError, ValueError):
        return
    if spec is None:
        return
    places = list(spec.submodule_search_locations or ())
    if not places and spec.has_location and spec.origin:
        places = [spec.origin]
    yield from (Path(place) for place in places if Path(place).exists())


def _demo() -> Iterator[Path]:
    for place in importlib.import_module("avbench.harness.features").__path__:
        for name in _ANSWERS:
            yield Path(place) / name
            yield from Path(place, "__pycache__").glob(f"{Path(name).stem}.*.pyc")


def _cuda() -> list[str]:
    found: list[str] = []
    for device in sorted(Path("/dev").glob("nvidia*")):
        found += ["--dev-bind", str(device), str(device)]
    return [*found, "--ro-bind-try", "/sys", "/sys"]
