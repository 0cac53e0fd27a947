"""How long the site takes to build, how soon its pages are interactive, and how heavy they are. Run: python
benchmarks/site.py

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
from collections.abc import Iterator, Sequence
from pathlib import Path
from time import perf_counter

from tabulate import tabulate

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))

from simulated_results import many_runs, simulated_run, store

from avbench.harness.records.results import ResultsFolder
from avbench.harness.tracks import Track

BUILD = "from avbench.harness.cli import main; main()"
UCF = Track("ucf", "main")
BUILD_BUDGET, READY_BUDGET, WEIGHT_BUDGET = 30.0, 0.5, 300.0
# When everything that the scripts do is done, in milliseconds since the navigation began.
READY = "() => performance.getEntriesByType('navigation')[0].domContentLoadedEventEnd"


def build_seconds(folder: ResultsFolder, site: Path, jobs: int) -> float:
    command = [sys.executable, "-c", BUILD, "leaderboard", "build"]
    command += ["--results", str(folder.root), "--site", str(site), "--jobs", str(jobs)]
    start = perf_counter()
    subprocess.run(command, check=True, capture_output=True, env={**os.environ, "OMP_NUM_THREADS": "1"})
    return perf_counter() - start


def ready_seconds(files: Sequence[Path], repeat: int) -> Iterator[float]:
    """Best time until each page is interactive; nothing without a browser."""
    executable = Path(os.environ.get("AVBENCH_CHROMIUM", "/usr/bin/chromium"))
    if not executable.is_file():
        return
    try:
        from playwright.sync_api import sync_playwright
    except ImportError:
        return
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=str(executable), args=["--no-sandbox", "--disable-gpu", "--disable-background-networking"]
        )
        page = browser.new_page(viewport={"width": 1280, "height": 900})
        for file in files:
            times = []
            for _ in range(repeat):
                page.goto("about:blank")
                page.goto(file.as_uri())
                page.wait_for_selector("html.ready")
                times.append(page.evaluate(READY) / 1000)
            yield min(times)
        browser.close()


def heaviest(site: Path) -> tuple[Path, float]:
    """The heaviest page of a site and its kB: its HTML, the style and all scripts. Nothing else is loaded unasked."""
    shared = sum(path.stat().st_size for path in (site / "assets").iterdir())
    page = max(site.rglob("*.html"), key=lambda path: path.stat().st_size)
    return page, (page.stat().st_size + shared) / 1000


def kinds(site: Path) -> list[Path]:
    """One page of each kind that grows with the records: the largest of its folder, at any depth."""
    found = [site / name for name in ("index.html", "search.html", "methods.html", "averages.html")]
    for folder in ("boards", "compare", "papers", "methods", "runs"):
        found += sorted((site / folder).rglob("*.html"), key=lambda path: -path.stat().st_size)[:1]
    return found


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
        repeats = 3 * arguments.repeat
        pages = kinds(root / "site")
        worst = max(zip(ready_seconds(pages, repeats), pages, strict=False), default=None)
        board = next(ready_seconds([root / "board" / "boards" / "ucf" / "main" / "aligned-v1.html"], repeats), None)
        page, weight = heaviest(root / "site")
    rows: list[tuple[str, float, str, float]] = [
        (f"build of {arguments.records} records, {arguments.jobs} processes", seconds, "s", BUILD_BUDGET),
        (f"heaviest page, {page.relative_to(root / 'site').as_posix()}", weight, "kB", WEIGHT_BUDGET),
    ]
    if worst and board:
        slowest = worst[1].relative_to(root / "site").as_posix()
        rows.append((f"slowest page until interactive, {slowest}", worst[0], "s", READY_BUDGET))
        rows.append((f"board of {arguments.rows} rows until interactive", board, "s", READY_BUDGET))
    found = [dict(zip(("what", "value", "unit", "goal"), row, strict=True)) for row in rows]
    print(json.dumps(found, indent=1) if arguments.json else tabulate(found, headers="keys", floatfmt=".3f"))


if __name__ == "__main__":
    main()
