"""Every command and every block of code in the guide runs, page by page, in a fresh environment."""

from __future__ import annotations

import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
from fresh_environment import ROOT, FreshEnvironment, checked
from guide_blocks import FENCE, blocks

from avbench.splits import DATASETS, load_split

PAGES = sorted((ROOT / "docs").rglob("*.md"))


@pytest.fixture(scope="session")
def avbench_alone(avbench_wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> FreshEnvironment:
    """An environment with avbench, into which nothing more is installed."""
    made = FreshEnvironment(tmp_path_factory.mktemp("guide"))
    made.install(avbench_wheel)
    return made


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(ROOT / "docs").as_posix())
def test_the_blocks_of_a_page_run(page: Path, tmp_path: Path, request: pytest.FixtureRequest) -> None:
    found = blocks(page.read_text("utf-8"), "sh", "python", "toml")
    if not found:
        pytest.skip("no block to run")
    if any("pip install" in block.text for block in found):  # in an environment that no other page sees
        here = FreshEnvironment(tmp_path)
        here.install(request.getfixturevalue("avbench_wheel"))
    else:
        here = request.getfixturevalue("avbench_alone").at(tmp_path)
    for block in found:
        if block.title:
            path = tmp_path / block.title
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(block.text, "utf-8")
        elif block.language == "python":
            here.run("python", "-c", block.text)
        else:
            for line in block.text.replace("\\\n", " ").splitlines():
                run_line(here, line, tmp_path)


def run_line(here: FreshEnvironment, line: str, folder: Path) -> None:
    """One line of a shell block. What it installs is built here and without a network."""
    words = shlex.split(line, comments=True)
    if words[:2] == ["pip", "install"]:
        assert words[2:3] == ["-e"], f"the guide installs local packages only: {line}"
        here.install(folder / words[3], editable=True)
    else:
        checked("sh", "-ec", line, cwd=folder, env=here.environment())


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(ROOT / "docs").as_posix())
def test_no_block_is_overlooked(page: Path) -> None:
    text = page.read_text("utf-8")
    assert len(re.findall(r"^```", text, re.MULTILINE)) == 2 * len(FENCE.findall(text))
    assert {block.language for block in blocks(text)} <= {"sh", "python", "toml", "text"}


def test_python_blocks_are_in_good_form(tmp_path: Path) -> None:
    for page in PAGES:
        for number, block in enumerate(blocks(page.read_text("utf-8"), "python")):
            (tmp_path / f"{page.stem.replace('-', '_')}_{number}.py").write_text(block.text, "utf-8")
    ruff = [sys.executable, "-m", "ruff"]
    for command in (["check", "--ignore", "RUF012,N806"], ["format", "--check"]):
        outside = "lint.isort.known-first-party = []"  # in a package of its own avbench is one library of many
        arguments = [*ruff, *command, "--config", str(ROOT / "pyproject.toml"), "--config", outside, str(tmp_path)]
        done = subprocess.run(arguments, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout


def test_the_counts_of_displaced_label_vectors_follow_from_the_splits() -> None:
    (line,) = re.findall(
        r"^\| source classes with another.*$", (ROOT / "docs" / "protocols.md").read_text("utf-8"), re.M
    )
    counts = []
    for dataset in DATASETS:
        ids = load_split(dataset, "main").permuted_ids
        counts.append(f"{sum(found != own for own, found in enumerate(ids))} of {len(ids)}")
    assert [cell.strip() for cell in line.strip("|").split("|")][1:] == counts
