"""The benchmark of precision runs and judges every setting; TF32 is said to be not measured without CUDA."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

BENCHMARK = Path(__file__).parents[2] / "benchmarks" / "precision.py"


def test_every_setting_is_judged() -> None:
    small = ["--method", "sje", "--seeds", "2", "--epochs", "1", "--batches", "2", "--device", "cpu", "--json"]
    done = subprocess.run([sys.executable, str(BENCHMARK), *small], check=True, capture_output=True, text=True)
    rows = json.loads(done.stdout)
    verdicts = {row["setting"]: row["verdict"] for row in rows}
    assert verdicts["precision=tf32"] == "not measured: needs CUDA"
    assert len(rows) == 2 * (len(verdicts) - 1) + 1
    assert all(row["low"] <= row["difference"] <= row["high"] for row in rows if "metric" in row)
