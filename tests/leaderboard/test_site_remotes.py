"""Publishing reaches a remote as git would, and replaces nothing but a leaderboard."""

from __future__ import annotations

import http.client
import os
import stat
import subprocess
import threading
from pathlib import Path
from queue import Queue

import pytest

from avbench.harness.errors import AvbenchError, UsageError
from avbench.leaderboard.site import publish_site, serve_site
from avbench.leaderboard.site.files import MANIFEST, Manifest, hashes


def git(folder: Path, *arguments: str) -> str:
    done = subprocess.run(["git", *arguments], cwd=folder, capture_output=True, text=True, check=True)
    return done.stdout.strip()


def bare(path: Path) -> Path:
    subprocess.run(["git", "init", "--quiet", "--bare", "--initial-branch=main", str(path)], check=True)
    return path


def site_of(folder: Path, text: str = "numbers") -> Path:
    folder.mkdir(exist_ok=True)
    (folder / "index.html").write_text(text)
    (folder / MANIFEST).unlink(missing_ok=True)
    manifest = Manifest(
        avbench="1", records=1, failed=0, rejected=0, updated="2026-01-01T00:00:00Z", files=hashes(folder)
    )
    (folder / MANIFEST).write_text(manifest.model_dump_json())
    return folder


@pytest.fixture
def site(tmp_path: Path) -> Path:
    return site_of(tmp_path / "site")


