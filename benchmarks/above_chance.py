"""Whether finished runs beat chance on S and on ZSL. After `avbench run`: python benchmarks/above_chance.py [results]

Permutation test: the true classes of the seen (for ZSL: the unseen) test clips are shuffled among them; p is the share
of shuffles, the observed one included, whose mean class accuracy is at least the observed one. All p values
are corrected together (Holm). S is taken over the seen classes alone, without an offset, so that stacking cannot hide
it. Exit code 1 when a run does not beat chance at the 5 % level of the whole table.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from statsmodels.stats.multitest import multipletests
from tabulate import tabulate

from avbench.harness.evaluation.evidence import TEST
from avbench.harness.records.record import RunRecord
from avbench.harness.records.results import ResultsFolder

SHUFFLES = 9_999
LEVEL = 0.05


def permutation_p(labels: NDArray[np.int32], predicted: NDArray[np.int32]) -> tuple[float, float]:
    """Observed mean class accuracy in percent, and its p value."""
    classes, row, counts = np.unique(labels, return_inverse=True, return_counts=True)
    weight = 1 / (counts[row] * len(classes))
    generator = np.random.default_rng(0)
    observed = float(weight @ (labels == predicted))
    order = np.arange(len(labels))
    reached = 1
    for _ in range(SHUFFLES):
        generator.shuffle(order)
        reached += float(weight[order] @ (labels[order] == predicted)) >= observed - 1e-12
    return 100 * observed, reached / (SHUFFLES + 1)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("results", nargs="?", type=Path, default=Path("results"))
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args()
    folder = ResultsFolder(arguments.results)
    rows = []
    for record in folder.records():
        if not isinstance(record, RunRecord) or not record.finished:
            continue
        table = folder.evidence(record)[TEST]
        c = record.configuration
        sides = {
            "S": (table.is_seen, table.seen_class, len(table.seen_classes)),
            "ZSL": (~table.is_seen, table.unseen_class, len(table.unseen_classes)),
        }
        for metric, (chosen, predicted, classes) in sides.items():
            observed, p = permutation_p(table.label[chosen], predicted[chosen])
            run = f"{c.method} {c.track} {c.protocol.name} seed {c.seed}"
            rows.append({"run": run, "metric": metric, "observed": observed, "chance": 100 / classes, "p": p})
    if not rows:
        raise SystemExit(f"no finished run under {arguments.results}")
    for line, corrected in zip(rows, multipletests([float(r["p"]) for r in rows], method="holm")[1], strict=True):
        line["p (Holm)"] = float(corrected)
    print(json.dumps(rows, indent=1) if arguments.json else tabulate(rows, headers="keys", floatfmt=".4g"))
    below = [f"{r['run']} {r['metric']}" for r in rows if float(r["p (Holm)"]) > LEVEL]
    if below:
        raise SystemExit(f"not above chance at {LEVEL:.0%}: " + "; ".join(below))


if __name__ == "__main__":
    main()
