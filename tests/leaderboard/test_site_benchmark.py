"""The benchmark of the site still runs, small."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

SCRIPT = Path(__file__).parents[2] / "benchmarks" / "site.py"


def test_the_benchmark_runs() -> None:
    arguments = ["--records", "4", "--rows", "3", "--repeat", "1", "--jobs", "1", "--json"]
    done = subprocess.run([sys.executable, str(SCRIPT), *arguments], capture_output=True, text=True, check=True)
    build, weight, *ready = json.loads(done.stdout)
    assert build["what"] == "build of 4 records, 1 processes"
    assert 0 < build["value"] < build["goal"]
    assert 10 < weight["value"] < weight["goal"]
    assert not ready or ready[-1]["what"] == "board of 3 rows until interactive"
    assert all(row["value"] > 0 for row in ready)
