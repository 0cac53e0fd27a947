"""``avbench leaderboard publish``: a built site as the only commit of a branch, with plain git."""

from __future__ import annotations

import os
import subprocess
from dataclasses import dataclass
from pathlib import Path

from avbench.harness.atomic import scratch
from avbench.harness.errors import AvbenchError, UsageError
from avbench.leaderboard.site.files import MANIFEST, hashes, read_manifest

WHO = {
    f"GIT_{role}_{what}": value
    for role in ("AUTHOR", "COMMITTER")
    for what, value in (("NAME", "avbench"), ("EMAIL", "avbench@localhost"))
}


@dataclass(frozen=True)
class Published:
    """What a publication did. ``changed``: False where the branch held the very same commit already."""

    commit: str
    changed: bool


def publish_site(site: Path, remote: str, branch: str = "gh-pages", *, allow_rejected: bool = False) -> Published:
    """Make a built site the one commit of ``branch``: history stays small, and the same site is the same commit.

    ``remote``: a name known to git in the working directory, a URL or a path. Raises :class:`UsageError` for a folder
    that is not as it was built, a build with rejected records, or a branch that holds anything but such a site;
    :class:`AvbenchError` where git fails.
    """
    manifest = read_manifest(site)
    _refuse_dirty(site, manifest.files)
    if manifest.rejected and not allow_rejected:
        raise UsageError(
            f"the build left {manifest.rejected} records out (see its page 'rejected.html'); "
            "remove them from the results, or publish with --allow-rejected"
        )
    where = _address(remote)
    with scratch("avbench-publish") as temporary:
        git = _Git(temporary, site)
        git("init", "--quiet", "--bare", str(temporary))
        git("add", "--all", "--force", ".")
        tree = git("write-tree")
        date = {"GIT_AUTHOR_DATE": manifest.updated, "GIT_COMMITTER_DATE": manifest.updated}
        message = f"Leaderboard of {manifest.records} runs, {manifest.updated[:10]}"
        commit = git("commit-tree", tree, "-m", message, **date)
        there = git("ls-remote", "--", where, f"refs/heads/{branch}").partition("\t")[0]
        if there == commit:
            return Published(commit, changed=False)
        if there:
            _refuse_foreign(git, where, branch, remote)
        lease = f"--force-with-lease=refs/heads/{branch}:{there}"
        git("push", "--quiet", lease, "--", where, f"{commit}:refs/heads/{branch}")
    return Published(commit, changed=True)


class _Git:
    """git on a repository of its own, blind to the user's settings for content."""

    def __init__(self, repository: Path, work_tree: Path) -> None:
        self.repository, self.work_tree = repository, work_tree.resolve()

    def __call__(self, *arguments: str, **environment: str) -> str:
        settings = ["-c", "core.autocrlf=false", "-c", "core.excludesFile=", "-c", "core.attributesFile="]
        where = {"GIT_DIR": str(self.repository), "GIT_WORK_TREE": str(self.work_tree)}
        outside = {k: v for k, v in os.environ.items() if k not in ("GIT_INDEX_FILE", "GIT_OBJECT_DIRECTORY")}
        if arguments[0] == "init":
            where = {}
        return _run(["git", *settings, *arguments], self.work_tree, {**outside, **WHO, **where, **environment})


def _refuse_dirty(site: Path, built: dict[str, str]) -> None:
    found = hashes(site)
    changed = sorted(name for name in found.keys() | built.keys() if found.get(name) != built.get(name))
    if changed:
        shown = ", ".join(changed[:3]) + (", ..." if len(changed) > 3 else "")
        raise UsageError(f"{site} is not as it was built ({shown}); build it again")


def _refuse_foreign(git: _Git, where: str, branch: str, remote: str) -> None:
    git("fetch", "--quiet", "--depth", "1", "--", where, f"refs/heads/{branch}")
    names = git("ls-tree", "--name-only", "FETCH_HEAD").splitlines()
    if MANIFEST not in names:
        raise UsageError(f"branch {branch!r} of {remote} holds something else than a leaderboard; name another branch")


def _address(remote: str) -> str:
    """The URL behind the name of a remote; anything else is an address already, paths made absolute."""
    if not remote or remote.startswith("-"):
        raise UsageError(f"{remote!r} is no git remote")
    try:
        return _run(["git", "remote", "get-url", "--", remote], Path.cwd(), dict(os.environ))
    except AvbenchError:
        return str(Path(remote).resolve()) if Path(remote).is_dir() else remote


def _run(command: list[str], folder: Path, environment: dict[str, str]) -> str:
    try:
        done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=True)
    except FileNotFoundError:
        raise AvbenchError("git is not installed; publishing needs it") from None
    except subprocess.CalledProcessError as error:
        raise AvbenchError(f"git failed: {error.stderr.strip() or error.stdout.strip()}") from None
    return done.stdout.strip()
