"""What a sandbox leaves out, it leaves out by every way to it."""

from __future__ import annotations

import importlib
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
from avbench.harness.isolation.start import command_of
from avbench.harness.plugins.registry import Registered

pytestmark = pytest.mark.skipif(bool(sandbox.unavailable()), reason="no bubblewrap, or no user namespaces, here")


def seen(file: Path, code: list[Path], hidden: list[Path]) -> str:
    """What a shell in a sandbox reads in a file."""
    command = sandbox.command(code, [], hidden, "cpu", 2**30, ["/bin/cat", str(file)])
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


def test_what_lies_beside_an_environment_in_the_working_directory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Case: ``python -m venv .`` in the folder of one's results and notes."""
    for name in ("notes", "results/labels", "lib/python3/site-packages/package.py", "pyvenv.cfg"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text("text")
    (tmp_path / "lib64").symlink_to("lib")
    monkeypatch.setattr(sys, "prefix", str(tmp_path))
    monkeypatch.setattr(sys, "exec_prefix", str(tmp_path))
    monkeypatch.chdir(tmp_path)
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
