"""How long `avbench --help` and the listings take over a bare interpreter start. Run: python benchmarks/startup.py

Interleaved repetitions; the minimum of each is compared, because everything else on the machine only adds time.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from time import perf_counter

from tabulate import tabulate

BARE = [sys.executable, "-c", "pass"]
RUN = "from avbench.harness.cli import main; main()"
COMMANDS = (
    ["--help"],
    ["methods", "list"],
    ["splits", "list"],
    ["data", "status"],
    ["plugins", "list"],
    ["run", "--help"],
    ["results", "--help"],
    ["leaderboard", "--help"],
)
HELP_BUDGET, BUDGET = 0.05, 0.3


def seconds(command: list[str]) -> float:
    start = perf_counter()
    subprocess.run(command, check=True, capture_output=True)
    return perf_counter() - start


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repeat", type=int, default=15)
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args()
    commands = {"bare interpreter": BARE}
    commands["import avbench"] = [sys.executable, "-c", "import avbench"]
    commands |= {f"avbench {' '.join(c)}": [sys.executable, "-c", RUN, *c] for c in COMMANDS}
    best = dict.fromkeys(commands, float("inf"))
    for _ in range(arguments.repeat):
        for name, command in commands.items():
            best[name] = min(best[name], seconds(command))
    bare = best["bare interpreter"]
    rows = [{"command": n, "seconds": t, "over_bare": t - bare, "ratio": t / bare} for n, t in best.items()]
    if arguments.json:
        print(json.dumps(rows, indent=1))
    else:
        print(tabulate(rows, headers="keys", floatfmt=".3f"))
        print(f"goals over the bare interpreter: --help and import avbench {HELP_BUDGET} s, every listing {BUDGET} s")


if __name__ == "__main__":
    main()
