"""What a sandbox leaves out, it leaves out by every way to it."""

from __future__ import annotations

import importlib
import site
import subprocess
import sys
from importlib.util import cache_from_source
from pathlib import Path

import pytest
from simulated_features import Ridge

from avbench.harness.contract.method import MethodInfo
from avbench.harness.errors import UsageError
from avbench.harness.features import demo
from avbench.harness.isolation import sandbox
from avbench.harness.isolation.choice import Isolation
from avbench.harness.isolation.messages import Describe
from avbench.harness.isolation.places import Mounts
from avbench.harness.isolation.start import command_of
from avbench.harness.plugins import source_hash
from avbench.harness.plugins.registry import Registered

pytestmark = pytest.mark.skipif(bool(sandbox.unavailable()), reason="no bubblewrap, or no user namespaces, here")


def seen(file: Path, code: list[Path], answers: list[Path]) -> str:
    """What a program in a sandbox reads in a file."""
    return printed(code, answers, "/bin/cat", str(file))


def printed(code: list[Path], answers: list[Path], *words: str) -> str:
    command = sandbox.command(code, [], answers, "cpu", 2**30, words)
    return subprocess.run(command, capture_output=True, check=False, timeout=300).stdout.decode("utf-8", "replace")


def test_answers_beside_code_that_a_link_leads_to(tmp_path: Path) -> None:
    results = tmp_path / "real" / "results"
    results.mkdir(parents=True)
    (results / "labels").write_text("answers")
    (tmp_path / "real" / "code").write_text("code")
    link = tmp_path / "link"
    link.symlink_to(tmp_path / "real")
    for way in (link, tmp_path / "real"):
        assert seen(way / "code", [link], [results]) == "code"
        assert seen(way / "results" / "labels", [link], [results]) == ""


