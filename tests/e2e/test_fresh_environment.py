"""A fresh environment holds what was installed into it, and nothing of the checkout that the tests run from."""

from __future__ import annotations

from pathlib import Path

from fresh_environment import FreshEnvironment, build_wheel


def test_only_the_wheel_is_imported(tmp_path: Path, avbench_wheel: Path) -> None:
    environment = FreshEnvironment(tmp_path)
    where = ("python", "-c", "import avbench.harness as h, torch; print(h.__file__)")
    environment.install(avbench_wheel)
    assert environment.run(*where).stdout.startswith(str(tmp_path / "environment"))
    assert "avca" in environment.run("avbench", "methods", "list").stdout


def test_building_a_wheel_leaves_the_sources_alone(tmp_path: Path) -> None:
    source = tmp_path / "package"
    source.mkdir()
    (source / "pyproject.toml").write_text('[project]\nname = "lone"\nversion = "1"\n')
    (source / "lone.py").write_text("")
    wheel = build_wheel(source, tmp_path)
    assert wheel == tmp_path / "lone-1-py3-none-any.whl"
    assert sorted(p.name for p in source.iterdir()) == ["lone.py", "pyproject.toml"]
