from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"

pytestmark = pytest.mark.usefixtures("little_garbage")


@pytest.fixture(scope="module")
def boards() -> Iterator[ModuleType]:
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(BENCHMARKS)
        yield import_module("ranked_boards")


def test_the_truth_is_what_many_classes_and_seeds_come_to(boards: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(boards.CLASSES, "many", (4000, 4000))
    cell = boards.Cell("many", 100, "high", "high")
    (row,) = cell.recalls(np.random.default_rng(0), [(60.0, 20.0)])
    s, u = row.seen.mean(axis=1), row.unseen.mean(axis=1)
    assert (s.mean(), u.mean()) == (pytest.approx(60, abs=1.5), pytest.approx(20, abs=1.5))
    assert (2 * s * u / (s + u)).mean() == pytest.approx(cell.true_hm(60.0, 20.0), abs=1.5)


def test_the_old_test_tells_equal_rows_apart_too_often_and_the_new_one_does_not(boards: ModuleType) -> None:
    old, *_, new = boards.compare_tests(boards.Cell("ucf", 3, "low", "high"), 60)
    assert (old["test"], new["test"]) == ("swaps", "jackknife")
    assert old["wrong"] > 0.06 > new["wrong"]
    assert old["covered"] < 0.93
    assert new["found, pair"] > 0


def test_the_script_runs_and_hides_no_module_of_python() -> None:
    command = [sys.executable, "statistics.py", "--boards", "100", "--track", "ucf", "--json"]
    rows = json.loads(subprocess.run(command, cwd=BENCHMARKS, capture_output=True, check=True).stdout)
    assert len(rows) == 3 * 4
    assert all(row["wrong"] <= 0.1 and row["covered"] >= 0.9 for row in rows)
    code = "import statistics; print(statistics.fmean([1, 3]))"
    said = subprocess.run([sys.executable, "-c", code], cwd=BENCHMARKS, capture_output=True, check=True, text=True)
    assert said.stdout == "2.0\n"
