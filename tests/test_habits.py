"""What carries the project on - workflows, tasks, hooks, templates, citation - names only what exists."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from command_words import unknown_words
from packaging.requirements import Requirement

ROOT = Path(__file__).parent.parent
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
CONTRIBUTING = (ROOT / "CONTRIBUTING.md").read_text("utf-8")
WORKFLOWS = sorted((ROOT / ".github" / "workflows").glob("*.yml"))
FORMS = [p for p in sorted((ROOT / ".github" / "ISSUE_TEMPLATE").glob("*.yml")) if p.name != "config.yml"]
SCRIPTS = sorted(path for path in (ROOT / ".ci").iterdir() if path.is_file())
TOOLS = {"ruff": "ruff", "mypy": "mypy", "lint-imports": "import-linter"}
"""Commands that hooks before a commit rest on, and the packages that bring them."""


def loaded(path: Path) -> Any:
    return yaml.safe_load(path.read_text("utf-8"))


def strings(thing: Any) -> Iterator[str]:
    """Every text in a parsed YAML file."""
    match thing:
        case str():
            yield thing
        case list():
            for part in thing:
                yield from strings(part)
        case dict():
            for part in thing.values():
                yield from strings(part)


def packages_of_the_test_extra() -> set[str]:
    """Names of the packages that the extra ``test`` brings by itself."""
    return {Requirement(line).name for line in PROJECT["optional-dependencies"]["test"]}


def steps() -> list[str]:
    """The steps of ``.ci/run``, in order."""
    (names,) = re.findall(r"^for step in (.+); do$", (ROOT / ".ci" / "run").read_text("utf-8"), re.MULTILINE)
    return names.split()


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda path: path.name)
def test_scripts_can_be_run_and_call_what_exists(script: Path) -> None:
    text = script.read_text("utf-8")
    assert os.access(script, os.X_OK)
    assert text.startswith(("#!/usr/bin/env bash\n", "#!/usr/bin/env python3\n"))
    if "bash" in text.partition("\n")[0]:
        subprocess.run(["bash", "-n", script], check=True)
        assert "\nset -euo pipefail\n" in text
    for name in re.findall(r"(?<![\w/])\.ci/(\w+)", text):
        assert (ROOT / ".ci" / name).is_file(), name


def test_everything_is_a_step() -> None:
    """No script lies beside the one entry unused."""
    others = {"run", "install", "packages"}
    assert {script.name for script in SCRIPTS} == others | set(steps())


def test_a_failing_step_ends_the_run(tmp_path: Path) -> None:
    """``.ci/run`` in a checkout whose steps only say their name, one of which fails."""
    folder = tmp_path / ".ci"
    folder.mkdir()
    (folder / "run").write_text((ROOT / ".ci" / "run").read_text("utf-8"), "utf-8")
    first, failing, *_ = steps()
    for name in ("install", *steps()):
        code = 1 if name == failing else 0
        (folder / name).write_text(f"#!/bin/sh\necho ran {name}\nexit {code}\n", "utf-8")
    for script in folder.iterdir():
        script.chmod(0o755)
    done = subprocess.run([folder / "run"], capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert [line for line in done.stdout.splitlines() if line.startswith("ran")] == [
        "ran install",
        f"ran {first}",
        f"ran {failing}",
    ]


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.name)
def test_workflows_call_what_exists(path: Path) -> None:
    workflow = loaded(path)
    assert workflow["permissions"]["contents"] == "read"
    assert workflow[True], "when it runs; YAML reads the word `on` as true"
    for job in workflow["jobs"].values():
        for step in job["steps"]:
            assert ("run" in step) != ("uses" in step)
            if "uses" in step:
                assert re.fullmatch(r"actions/[a-z-]+@v\d+", step["uses"])
                continue
            for command in re.split(r"&&|\|\||\n", step["run"]):
                assert not trouble(command), command


def trouble(command: str) -> str | None:
    """Why a command of a workflow cannot work."""
    match shlex.split(re.sub(r"\$\{\{.*?\}\}", "value", command)):
        case ["avbench", *arguments]:
            return ", ".join(unknown_words(arguments))
        case ["pip", "install", "--constraint", file, "."]:
            return None if (ROOT / file).is_file() else f"no {file}"
        case [script] if script.startswith(".ci/"):
            return None if Path(script).name in {path.name for path in SCRIPTS} else f"no {script}"
        case ["test", "!", "-d", "results"]:
            return None
    return "unknown; say here what makes it work"


def test_a_workflow_with_a_wrong_command_is_found() -> None:
    assert trouble(".ci/nothing")
    assert trouble("avbench leaderboard bild")
    assert trouble("avbench leaderboard build --url-of x")
    assert not trouble("avbench leaderboard build --url ${{ steps.pages.outputs.base_url }}")


def test_the_workflow_runs_all_steps_on_all_supported_pythons() -> None:
    (job,) = loaded(ROOT / ".github" / "workflows" / "tests.yml")["jobs"].values()
    matrix = job["strategy"]["matrix"]
    prefix = "Programming Language :: Python :: "
    supported = [line.removeprefix(prefix) for line in PROJECT["classifiers"] if line.startswith(prefix)]
    assert matrix["python"] == supported
    assert PROJECT["requires-python"] == f">={supported[0]}"
    assert [name.partition("-")[0] for name in matrix["os"]] == ["ubuntu", "macos"]
    assert [step["run"] for step in job["steps"] if "run" in step] == [".ci/run"]


def test_hooks_before_a_commit_are_steps_whose_tools_are_installed() -> None:
    path = ROOT / ".pre-commit-config.yaml"
    subprocess.run([sys.executable, "-m", "pre_commit", "validate-config", path], check=True)
    (source,) = loaded(path)["repos"]
    assert source["repo"] == "local"
    assert {hook["id"] for hook in source["hooks"]} == set(TOOLS)
    for hook in source["hooks"]:
        step = ROOT / hook["entry"]
        assert step.name in steps()
        assert re.search(rf"\b{hook['id']} ", step.read_text("utf-8")), "the hook is named after its tool"
        assert TOOLS[hook["id"]] in packages_of_the_test_extra()
    assert {"nox", "pre-commit", "pyyaml"} <= packages_of_the_test_extra()


@pytest.fixture(scope="module")
def tasks() -> dict[str, bool]:
    """The tasks of the task file, without Python versions, and whether one runs by default."""
    command = [sys.executable, "-m", "nox", "--noxfile", str(ROOT / "noxfile.py"), "--list", "--nocolor"]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    return {name: mark == "*" for mark, name in re.findall(r"^([*-]) (\w+)\S* -> ", done.stdout, re.MULTILINE)}


def test_every_task_is_named_in_contributing_and_the_other_way_round(tasks: dict[str, bool]) -> None:
    named = set(re.findall(r"`nox -s ([a-z]+)", CONTRIBUTING))
    assert named == set(tasks)
    (default,) = re.findall(r"^\| `nox` \| ([^:]+):", CONTRIBUTING, re.MULTILINE)
    assert set(re.split(r", | and ", default)) == {name for name, runs in tasks.items() if runs}


def test_every_step_is_a_task(tasks: dict[str, bool]) -> None:
    called = re.findall(r'"\.ci/(\w+)"', (ROOT / "noxfile.py").read_text("utf-8"))
    assert set(steps()) <= set(tasks)
    assert set(called) == {"run", "install", *steps()}


def test_the_citation_fits_the_package() -> None:
    citation = loaded(ROOT / "CITATION.cff")
    assert citation["cff-version"] == "1.2.0"
    assert citation["message"]
    assert citation["authors"]
    assert citation["type"] == "software"
    assert citation["title"].startswith(f"{PROJECT['name']}: ")
    assert str(citation["version"]) == PROJECT["version"]
    assert citation["license"] == PROJECT["license"]


@pytest.mark.parametrize("path", FORMS, ids=lambda path: path.name)
def test_forms_for_issues_are_whole(path: Path) -> None:
    """What GitHub asks of a form, and commands that exist."""
    form = loaded(path)
    assert form["name"]
    assert form["description"]
    fields = [field for field in form["body"] if field["type"] != "markdown"]
    assert {field["type"] for field in fields} <= {"input", "textarea", "checkboxes", "dropdown"}
    assert len({field["id"] for field in fields}) == len(fields)
    assert all(field["attributes"]["label"] for field in fields)
    for command in re.findall(r"`avbench ([^`]+)`", "\n".join(strings(form))):
        assert not unknown_words(command.split()), command


def test_there_is_a_form_for_each_kind_of_issue() -> None:
    assert [path.stem for path in FORMS] == ["bug", "method", "submission"]


@pytest.mark.parametrize("name", ["SECURITY.md", "RELEASING.md", "CONTRIBUTING.md"])
def test_what_these_pages_name_exists(name: str) -> None:
    text = (ROOT / name).read_text("utf-8")
    for command in re.findall(r"`avbench ([^`]+)`", text):
        assert not unknown_words(shlex.split(command)), command
    for place in re.findall(r"`((?:\.ci|docs|harness|methods|leaderboard|splits|benchmarks|examples)/[\w./-]*)`", text):
        assert (ROOT / place).exists(), place


def test_the_picture_of_the_flow_of_data_shows_files_that_exist() -> None:
    (picture,) = re.findall(r"^```mermaid\n(.*?)^```$", CONTRIBUTING, re.MULTILINE | re.DOTALL)
    places = re.findall(r"[a-z_]+(?:/[a-z_]+)*/(?:[a-z_]+\.py)?", picture)
    assert len(places) > 15
    assert not [place for place in places if not (ROOT / place).exists()]
    nodes = set(re.findall(r"(\w+)\[", picture))
    arrows = re.findall(r"^  (\w+)\S*.*?-->\s*(\w+)", picture, re.MULTILINE)
    assert {end for arrow in arrows for end in arrow} == nodes, "every node hangs together with another"
