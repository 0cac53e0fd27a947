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
    build, *ready = json.loads(done.stdout)
    assert build["what"] == "build of 4 records, 1 processes"
    assert 0 < build["seconds"] < build["goal"]
    assert all("board of 3 rows" in row["what"] and row["seconds"] > 0 for row in ready)
