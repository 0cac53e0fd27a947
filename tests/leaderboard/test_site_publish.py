"""Publishing to a local bare repository, serving, and the command line of the site."""

from __future__ import annotations

import os
import re
import shlex
import socket
import subprocess
import sys
import threading
import urllib.request
from pathlib import Path
from queue import Queue

import pytest
from simulated_results import simulated_run, store
from simulated_site import UCF, results

from avbench.harness.errors import AvbenchError, UsageError
from avbench.leaderboard.site import build_site, publish_site, serve_site
from avbench.leaderboard.site.files import hashes

ROOT = Path(__file__).parents[2]


def git(folder: Path, *arguments: str) -> str:
    done = subprocess.run(["git", *arguments], cwd=folder, capture_output=True, text=True, check=True)
    return done.stdout.strip()


@pytest.fixture
def remote(tmp_path: Path) -> Path:
    path = tmp_path / "remote.git"
    subprocess.run(["git", "init", "--quiet", "--bare", "--initial-branch=main", str(path)], check=True)
    return path


@pytest.fixture
def site(tmp_path: Path) -> Path:
    build_site(store(tmp_path / "results", [simulated_run("good", UCF)]), tmp_path / "site")
    return tmp_path / "site"


def test_the_branch_holds_the_site_and_one_commit(remote: Path, site: Path, tmp_path: Path) -> None:
    first = publish_site(site, str(remote))
    assert first.changed
    assert git(remote, "rev-parse", "gh-pages") == first.commit
    assert git(remote, "rev-list", "--count", "gh-pages") == "1"
    git(tmp_path, "clone", "--quiet", "--branch", "gh-pages", str(remote), "clone")
    assert (
        hashes(site).items()
        <= {name: digest for name, digest in hashes(tmp_path / "clone").items() if not name.startswith(".git/")}.items()
    )
    build_site(store(tmp_path / "results", [simulated_run("better", UCF)]), site)
    second = publish_site(site, str(remote))
    assert second.changed
    assert git(remote, "rev-list", "--count", "gh-pages") == "1"
    assert git(remote, "rev-parse", "gh-pages") == second.commit != first.commit


def test_the_same_site_is_the_same_commit(remote: Path, site: Path) -> None:
    first = publish_site(site, str(remote))
    again = publish_site(site, str(remote))
    assert (again.commit, again.changed) == (first.commit, False)


