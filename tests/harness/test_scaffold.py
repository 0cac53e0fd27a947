"""`avbench methods new`: names, what is never overwritten, and packages that are in style whatever they are called."""

from __future__ import annotations

import ast
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
from fresh_environment import checked
from hypothesis import given
from hypothesis import strategies as st

from avbench.harness.cli import main
from avbench.harness.errors import UsageError
from avbench.harness.plugins.registry import plugins
from avbench.harness.scaffold.package import LONGEST, Package

LONG = "-".join(["word"] * 7)[:LONGEST]


@pytest.mark.parametrize(
    ("typed", "slug", "module", "kind"),
    [
        ("mine", "mine", "avbench_mine", "Mine"),
        (" My_New  method.v2 ", "my-new-method-v2", "avbench_my_new_method_v2", "MyNewMethodV2"),
        ("a", "a", "avbench_a", "A"),
        ("None", "none", "avbench_none", "None"),
    ],
)
def test_all_names_follow_from_the_one_typed(typed: str, slug: str, module: str, kind: str) -> None:
    package = Package.named(typed, taken=())
    assert (package.slug, package.module, package.kind) == (slug, module, kind)
    assert package.distribution == f"avbench-{slug}"


@pytest.mark.parametrize(
    "name", ["", "-", "2fast", "-a", "a-", "a/b", "../a", "méthode", 'a"', "a@{b}", "a\0", "x" * (LONGEST + 1)]
)
def test_what_is_no_name_is_refused(name: str) -> None:
    with pytest.raises(UsageError, match="cannot name a method"):
        Package.named(name, taken=())


@pytest.mark.parametrize("name", ["avca", "AVCA", "All"])
def test_names_that_mean_something_else_are_refused(name: str) -> None:
    with pytest.raises(UsageError, match="is taken"):
        Package.named(name, taken=plugins().methods)


@given(st.from_regex(r"[a-z][a-z0-9]{0,8}(-[a-z0-9]{1,7}){0,2}", fullmatch=True))
def test_every_name_gives_a_package_that_can_be_read(slug: str) -> None:
    files = Package.named(slug, taken=()).files()
    for path, content in files.items():
        assert "@{" not in content.replace("@misc{", ""), path
        if path.endswith(".py"):
            ast.parse(content)
    project = tomllib.loads(files["pyproject.toml"])["project"]
    assert project["entry-points"]["avbench"] == {slug: f"avbench_{slug.replace('-', '_')}"}


@pytest.mark.parametrize("slug", ["a", LONG])
def test_packages_are_in_style_whatever_their_name(slug: str, tmp_path: Path) -> None:
    folder = Package.named(slug, taken=()).write(tmp_path)
    for arguments in (["check"], ["format", "--check"]):
        checked(sys.executable, "-m", "ruff", *arguments, "--no-cache", ".", cwd=folder)


def test_the_command_says_what_to_do_next(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    main(["methods", "new", "Mine", "--into", "my plugins"])
    printed = [line.strip() for line in capsys.readouterr().out.splitlines()]
    assert printed[-3:] == [
        "pip install -e 'my plugins/avbench-mine'",
        "avbench methods check mine",
        "avbench run --method mine --all-datasets",
    ]
    assert [p.name for p in (tmp_path / "my plugins").iterdir()] == ["avbench-mine"]


def test_an_empty_folder_is_filled_and_a_full_one_is_left_alone(tmp_path: Path) -> None:
    package = Package.named("mine", taken=())
    (tmp_path / "avbench-mine").mkdir()
    folder = package.write(tmp_path)
    method = folder / "src" / "avbench_mine" / "method.py"
    method.write_text("my work")
    with pytest.raises(UsageError, match="exists already"):
        package.write(tmp_path)
    assert method.read_text() == "my work"


def test_a_file_in_the_way_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "avbench-mine").write_text("a file")
    with pytest.raises(UsageError, match="exists already"):
        Package.named("mine", taken=()).write(tmp_path)
    assert (tmp_path / "avbench-mine").read_text() == "a file"


def test_a_package_is_there_whole_or_not_at_all(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write, written = Path.write_text, []

    def full_disk(path: Path, *arguments: str) -> int:
        if len(written) == 3:
            raise OSError(28, "No space left on device", str(path))
        written.append(path)
        return write(path, *arguments)

    monkeypatch.setattr(Path, "write_text", full_disk)
    with pytest.raises(OSError, match="No space left"):
        Package.named("mine", taken=()).write(tmp_path)
    assert len(written) == 3
    assert not list(tmp_path.iterdir())


def test_the_folder_can_be_read_by_others(tmp_path: Path) -> None:
    (tmp_path / "plain").mkdir()
    assert Package.named("mine", taken=()).write(tmp_path).stat().st_mode == (tmp_path / "plain").stat().st_mode


def test_writing_a_package_does_not_wait_for_torch(tmp_path: Path) -> None:
    code = (
        "import sys; from avbench.harness.cli import cli; "
        "cli.main(['methods', 'new', 'mine'], standalone_mode=False); sys.exit('torch' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