@pytest.fixture
def checkout(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    path = tmp_path / "checkout"
    subprocess.run(["git", "init", "--quiet", str(path)], check=True)
    monkeypatch.chdir(path)
    return path


def branches(remote: Path) -> str:
    return git(remote, "branch", "--list", "--format=%(refname:short)")


def test_a_push_address_of_its_own_is_used(tmp_path: Path, site: Path, checkout: Path) -> None:
    fetched, pushed, second = (bare(tmp_path / f"{name}.git") for name in ("fetched", "pushed", "second"))
    git(checkout, "remote", "add", "origin", str(fetched))
    git(checkout, "remote", "set-url", "--push", "origin", str(pushed))
    git(checkout, "remote", "set-url", "--push", "--add", "origin", str(second))
    assert publish_site(site, "origin").changed
    assert not publish_site(site, "origin").changed
    assert (branches(fetched), branches(pushed), branches(second)) == ("", "gh-pages", "gh-pages")
    assert not git(checkout, "for-each-ref")
    assert not list((checkout / ".git" / "objects").rglob("??/*"))


def test_relative_remotes_start_at_the_top_of_the_checkout(
    tmp_path: Path, site: Path, checkout: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    remote = bare(tmp_path / "remote.git")
    git(checkout, "remote", "add", "origin", "../remote.git")
    (checkout / "below").mkdir()
    monkeypatch.chdir(checkout / "below")
    assert publish_site(site, "origin").changed
    assert not publish_site(site, "../../remote.git").changed
    assert branches(remote) == "gh-pages"


def test_settings_of_the_repository_for_the_network_are_used(tmp_path: Path, site: Path, checkout: Path) -> None:
    """``core.sshCommand`` and ``url.*.insteadOf`` of the repository decide how a remote is reached."""
    remote = bare(tmp_path / "remote.git")
    ssh = tmp_path / "ssh"
    ssh.write_text(f'#!/bin/sh\necho "$@" >> {tmp_path}/asked\nshift $(($# - 1))\nexec sh -c "$1"\n')
    ssh.chmod(ssh.stat().st_mode | stat.S_IXUSR)
    git(checkout, "config", "core.sshCommand", str(ssh))
    git(checkout, "config", f"url.ssh://nobody@host.invalid{tmp_path}/.insteadOf", "lab:")
    git(checkout, "remote", "add", "origin", "lab:remote.git")
    assert publish_site(site, "origin").changed
    assert "nobody@host.invalid" in (tmp_path / "asked").read_text()
    assert branches(remote) == "gh-pages"


def test_a_header_of_the_repository_reaches_git(tmp_path: Path, checkout: Path) -> None:
    from avbench.leaderboard.site.git import Git

    git(checkout, "config", "http.https://host.invalid/.extraHeader", "X-Lab: 1")
    git(checkout, "config", "credential.helper", "store")
    repository = Git(bare(tmp_path / "own.git"), tmp_path)
    assert repository.remote("config", "--get-all", "http.https://host.invalid/.extraHeader") == "X-Lab: 1"
    assert repository.remote("config", "--get-all", "credential.helper").splitlines()[-1] == "store"


def commit(folder: Path, remote: Path, **files: str) -> str:
    """A commit on the branch gh-pages with these files more."""
    git(folder.parent, "clone", "--quiet", "--branch", "gh-pages", str(remote), str(folder))
    for name, text in files.items():
        (folder / name).write_text(text)
    git(folder, "add", "--all")
    git(folder, "-c", "user.name=a", "-c", "user.email=a@b", "commit", "--quiet", "-m", "more")
    git(folder, "push", "--quiet", "origin", "HEAD:gh-pages")
    return git(folder, "rev-parse", "HEAD")


def test_a_branch_with_more_than_a_site_is_left_alone(tmp_path: Path, site: Path) -> None:
    remote = bare(tmp_path / "remote.git")
    publish_site(site, str(remote))
    there = commit(tmp_path / "work", remote, thesis="years of work")
    with pytest.raises(UsageError, match=r"1 files that are no part of a leaderboard \(thesis\)"):
        publish_site(site_of(site, "new"), str(remote))
    assert git(remote, "rev-parse", "gh-pages") == there


def test_a_domain_stays(tmp_path: Path, site: Path) -> None:
    remote = bare(tmp_path / "remote.git")
    publish_site(site, str(remote))
    commit(tmp_path / "work", remote, CNAME="board.example\n")
    assert publish_site(site_of(site, "new"), str(remote)).changed
    assert git(remote, "show", "gh-pages:CNAME") == "board.example"
    assert git(remote, "show", "gh-pages:index.html") == "new"
    assert git(remote, "rev-list", "--count", "gh-pages") == "1"
    assert not publish_site(site, str(remote)).changed


@pytest.mark.parametrize("branch", ["*", "-d", "HEAD", "@", "a..b", "a b", "", "x.lock", "@{-1}", "a~1"])
def test_only_names_of_branches(tmp_path: Path, site: Path, checkout: Path, branch: str) -> None:
    remote = bare(tmp_path / "remote.git")
    publish_site(site, str(remote))
    with pytest.raises(UsageError, match="is no name of a branch"):
        publish_site(site, str(remote), branch)
    assert branches(remote) == "gh-pages"


def test_leftovers_of_a_file_manager_are_not_published(tmp_path: Path, site: Path) -> None:
    remote = bare(tmp_path / "remote.git")
    (site / ".DS_Store").write_bytes(b"\0")
    assert publish_site(site, str(remote)).changed
    assert git(remote, "ls-tree", "--name-only", "gh-pages").splitlines() == [MANIFEST, "index.html"]


@pytest.mark.skipif(os.getuid() != 0, reason="only root can give a folder to another user")
def test_a_repository_of_another_user_comes_with_gits_advice(tmp_path: Path, site: Path) -> None:
    remote = bare(tmp_path / "remote.git")
    for path in (remote, *remote.rglob("*")):
        os.chown(path, 54321, 54321)
    with pytest.raises(AvbenchError, match=r"safe\.directory"):
        publish_site(site, str(remote))


def test_serve_answers_for_this_machine_and_lists_no_folder(site: Path) -> None:
    (site / "runs").mkdir()
    ready: Queue[str] = Queue()
    threading.Thread(target=serve_site, args=(site, 0, ready.put), daemon=True).start()
    port = int(ready.get(timeout=120).rstrip("/").rpartition(":")[2])

    def status(path: str, host: str) -> int:
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=120)
        connection.request("GET", path, headers={"Host": host})
        return connection.getresponse().status

    assert status("/", f"127.0.0.1:{port}") == 200
    assert status("/index.html", f"localhost:{port}") == 200
    assert status("/", "evil.example") == 421
    assert status("/", f"evil.example:{port}") == 421
    assert status("/runs/", f"127.0.0.1:{port}") == 404
    assert status("/runs", f"127.0.0.1:{port}") in (301, 404)
