"""``avbench leaderboard publish``: a built site as the only commit of a branch, with plain git."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from avbench.harness.atomic import scratch
from avbench.harness.errors import UsageError
from avbench.harness.printable import printable
from avbench.harness.untrusted import is_litter
from avbench.leaderboard.site.files import MANIFEST, MAX_MANIFEST_BYTES, Manifest, hashes, read_manifest
from avbench.leaderboard.site.git import Git, GitError, run

DOMAIN = "CNAME"
"""The domain of the site, which hosts keep in the branch. It stays."""


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
    _refuse_branch(branch)
    with scratch("avbench-publish") as temporary:
        git = Git(temporary, site)
        git("init", "--quiet", "--bare", str(temporary))
        git.add([MANIFEST, *manifest.files])
        done = [_push(git, manifest, url, branch, remote) for url in _addresses(remote)]
    return Published(done[0].commit, any(published.changed for published in done))


def _push(git: Git, manifest: Manifest, url: str, branch: str, remote: str) -> Published:
    """Publish to one address what the index holds, and the ``CNAME`` that the branch has."""
    ref = f"refs/heads/{branch}"
    listed = (line.partition("\t") for line in git.remote("ls-remote", "--", url, ref).splitlines())
    there = next((commit for commit, _, name in listed if name == ref), "")
    if DOMAIN not in manifest.files:  # of another address
        git("update-index", "--force-remove", "--", DOMAIN)
    if there:
        git.remote("fetch", "--quiet", "--depth", "1", "--", url, ref)
        _refuse_foreign(git, branch, remote)
        if DOMAIN not in manifest.files and (entry := git("ls-tree", "FETCH_HEAD", "--", DOMAIN)):
            git("update-index", "--add", "--cacheinfo", f"100644,{entry.split()[2]},{DOMAIN}")
    date = {"GIT_AUTHOR_DATE": manifest.updated, "GIT_COMMITTER_DATE": manifest.updated}
    message = f"Leaderboard of {manifest.records} runs, {manifest.updated[:10]}"
    commit = git("commit-tree", git("write-tree"), "-m", message, **date)
    if there != commit:
        git.remote("push", "--quiet", f"--force-with-lease={ref}:{there}", "--", url, f"{commit}:{ref}")
    return Published(commit, changed=there != commit)


def _refuse_dirty(site: Path, built: dict[str, str]) -> None:
    found = {name: digest for name, digest in hashes(site).items() if not any(map(is_litter, name.split("/")))}
    changed = sorted(name for name in found.keys() | built.keys() if found.get(name) != built.get(name))
    if changed:
        shown = ", ".join(changed[:3]) + (", ..." if len(changed) > 3 else "")
        raise UsageError(f"{site} is not as it was built ({shown}); build it again")


def _refuse_branch(branch: str) -> None:
    """Only what git takes as the name of a new branch, and no abbreviation of another one."""
    try:
        known = run(["git", "check-ref-format", "--branch", branch], Path.cwd(), dict(os.environ)) == branch
    except GitError:
        known = False
    if not known or branch in ("HEAD", "@"):
        raise UsageError(f"{branch!r} is no name of a branch; 'git check-ref-format --help' has the rules")


def _refuse_foreign(git: Git, branch: str, remote: str) -> None:
    """The branch may hold a site, every file of which its own manifest lists, and a ``CNAME``; nothing else."""
    names = set(git("ls-tree", "-r", "-z", "--name-only", "FETCH_HEAD").split("\0")) - {""}
    where = f"branch {branch!r} of {remote}"
    if MANIFEST not in names:
        raise UsageError(f"{where} holds something else than a leaderboard; name another branch")
    try:
        if int(git("cat-file", "-s", f"FETCH_HEAD:{MANIFEST}")) > MAX_MANIFEST_BYTES:
            raise ValueError("too large")
        known = Manifest.model_validate_json(git("cat-file", "blob", f"FETCH_HEAD:{MANIFEST}")).files
    except ValueError:
        raise UsageError(f"{where} holds a manifest that cannot be read; name another branch") from None
    if foreign := sorted(names - known.keys() - {MANIFEST, DOMAIN}):
        shown = ", ".join(printable(name, 60) for name in foreign[:3]) + (", ..." if len(foreign) > 3 else "")
        raise UsageError(
            f"{where} holds {len(foreign)} files that are no part of a leaderboard ({shown}) and would be lost; "
            "move them, or name another branch"
        )


def _addresses(remote: str) -> list[str]:
    """Where git would push to for a remote's name; anything else is an address already, paths made absolute."""
    if not remote or remote.startswith("-"):
        raise UsageError(f"{remote!r} is no git remote")
    try:
        return run(
            ["git", "remote", "get-url", "--push", "--all", "--", remote], Path.cwd(), dict(os.environ)
        ).splitlines()
    except GitError:
        return [str(Path(remote).resolve()) if Path(remote).is_dir() else remote]
