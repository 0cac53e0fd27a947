"""The sandbox of a worker, made by bubblewrap (Linux): Python with its packages and the method's own, and no more.

No network, no other process, no home, no store, no results, no working directory; a private ``/tmp``. All that is there
is read-only. The simulated demo can be made again from its code, so that is left out too.

Shown beside the folders that packages are installed in is only what counts as the method's code, so a run whose code is
that of its record can be shown nothing that its author did not have. What holds answers is never shown: it is covered
where it lies in something that is, and a method whose code or files lie in it is refused.
"""

from __future__ import annotations

import importlib
import shutil
import site
import subprocess
import sys
import sysconfig
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import cache
from importlib.metadata import distribution
from pathlib import Path

from avbench.harness.errors import UsageError
from avbench.harness.isolation.places import Mounts
from avbench.harness.plugins.reach import regular_root
from avbench.harness.plugins.registry import Registered
from avbench.harness.plugins.source_hash import modules_of, named_files, owners_of

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
_TEMPORARY = ("/tmp", "/dev/shm", HOME)
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
    answers: Iterable[Path],
    device: str,
    memory: int,
    words: Sequence[str],
) -> list[str]:
    """The command that runs ``words`` shut in.

    ``code``: of :func:`code_of`. ``files``: what else is read. ``answers``: folders that are left out, as are the demo
    and the working directory, by whatever way they are reached; code may lie in the working directory. ``memory``:
    bytes that temporary files may take, all together. Raises :class:`UsageError` where what is to be shown lies among
    the answers.
    """
    bwrap = shutil.which("bwrap")
    assert bwrap is not None
    mounts, here = Mounts.read(), _working_directory()
    paths = {*_python(mounts, here), *code, *files}
    hidden = [*answers, *_demo()]
    for path in sorted(paths):
        if (folder := mounts.holder(path, hidden)) is not None:
            raise UsageError(f"{path} is of the method or of Python, but a sandbox leaves out {folder}")
        if here is not None and mounts.place_of(path) == mounts.place_of(here):
            raise UsageError(f"{path} is of the method, but a sandbox leaves out the working directory: work elsewhere")
    hidden += [] if here is None else [here]
    found = [bwrap, *SHUT, *_system()]
    for temporary in _TEMPORARY:
        found += ["--size", str(memory // len(_TEMPORARY)), "--tmpfs", temporary]
    shown = {place for path in paths for place in (path.absolute(), path.resolve())}
    covered = {
        way: folder for folder in hidden for place in (*shown, *_folders()) for way in mounts.ways(folder, place)
    }
    for path in sorted(shown | covered.keys()):  # a folder before what is in it
        if path not in covered:
            found += ["--ro-bind", str(path), str(path)]
        elif path.is_dir():
            found += ["--tmpfs", str(path)]
        elif path.exists():
            found += ["--ro-bind", "/dev/null", str(path)]
        else:
            raise UsageError(f"{covered[path]} would be within a sandbox once it is made: make this folder first")
    found += _cuda() if device.startswith("cuda") else []
    for path in (*filter(Path.is_dir, covered), Path("/dev")):  # no room for more files than the temporary ones
        found += ["--remount-ro", str(path)]
    return [*found, "--remount-ro", "/", "--chdir", HOME, "--", *words]


def _folders() -> list[Path]:
    """The folders of the system that are shown."""
    return [path for path in map(Path, _SYSTEM) if path.is_dir() and not path.is_symlink()]


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


def _working_directory() -> Path | None:
    try:
        return Path.cwd()
    except FileNotFoundError:  # it was removed
        return None


def _python(mounts: Mounts, here: Path | None) -> set[Path]:
    """The interpreter with its library, and the folders that packages are installed in.

    A virtual environment may have been made in the folder of a project, or in the working directory: of those its own
    parts are named, and nothing else is.
    """
    scheme = sysconfig.get_paths()
    prefixes = {Path(place) for place in (sys.prefix, sys.base_prefix, sys.exec_prefix, sys.base_exec_prefix)}
    mixed = {
        prefix
        for prefix in prefixes
        if (prefix / "pyvenv.cfg").exists() or (here and mounts.place_of(prefix) == mounts.place_of(here))
    }
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
    for name, path in modules.items():
        if not name.startswith("avbench."):
            yield regular_root(name, path) or path
    for top in foreign - sys.stdlib_module_names - {"avbench"}:
        yield from _installed(top)
    yield from named_files(registered)


def _installed(top: str) -> Iterator[Path]:
    """The package or the module of a name, where it lies beside what its distribution says of itself.

    Any other is in a folder that Python was led to, and nothing of it counts but a version.
    """
    for name in owners_of(top):
        beside = Path(str(distribution(name).locate_file("")))
        for place in (beside / top, beside / f"{top}.py"):
            if place.is_file() or (place / "__init__.py").is_file():
                yield place


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
