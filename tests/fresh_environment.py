"""Virtual environments made in seconds: the dependencies are those of the running one, avbench comes from a wheel."""

from __future__ import annotations

import copy
import os
import shutil
import subprocess
import sys
import sysconfig
from collections.abc import Mapping
from pathlib import Path

ROOT = Path(__file__).parent.parent
PIP = ("-m", "pip", "--disable-pip-version-check", "--no-input")
OFFLINE = ("--no-deps", "--no-build-isolation", "--no-index")
FOREIGN = ("AVBENCH_", "PYTHON", "PYTEST_")
"""Prefixes of variables that would carry settings of the running tests into the environment."""


def checked(
    *command: str, cwd: Path | None = None, env: Mapping[str, str] | None = None, timeout: float = 600
) -> subprocess.CompletedProcess[str]:
    """Run a command to its end; raises ``AssertionError`` with all its output when it fails."""
    done = subprocess.run(command, cwd=cwd, env=env, capture_output=True, text=True, check=False, timeout=timeout)
    assert done.returncode == 0, f"{' '.join(command)}: exit {done.returncode}\n{done.stdout}\n{done.stderr}"
    return done


def build_wheel(source: Path, folder: Path) -> Path:
    """Build the wheel of a source tree into a folder. The tree stays as it is: a copy of it is built."""
    copy = folder / "source" / source.resolve().name
    shutil.copytree(source, copy, ignore=_not_source)
    before = set(folder.glob("*.whl"))
    checked(sys.executable, *PIP, "wheel", *OFFLINE, "--wheel-dir", str(folder), str(copy))
    shutil.rmtree(folder / "source")
    (wheel,) = set(folder.glob("*.whl")) - before
    return wheel


def _not_source(folder: str, names: list[str]) -> list[str]:
    """Hidden folders, what builds leave behind, and virtual environments, whatever they are called."""
    left = {"__pycache__", "build", "dist"}
    return [
        name
        for name in names
        if name in left
        or name.startswith(".")
        or name.endswith(".egg-info")
        or Path(folder, name, "pyvenv.cfg").exists()
    ]


class FreshEnvironment:
    """A new virtual environment under ``root`` that sees the packages installed beside the running Python.

    A path in a ``.pth`` file is searched last, and the ``.pth`` files in it are not read: an editable avbench of the
    running environment cannot be imported here, and an installed one is hidden by what :meth:`install` brings.
    """

    def __init__(self, root: Path) -> None:
        self.root = root
        self.bin = root / "environment" / "bin"
        self.home = root / "home"
        checked(sys.executable, "-m", "venv", "--without-pip", str(self.bin.parent))
        version = f"python{sys.version_info.major}.{sys.version_info.minor}"
        packages = self.bin.parent / "lib" / version / "site-packages"
        parents = {sysconfig.get_path("purelib"), sysconfig.get_path("platlib")}
        (packages / "parents.pth").write_text("".join(f"{path}\n" for path in sorted(parents)))

    def at(self, root: Path) -> FreshEnvironment:
        """The same packages for somebody who works in another folder and has other data."""
        found = copy.copy(self)
        found.root, found.home = root, root / "home"
        return found

    def install(self, *packages: Path, editable: bool = False) -> None:
        """Install wheels or source folders, without their dependencies and without a network."""
        options = ["--editable"] if editable else []
        for package in packages:
            self.run("python", *PIP, "install", *OFFLINE, "--force-reinstall", *options, str(package))

    def environment(self) -> dict[str, str]:
        """The variables that commands run under: one thread, a data folder of their own."""
        kept = {name: value for name, value in os.environ.items() if not name.startswith(FOREIGN)}
        own = {"AVBENCH_HOME": str(self.home), "OMP_NUM_THREADS": "1", "VIRTUAL_ENV": str(self.bin.parent)}
        return {**kept, **own, "PATH": f"{self.bin}{os.pathsep}{os.environ['PATH']}"}

    def run(
        self, program: str, *arguments: str, cwd: Path | None = None, env: Mapping[str, str] | None = None
    ) -> subprocess.CompletedProcess[str]:
        """Run a program of this environment, in ``root`` unless told; it must succeed (see :func:`checked`)."""
        path = self.bin / program
        assert path.exists(), f"{program} is not installed in {self.bin.parent}"
        return checked(str(path), *arguments, cwd=cwd or self.root, env={**self.environment(), **(env or {})})
