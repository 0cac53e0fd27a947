"""How often an honest repetition is called not reproduced, and what inflation of HM is found: the tests of noise.

    python benchmarks/reproduction.py [--methods sje,ale,avca] [--dataset ucf] [--seeds 10] [--json]

Methods are trained on the demo features (simulated) with many seeds. Two seeds of one method are a repetition at its
noisiest: another machine changes no more than that. Each pair is judged as ``avbench results reproduce`` would: over
classes, and among three or five of the other seeds, drawn anew for each pair. A record is inflated by turning some of
its wrong decisions into right ones, which an honest repetition does not have.
"""

from __future__ import annotations

import argparse
import json
import tempfile
from collections.abc import Iterator, Sequence
from itertools import permutations
from pathlib import Path
from typing import Any

import numpy as np
import torch

from avbench.harness.evaluation.evidence import TEST, Evidence
from avbench.harness.evaluation.metrics import evaluate
from avbench.harness.evaluation.noise import Decisions, among_seeds, over_classes
from avbench.harness.records.results import ResultsFolder
from avbench.harness.running.runs import plan
from avbench.harness.running.session import complete
from avbench.harness.tracks import Track

SHARES = (0.0, 0.05, 0.1, 0.2, 0.4)
"""Of the wrong decisions that are made right; 0 is the honest record."""


def trained(method: str, dataset: str, seeds: int) -> list[Decisions]:
    """The decisions of a method for each seed."""
    runs = plan([method], [Track(dataset, "demo")], ["aligned"], range(seeds))
    with tempfile.TemporaryDirectory() as place:
        folder = ResultsFolder(Path(place))
        done = sorted(complete(runs, folder, [torch.device("cpu")], 1, lambda _index, _done: None), key=lambda r: r[0])
        return [Decisions(folder.evidence(r)[TEST], r.outcome.offset) for _, r, _ in done if r.outcome is not None]


def inflated(run: Decisions, share: float, random: np.random.Generator) -> Decisions:
    """The run with a share of its wrong decisions made right: the true class has the best score, by far."""
    arrays = {name: array.copy() for name, array in run.evidence.to_arrays().items()}
    e = run.evidence
    right = np.where(e.margin > run.offset, e.seen_class, e.unseen_class) == e.label
    chosen = ~right & (random.random(e.label.size) < share)
    for side, sign, name in ((e.is_seen, 1, "seen"), (~e.is_seen, -1, "unseen")):
        rows = chosen & side
        arrays[f"{name}_class"][rows] = e.label[rows]
        arrays["seen_score"][rows] = arrays["unseen_score"][rows] + run.offset + sign
    return Decisions(Evidence.from_arrays(arrays), run.offset)


def judged(runs: Sequence[Decisions], share: float) -> Iterator[dict[str, Any]]:
    """Each pair of seeds, one the record and one its repetition, by each test."""
    random = np.random.default_rng(0)
    records = [inflated(run, share, random) for run in runs]
    hm = [evaluate(run.evidence, run.offset).HM for run in records]
    honest = [evaluate(run.evidence, run.offset).HM for run in runs]
    for record, again in permutations(range(len(runs)), 2):
        gained = hm[record] - honest[record]
        yield {"test": "classes", "gained": gained, "noise": over_classes(records[record], runs[again]).is_noise}
        others = random.permutation([at for at in range(len(runs)) if at not in (record, again)])
        for n in (3, 5):
            known = [hm[at] for at in (record, *others[: n - 1])]
            yield {"test": f"{n} seeds", "gained": gained, "noise": among_seeds(known, honest[again]).is_noise}


def table(methods: Sequence[str], dataset: str, seeds: int) -> list[dict[str, Any]]:
    """Per method, test and share: mean points gained, and how often the repetition is called not reproduced."""
    rows = []
    for method in methods:
        runs = trained(method, dataset, seeds)
        for share in SHARES:
            found = list(judged(runs, share))
            for test in dict.fromkeys(one["test"] for one in found):
                these = [one for one in found if one["test"] == test]
                rows.append(
                    {
                        "method": method,
                        "test": test,
                        "share": share,
                        "gained": float(np.mean([one["gained"] for one in these])),
                        "not reproduced": float(np.mean([not one["noise"] for one in these])),
                        "pairs": len(these),
                    }
                )
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--methods", default="sje,ale,avca")
    parser.add_argument("--dataset", default="ucf")
    parser.add_argument("--seeds", type=int, default=10)
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args()
    rows = table(arguments.methods.split(","), arguments.dataset, arguments.seeds)
    if arguments.json:
        print(json.dumps(rows, indent=1))
        return
    for row in rows:
        print(
            f"{row['method']:10} {row['test']:8} {row['share']:5.0%} made right, HM {row['gained']:+6.2f}: "
            f"{row['not reproduced']:6.1%} of {row['pairs']} not reproduced"
        )


if __name__ == "__main__":
    main()
