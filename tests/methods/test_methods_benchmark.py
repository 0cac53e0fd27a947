"""The benchmark of all methods' steps counts the products of one step, and of nothing else."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parents[2] / "benchmarks" / "methods.py"
TINY = ["--repetitions", "1", "--steps", "1", "--json"]


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, SCRIPT, *arguments], capture_output=True, text=True, check=False)


def test_it_times_methods_and_counts_their_products() -> None:
    batch = 16
    done = run(*TINY, "--method", "sje", "--method", "hyper-single", "--batch-size", str(batch))
    sje, hyper = json.loads(done.stdout)
    assert (sje["step"], hyper["step"]) == ("sje", "hyper-single")
    for row in (sje, hyper):
        assert row["batch_size"] == batch
        assert row["ratio"] == pytest.approx(row["step_ms"] / row["products_ms"])
    # Multiply-adds per clip: the map of 1024 features to 300, and its products with 30 label vectors. Backward, once
    # more each: nothing flows into features and label vectors.
    assert sje["gflop"] == pytest.approx(2 * batch * 2 * (1024 * 300 + 300 * 30) / 1e9)


def test_a_misspelt_method_gets_a_suggestion() -> None:
    done = run(*TINY, "--method", "avac")
    assert done.returncode == 2
    assert "Did you mean 'avca'" in done.stderr
