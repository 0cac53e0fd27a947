"""The example package as a stranger's: built, installed beside avbench, listed, checked, run, shown on the site."""

from __future__ import annotations

import json
import shutil
import tomllib
from pathlib import Path

import pytest
from fresh_environment import ROOT, FreshEnvironment, build_wheel

EXAMPLE = ROOT / "examples" / "eszsl"


@pytest.fixture(scope="module")
def environment(avbench_wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> FreshEnvironment:
    """An environment with the wheels of avbench and of the example, and nothing of the checkout."""
    made = FreshEnvironment(tmp_path_factory.mktemp("example"))
    made.install(avbench_wheel, build_wheel(EXAMPLE, made.root))
    return made


def test_avbench_itself_knows_nothing_of_it() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    assert "eszsl" not in project["entry-points"]["avbench"]


def test_it_is_listed_with_where_it_comes_from(environment: FreshEnvironment) -> None:
    listed = json.loads(environment.run("avbench", "methods", "list", "--json").stdout)
    (row,) = (row for row in listed if row["slug"] == "eszsl")
    assert (row["distribution"], row["version"]) == ("avbench-eszsl", "0.1.0")


def test_it_passes_the_checks(environment: FreshEnvironment) -> None:
    report = json.loads(environment.run("avbench", "methods", "check", "eszsl", "--json").stdout)
    outcomes = {check["name"]: check["outcome"] for check in report["checks"]}
    assert outcomes["beats-chance"] == outcomes["state-restored"] == "passed"
    # The same result for every seed is no fault of a method that draws nothing at random.
    assert set(outcomes.values()) == {"passed", "skipped"}, report


def test_its_own_tests_pass(environment: FreshEnvironment, tmp_path: Path) -> None:
    tests = shutil.copytree(EXAMPLE / "tests", tmp_path / "tests")
    environment.run("python", "-m", "pytest", "-q", "-p", "no:cacheprovider", str(tests), cwd=tmp_path)


def test_it_runs_on_all_data_sets_and_stands_on_the_site(environment: FreshEnvironment) -> None:
    records = json.loads(environment.run("avbench", "run", "--method", "eszsl", "--all-datasets", "--json").stdout)
    metrics = {r["configuration"]["dataset"]: r["outcome"]["metrics"] for r in records}
    for dataset, unseen in (("ucf", 9), ("activitynet", 50), ("vggsound", 69)):
        assert metrics[dataset]["ZSL"] > 3 * 100 / unseen, dataset
        assert metrics[dataset]["HM"] > 30, dataset

    environment.run("avbench", "results", "verify")
    environment.run("avbench", "leaderboard", "build")
    site = environment.root / "site"
    board = (site / "demo.html").read_text("utf-8")
    assert board.count('href="methods/eszsl.html"') >= len(records)
    for record in records:
        assert f"{record['outcome']['metrics']['HM']:.2f}" in board
    runs = [page.read_text("utf-8") for page in (site / "runs").glob("*.html")]
    assert len(runs) == len(records)
    assert all("avbench-eszsl 0.1.0" in run for run in runs)
    assert "Romera-Paredes" in (site / "methods" / "eszsl.html").read_text("utf-8")
