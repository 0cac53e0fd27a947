"""From an empty folder to results on all data sets in three commands, in an environment of its own."""

from __future__ import annotations

import json
import re
import shlex
import shutil
import sys
from pathlib import Path

import pytest
from fresh_environment import FreshEnvironment, checked

TINY = ["-p", "epochs=3", "-p", "batches_per_epoch=20"]


@pytest.fixture(scope="module")
def environment(avbench_wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> FreshEnvironment:
    """An environment with avbench and the package that `avbench methods new mine` wrote, installed as it says."""
    made = FreshEnvironment(tmp_path_factory.mktemp("new"))
    made.install(avbench_wheel)
    printed = made.run("avbench", "methods", "new", "mine").stdout
    assert "  pip install -e avbench-mine\n" in printed
    made.install(made.root / "avbench-mine", editable=True)
    return made


def test_it_runs_on_all_data_sets_and_learns(environment: FreshEnvironment) -> None:
    done = environment.run("avbench", "run", "--method", "mine", "--all-datasets", *TINY, "--json")
    records = json.loads(done.stdout)
    assert [r["configuration"]["dataset"] for r in records] == ["ucf", "activitynet", "vggsound"]
    assert {r["configuration"]["plugin"]["distribution"] for r in records} == {"avbench-mine"}
    chance = {"ucf": 100 / 9, "activitynet": 100 / 50, "vggsound": 100 / 69}
    for record in records:
        assert record["outcome"]["metrics"]["ZSL"] > 1.5 * chance[record["configuration"]["dataset"]]


def workflow_steps(package: Path) -> list[list[str]]:
    """The commands of the package's workflow, but for installing."""
    workflow = (package / ".github" / "workflows" / "test.yml").read_text("utf-8")
    commands = [shlex.split(line) for line in re.findall(r"^ +- run: (.*)$", workflow, re.MULTILINE)]
    assert commands[0][:2] == ["pip", "install"]
    return commands[1:]


def test_its_continuous_integration_passes_as_it_stands(environment: FreshEnvironment, tmp_path: Path) -> None:
    package = Path(shutil.copytree(environment.root / "avbench-mine", tmp_path / "checkout"))
    steps = workflow_steps(package)
    assert [step[0] for step in steps] == ["ruff", "ruff", "pytest", "avbench"]
    for program, *arguments in steps:
        if program == "ruff":  # a program of the environment that the tests run in
            checked(sys.executable, "-m", program, *arguments, cwd=package)
        elif program == "pytest":
            environment.run("python", "-m", program, *arguments, cwd=package)
        else:
            environment.run(program, *arguments, cwd=package)