def test_the_names_of_remotes_are_known(
    remote: Path, site: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    checkout = tmp_path / "checkout"
    subprocess.run(["git", "init", "--quiet", str(checkout)], check=True)
    git(checkout, "remote", "add", "origin", str(remote))
    monkeypatch.chdir(checkout)
    assert publish_site(site, "origin", "pages").changed
    assert git(remote, "branch", "--list", "pages")
    assert not git(checkout, "status", "--porcelain")


def test_a_changed_folder_is_refused(remote: Path, site: Path) -> None:
    (site / "index.html").write_text("better numbers")
    (site / "extra.html").write_text("more")
    with pytest.raises(UsageError, match=re.escape("(extra.html, index.html)")):
        publish_site(site, str(remote))
    assert not git(remote, "branch", "--list")


def test_a_build_with_rejected_records_is_refused(remote: Path, tmp_path: Path) -> None:
    build_site(results(tmp_path / "results"), tmp_path / "site")
    with pytest.raises(UsageError, match="left 1 records out"):
        publish_site(tmp_path / "site", str(remote))
    assert not git(remote, "branch", "--list")
    assert publish_site(tmp_path / "site", str(remote), allow_rejected=True).changed


def test_a_branch_with_other_content_is_left_alone(remote: Path, site: Path, tmp_path: Path) -> None:
    git(tmp_path, "clone", "--quiet", str(remote), "work")
    (tmp_path / "work" / "code.py").write_text("print(1)")
    git(tmp_path / "work", "add", ".")
    git(tmp_path / "work", "-c", "user.name=a", "-c", "user.email=a@b", "commit", "--quiet", "-m", "code")
    git(tmp_path / "work", "push", "--quiet", "origin", "HEAD:main")
    before = git(remote, "rev-parse", "main")
    with pytest.raises(UsageError, match="something else than a leaderboard"):
        publish_site(site, str(remote), "main")
    assert git(remote, "rev-parse", "main") == before


def test_what_is_no_site_or_no_remote(site: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="holds no built site"):
        publish_site(tmp_path, "origin")
    with pytest.raises(UsageError, match="is no git remote"):
        publish_site(site, "--upload-pack=touch /tmp/x")
    with pytest.raises(AvbenchError, match="git failed"):
        publish_site(site, str(tmp_path / "nowhere.git"))


def test_serve_answers_on_this_machine_only(site: Path) -> None:
    ready: Queue[str] = Queue()
    threading.Thread(target=serve_site, args=(site, 0, ready.put), daemon=True).start()
    url = ready.get(timeout=120)
    assert url.startswith("http://127.0.0.1:")
    with urllib.request.urlopen(f"{url}index.html", timeout=120) as answer:
        assert answer.read() == (site / "index.html").read_bytes()


def test_serve_says_what_is_wrong(site: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="holds no built site"):
        serve_site(tmp_path, 0)
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        with pytest.raises(UsageError, match="choose another with --port"):
            serve_site(site, taken.getsockname()[1])


def test_build_names_what_it_leaves_out(tmp_path: Path) -> None:
    results(tmp_path / "results")
    code = subprocess.run(
        [sys.executable, "-c", "from avbench.harness.cli import main; main()", "leaderboard", "build"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert code.returncode == 0, code.stderr
    assert "left out: ucf/main/liar/aligned/" in code.stderr
    assert "HM is stated as 99.0000" in code.stderr
    assert "1 records left out, 1 failed runs" in code.stdout
    assert (tmp_path / "site" / "index.html").is_file()


def test_help_needs_no_torch(tmp_path: Path) -> None:
    code = (
        "import sys\nfrom avbench.harness.cli import main\n"
        "try:\n    main(['leaderboard', 'build'])\nfinally:\n    assert 'torch' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], cwd=tmp_path, check=True, capture_output=True)


def test_the_readme_followed_literally(remote: Path, tmp_path: Path) -> None:
    """The commands of the README's section, in a checkout whose ``origin`` is a local repository."""
    section = (ROOT / "README.md").read_text("utf-8").partition("## Publish your board")[2].partition("\n## ")[0]
    commands = [
        shlex.split(line, comments=True)
        for block in re.findall(r"```sh\n(.*?)```", section, re.DOTALL)
        for line in block.splitlines()
    ]
    assert [c[1:3] for c in commands] == [
        ["results", "verify"],
        ["leaderboard", "build"],
        ["leaderboard", "serve"],
        ["leaderboard", "publish"],
    ]
    checkout = tmp_path / "checkout"
    subprocess.run(["git", "init", "--quiet", str(checkout)], check=True)
    git(checkout, "remote", "add", "origin", str(remote))
    store(checkout / "results", [simulated_run("good", UCF)])
    run = [sys.executable, "-c", "from avbench.harness.cli import main; main()"]
    for command in commands:
        assert command[0] == "avbench"
        if command[2] == "serve":
            arguments = [*run, *command[1:], "--port", "0"]
            with subprocess.Popen(arguments, cwd=checkout, stdout=subprocess.PIPE, text=True) as server:
                assert server.stdout is not None
                assert server.stdout.readline().startswith("http://127.0.0.1:")
                server.terminate()
        else:
            subprocess.run([*run, *command[1:]], cwd=checkout, check=True, env={**os.environ, "COLUMNS": "120"})
    assert "index.html" in git(remote, "ls-tree", "--name-only", "gh-pages").splitlines()


def test_the_workflow_runs_commands_that_exist() -> None:
    text = (ROOT / ".github" / "workflows" / "leaderboard.yml").read_text("utf-8")
    commands = re.findall(r"avbench ((?:results|leaderboard) \w+)", text)
    assert commands == ["results verify", "leaderboard build"]
    assert "results/**" in text
