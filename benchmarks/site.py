"""How long the site takes to build, and a board of many rows to become interactive. Run: python benchmarks/site.py

The records are simulated, with evidence of the real sizes; making them is not counted. The build runs in a process of
its own, several times; the fastest counts, because everything else on the machine only adds time.
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

from simulated_results import many_runs, simulated_run, store

from avbench.harness.records.results import ResultsFolder
from avbench.harness.tracks import Track

BUILD = "from avbench.harness.cli import main; main()"
UCF = Track("ucf", "main")
BUILD_BUDGET, READY_BUDGET = 20.0, 1.0
# When everything that the scripts do is done, in milliseconds since the navigation began.
READY = "() => performance.getEntriesByType('navigation')[0].domContentLoadedEventEnd"


def build_seconds(folder: ResultsFolder, site: Path, jobs: int) -> float:
    command = [sys.executable, "-c", BUILD, "leaderboard", "build"]
    command += ["--results", str(folder.root), "--site", str(site), "--jobs", str(jobs)]
    start = perf_counter()
    subprocess.run(command, check=True, capture_output=True, env={**os.environ, "OMP_NUM_THREADS": "1"})
    return perf_counter() - start


def ready_seconds(page_file: Path, repeat: int) -> tuple[float, int] | None:
    """Best time until the board is interactive, and its re-run rows; None without a browser."""
    executable = Path(os.environ.get("AVBENCH_CHROMIUM", "/usr/bin/chromium"))
    if not executable.is_file():
        return None
    try:
        from playwright.sync_api import sync_playwright
    except ImportError:
        return None
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=str(executable), args=["--no-sandbox", "--disable-gpu", "--disable-background-networking"]
        )
        page = browser.new_page(viewport={"width": 1280, "height": 900})
        times = []
        for _ in range(repeat):
            page.goto("about:blank")
            page.goto(page_file.as_uri())
            page.wait_for_selector("html.ready")
            times.append(page.evaluate(READY) / 1000)
        rows = page.locator("tbody.rerun tr:not(.group)").count()
        browser.close()
    return min(times), rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--records", type=int, default=2000)
    parser.add_argument("--rows", type=int, default=300, help="rows of the board that is opened")
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--repeat", type=int, default=3)
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="avbench-benchmark-") as temporary:
        root = Path(temporary)
        many = store(root / "many", many_runs(arguments.records))
        seconds = min(build_seconds(many, root / "site", arguments.jobs) for _ in range(arguments.repeat))
        one_board = (simulated_run(f"m{i:03d}", UCF, seed=0, skill=i / arguments.rows) for i in range(arguments.rows))
        build_seconds(store(root / "one", one_board), root / "board", arguments.jobs)
        ready = ready_seconds(root / "board" / "boards" / "ucf" / "main" / "aligned-v1.html", 5 * arguments.repeat)
    rows = [
        {
            "what": f"build of {arguments.records} records, {arguments.jobs} processes",
            "seconds": seconds,
            "goal": BUILD_BUDGET,
        }
    ]
    if ready:
        rows.append({"what": f"board of {ready[1]} rows until interactive", "seconds": ready[0], "goal": READY_BUDGET})
    print(json.dumps(rows, indent=1) if arguments.json else tabulate(rows, headers="keys", floatfmt=".3f"))


if __name__ == "__main__":
    main()
