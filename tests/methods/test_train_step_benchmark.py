"""The benchmark of the training step runs and counts the right products."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parents[2] / "benchmarks" / "train_step.py"


def test_it_reports_times_and_the_arithmetic_of_the_products() -> None:
    batch = 16
    command = [sys.executable, SCRIPT, "--json", "--epochs", "1", "--batches", "1", f"--batch-size={batch}"]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    plain, extra = json.loads(done.stdout)
    assert plain["step_ms"] > 0
    assert plain["ratio"] == pytest.approx(plain["step_ms"] / plain["products_ms"])
    assert plain["as_run_ratio"] == pytest.approx(plain["step_ms"] / plain["as_run_ms"])

    # Multiply-adds per clip of the forward pass; positives and negatives, two modalities.
    first, second = 512 * 512, 512 * 300
    attention = 300 * 900 + 300 * 300 + 2 * 300 * 64
    projection = 300 * 512 + 512 * 64
    text = 300 * 64
    embed = 2 * (first + second + attention + projection)
    forward = 2 * (embed + text) + 6 * 64 * 300 + 2 * 64 * 300
    # Backward is twice as much, but nothing flows into the features and label vectors.
    total = 3 * forward - 2 * (2 * first + text)
    assert plain["gflop"] == pytest.approx(2 * batch * total / 1e9)
    # The extra passes: rebuilt encodings through the projections, the positives through everything but the decoders.
    assert extra["gflop"] - plain["gflop"] == pytest.approx(2 * batch * (2 * projection + embed + text) / 1e9)