@pytest.mark.parametrize("here", [".", "results"])
def test_what_lies_beside_an_environment_in_a_folder_of_a_project(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, here: str
) -> None:
    """Case: ``python -m venv .`` in the folder of one's results and notes, and work there or in a folder below."""
    for name in ("notes", "results/labels", "lib/python3/site-packages/package.py", "pyvenv.cfg"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text("text")
    (tmp_path / "lib64").symlink_to("lib")
    monkeypatch.setattr(sys, "prefix", str(tmp_path))
    monkeypatch.setattr(sys, "exec_prefix", str(tmp_path))
    monkeypatch.chdir(tmp_path / here)
    shown = {name: seen(tmp_path / name, [], []) for name in ("notes", "results/labels", "pyvenv.cfg")}
    assert shown == {"notes": "", "results/labels": "", "pyvenv.cfg": "text"}
    for folder in ("lib", "lib64"):
        assert seen(tmp_path / folder / "python3/site-packages/package.py", [], []) == "text"


def test_bytecode_of_the_demo() -> None:
    importlib.reload(demo)  # so that it is written
    bytecode = Path(cache_from_source(str(Path(demo.__file__))))
    if not bytecode.exists():
        pytest.skip("Python writes no bytecode here")
    package = [Path(demo.__file__).parents[1]]
    assert seen(Path(demo.__file__).with_name("store.py"), package, [])
    assert not seen(Path(demo.__file__), package, [])
    assert not seen(bytecode, package, [])


def test_answers_are_no_file_of_a_method(tmp_path: Path) -> None:
    class Greedy(Ridge):
        info = MethodInfo(slug="greedy", title="", year=0, summary="", citation="", files=(str(tmp_path / "r" / "a"),))

    registered = Registered(Greedy, "tests", "1.0", "simulated_features")
    first = Describe(module="simulated_features", slug="greedy", memory=2**30, processes=9, sandboxed=True)
    with pytest.raises(UsageError, match="a sandbox leaves out"):
        command_of(Isolation("sandbox"), first, registered, [], tmp_path / "r")
    with pytest.raises(UsageError, match="a sandbox leaves out"):
        command_of(Isolation("sandbox", hidden=(tmp_path,)), first, registered, [], None)


@pytest.fixture
def keeper(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of somebody who keeps a board: results, store, archive, notes, and an environment."""
    for name in ("board/ucf/labels", "store/labels", "archive/labels", "scripts/labels", "notes"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text("answers")
    (tmp_path / "scripts/tool.py").write_text("")
    (tmp_path / "env/lib/python3/site-packages").mkdir(parents=True)
    monkeypatch.setattr(sys, "path", list(sys.path))
    monkeypatch.setenv("AVBENCH_HOME", str(tmp_path / "store"))
    for cached in (source_hash.modules_of, source_hash._listed):
        cached.cache_clear()
    return tmp_path


def strangers(keeper: Path, monkeypatch: pytest.MonkeyPatch, name: str, way: str) -> Registered:
    """A distribution whose one module is in a namespace package of this name, where the search path leads elsewhere."""
    packages = keeper / "env/lib/python3/site-packages"
    listed = {
        f"{name}/leakmod.py": "import importlib, scripts.tool\n",
        "leak-1.0.dist-info/METADATA": "Metadata-Version: 2.1\nName: leak\nVersion: 1.0\n",
        "leak-1.0.dist-info/entry_points.txt": f"[avbench]\nleak = {name}.leakmod\n",
        "leak.pth": "../../../..\n" if way == "pth" else "",
    }
    for file, content in listed.items():
        (packages / file).parent.mkdir(parents=True, exist_ok=True)
        (packages / file).write_text(content)
    (packages / "leak-1.0.dist-info/RECORD").write_text("".join(f"{file},,\n" for file in listed))
    site.addsitedir(str(packages))
    monkeypatch.chdir(keeper if way == "PYTHONPATH" else keeper / "archive")
    if way != "pth":
        sys.path.insert(0, str(keeper))
    importlib.invalidate_caches()
    monkeypatch.setattr(source_hash, "_all_owners", lambda: {name: ["leak"]})
    return Registered(Ridge, "leak", "1.0", f"{name}.leakmod", (f"{name}.leakmod",))


@pytest.mark.parametrize("way", ["pth", "PYTHONPATH", "script"])
@pytest.mark.parametrize("name", ["board", "store", "archive"])
def test_a_package_named_like_a_folder_with_answers(
    name: str, way: str, keeper: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    registered = strangers(keeper, monkeypatch, name, way)
    code = list(sandbox.code_of(registered))
    there = printed(code, [keeper / "board", keeper / "store"], "/usr/bin/find", str(keeper), "-type", "f")
    names = {path.removeprefix(f"{keeper}/") for path in there.splitlines()}
    assert f"env/lib/python3/site-packages/{name}/leakmod.py" in names
    assert {file for file in names if not file.startswith("env/")} == {"scripts/tool.py"}  # it counts as code


def test_a_results_folder_that_a_link_leads_to(keeper: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (keeper / "real").mkdir()
    (keeper / "board").rename(keeper / "real/board")
    (keeper / "board").symlink_to("real/board")
    (keeper / "real/board/code.py").write_text("")
    for code in ("board", "board/ucf", "real/board/code.py"):
        with pytest.raises(UsageError, match="a sandbox leaves out"):
            sandbox.command([keeper / code], [], [keeper / "board"], "cpu", 2**30, [])


def test_code_is_not_the_working_directory(keeper: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(keeper / "scripts")
    with pytest.raises(UsageError, match="leaves out the working directory"):
        sandbox.command([keeper / "scripts"], [], [], "cpu", 2**30, [])
    assert seen(keeper / "scripts/labels", [keeper], []) == ""
    assert seen(keeper / "scripts/labels", [keeper / "scripts/labels"], []) == "answers"  # code of its own, by name


def test_answers_that_will_be_made_in_what_is_shown(keeper: Path) -> None:
    with pytest.raises(UsageError, match="make this folder first"):
        sandbox.command([keeper / "env"], [], [keeper / "env/results"], "cpu", 2**30, [])


def test_what_covers_answers_and_temporary_files_take_no_more_than_the_limit(keeper: Path) -> None:
    made = f"touch /tmp/b /dev/c {keeper}/board/d; ls /tmp /dev {keeper}/board"
    tried = f"df --output=size -B1 /tmp /dev/shm /home/method; {made}"
    told = printed([keeper], [keeper / "board"], "/bin/sh", "-c", tried).split()
    assert sum(int(word) for word in told if word.isdigit()) == pytest.approx(2**30, rel=1e-3)
    assert {"b", "c", "d"} & set(told) == {"b"}


def test_the_code_of_the_demo_is_no_file_of_a_method() -> None:
    with pytest.raises(UsageError, match="a sandbox leaves out"):
        sandbox.command([], [Path(demo.__file__)], [], "cpu", 2**30, [])


def test_ways_by_mounts() -> None:
    mounts = Mounts.parse(
        """21 1 8:1 / / rw - ext4 /dev/sda rw
22 21 8:2 / /data rw - ext4 /dev/sdb rw
23 21 8:2 /board /srv/code/copy rw - ext4 /dev/sdb rw
24 21 8:2 /board/ucf /srv/code/part rw - ext4 /dev/sdb rw
25 21 8:2 / /srv/all\\040of\\040it rw - ext4 /dev/sdb rw
"""
    )
    board = Path("/data/board")
    assert mounts.holder(Path("/srv/code/part/x"), [board]) == board
    assert mounts.holder(Path("/srv/all of it/board"), [board]) == board
    assert mounts.holder(Path("/srv/code"), [board]) is None
    assert mounts.holder(Path("/board"), [board]) is None
    assert {str(way) for way in mounts.ways(board, Path("/srv"))} == {
        "/srv/code/copy",
        "/srv/code/part",
        "/srv/all of it/board",
    }
