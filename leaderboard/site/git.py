"""Plain git on a repository of its own: blind to the user's settings for content, and with those for the network."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterable, Mapping
from functools import cached_property
from pathlib import Path

from avbench.harness.errors import AvbenchError

WHO = {
    f"GIT_{role}_{what}": value
    for role in ("AUTHOR", "COMMITTER")
    for what, value in (("NAME", "avbench"), ("EMAIL", "avbench@localhost"))
}
_NETWORK = ("credential.", "http.", "https.", "url.", "ssh.", "protocol.", "remote.", "safe.", "core.sshcommand",
            "core.askpass", "core.gitproxy")  # fmt: skip
"""Beginnings of the settings that say how to reach a remote."""
_ALONE = {"GIT_CONFIG_NOSYSTEM": "1", "GIT_CONFIG_GLOBAL": os.devnull}
_OF_A_REPOSITORY = (
    "GIT_DIR",
    "GIT_WORK_TREE",
    "GIT_COMMON_DIR",
    "GIT_INDEX_FILE",
    "GIT_OBJECT_DIRECTORY",
    "GIT_ALTERNATE_OBJECT_DIRECTORIES",
    "GIT_NAMESPACE",
    "GIT_PREFIX",
    "GIT_CONFIG",
    "GIT_CONFIG_PARAMETERS",
)


class GitError(AvbenchError):
    """git failed."""


class Git:
    """git on the bare repository ``repository``, whose files are those of ``work_tree``."""

    def __init__(self, repository: Path, work_tree: Path) -> None:
        self.repository, self.work_tree = repository, work_tree.resolve()

    def __call__(self, *arguments: str, given: str | None = None, **environment: str) -> str:
        """Run a command on files and objects. ``given``: its standard input."""
        settings = ["-c", "core.autocrlf=false", "-c", "core.excludesFile=", "-c", "core.attributesFile="]
        where = {"GIT_DIR": str(self.repository), "GIT_WORK_TREE": str(self.work_tree)}
        if arguments[0] == "init":
            where = {}
        return run(["git", *settings, *arguments], self.work_tree, {**_outside(), **WHO, **where, **environment}, given)

    def add(self, names: Iterable[str]) -> None:
        """Take up these files of the work tree."""
        self("--literal-pathspecs", "add", "--force", "--pathspec-from-file=-", "--pathspec-file-nul",
             given="\0".join(names))  # fmt: skip

    def remote(self, *arguments: str) -> str:
        """Run a command that reaches a remote as git in the working directory would: with all settings of the user
        and of the repository there for addresses, ssh, credentials and headers, paths relative to its top."""
        numbered = [(f"GIT_CONFIG_KEY_{n}", f"GIT_CONFIG_VALUE_{n}", pair) for n, pair in enumerate(self._settings)]
        settings = {name: text for key, value, pair in numbered for name, text in zip((key, value), pair, strict=True)}
        counted = {"GIT_CONFIG_COUNT": str(len(self._settings)), "GIT_DIR": str(self.repository)}
        return run(["git", *arguments], self._top, {**_outside(), **_ALONE, **settings, **counted})

    @cached_property
    def _settings(self) -> list[tuple[str, str]]:
        listed = run(["git", "config", "--list", "-z"], Path.cwd(), dict(os.environ))
        pairs = (entry.partition("\n") for entry in listed.split("\0"))
        return [(key, value if line else "true") for key, line, value in pairs if key.startswith(_NETWORK)]

    @cached_property
    def _top(self) -> Path:
        """The top of the checkout in the working directory; outside one, the working directory."""
        try:
            return Path(run(["git", "rev-parse", "--show-toplevel"], Path.cwd(), dict(os.environ)))
        except GitError:
            return Path.cwd()


def _outside() -> dict[str, str]:
    """The environment without what speaks of another repository."""
    return {name: value for name, value in os.environ.items() if name not in _OF_A_REPOSITORY}


def run(command: list[str], folder: Path, environment: Mapping[str, str], given: str | None = None) -> str:
    """The output of a command. Raises :class:`GitError` with what git says."""
    try:
        done = subprocess.run(
            command, cwd=folder, env=dict(environment), input=given, capture_output=True, text=True,
            errors="surrogateescape", check=True,
        )  # fmt: skip
    except FileNotFoundError:
        raise AvbenchError("git is not installed; publishing needs it") from None
    except subprocess.CalledProcessError as error:
        said = (error.stderr.strip() or error.stdout.strip()).encode("utf-8", "replace").decode()
        raise GitError(f"git failed: {said}") from None
    return done.stdout.strip("\n")
