"""Time and peak memory of importing UCF main and cls at their genuine size, from a folder and from a zip.

Run: python benchmarks/import.py (Linux; needs the genuine archive's lists, see tests/genuine_archive.py; the features
are simulated). Each import runs in a process of its own; the least time and memory of all repetitions count. The
memory is the largest resident set: the stored file, which is mapped to be hashed, counts as far as it was resident.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from time import perf_counter

from tabulate import tabulate

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))
CHILD = """
from avbench.harness.cli import main
try:
    main()
finally:
    print(next(line for line in open("/proc/self/status") if line.startswith("VmHWM:")))
"""
IMPORT = [sys.executable, "-c", CHILD, "data", "import", "--force"]
GOAL = 30


def measured(source: Path, home: Path) -> tuple[float, float]:
    """Seconds, and the largest resident memory in MB, of one import."""
    environment = {**os.environ, "AVBENCH_HOME": str(home)}
    start = perf_counter()
    done = subprocess.run([*IMPORT, str(source)], check=True, capture_output=True, text=True, env=environment)
    return perf_counter() - start, int(done.stdout.split()[-2]) / 1024


def main() -> None:
    from genuine_archive import ROOT
    from simulated_archive import simulate, zipped

    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--repeat", type=int, default=3)
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args()
    if not ROOT.is_dir():
        raise SystemExit("no genuine archive at ../shared/archive or $AVBENCH_ARCHIVE")
    with tempfile.TemporaryDirectory() as temporary:
        top = Path(temporary)
        for features in ("main", "cls"):
            simulate(top / "archive", "ucf", features)
        sources = {"folder": top / "archive", "zip": zipped(top / "archive", top / "archive.zip")}
        rows = []
        for name, source in sources.items():
            runs = [measured(source, top / "home") for _ in range(arguments.repeat)]
            rows.append({"from": name, "seconds": min(t for t, _ in runs), "peak_MB": min(m for _, m in runs)})
        stored = sum(p.stat().st_size for p in (top / "home").rglob("*.safetensors")) / 1e6
    if arguments.json:
        print(json.dumps({"rows": rows, "stored_MB": stored}, indent=1))
    else:
        print(tabulate(rows, headers="keys", floatfmt=".2f"))
        print(f"stored: {stored:.0f} MB; goal: at most {GOAL} s for UCF main and cls together")


if __name__ == "__main__":
    main()
