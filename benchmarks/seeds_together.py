"""Whether a seed that trains in one step with others differs from the same seed alone beyond the noise of seeds.

    python benchmarks/seeds_together.py [--method avca ...] [--seeds 40] [--at-once 10] [--dtype float64] [--json]

Each seed runs its two stages alone and in company, on the demo features (**simulated**) of UCF, on a CPU. Shown for
each metric are the mean over seeds of the difference, company less alone, its 95 % interval (t distribution), the
p-value of the paired test, the largest difference of any seed, and the standard deviation among seeds. `scores` are the
best seen and the best unseen score of each test clip: the root mean square of a seed's difference as a share of that
between two seeds (median over pairs of neighbours); shown are median and largest share of the seeds. In float64 the
network and its losses are in double precision; scores are compared as float32.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from statistics import median
from typing import Any

import numpy as np
import torch
from double_precision import doubled
from numpy.typing import NDArray
from paired import Paired
from scipy import stats
from step_timing import batch_method
from tabulate import tabulate

from avbench.harness.evaluation.evidence import TEST
from avbench.harness.evaluation.protocol import ALIGNED
from avbench.harness.evaluation.two_stages import Result, run_together, run_two_stages
from avbench.harness.features.featureset import FeatureSet
from avbench.harness.plugins.sources import load_features
from avbench.harness.tracks import DEMO, Track
from avbench.methods.learning.training import BatchMethod

TRACK = Track("ucf", DEMO)
METRICS = ("S", "U", "HM", "ZSL")
DTYPES = ("float32", "float64")


@dataclass(frozen=True)
class Pairs:
    """The results of the same seeds, in the same order."""

    alone: Sequence[Result]
    company: Sequence[Result]

    def rows(self) -> Iterator[dict[str, Any]]:
        """One line per metric, and one for the scores."""
        for metric in METRICS:
            values, base = ([getattr(r.metrics, metric) for r in found] for found in (self.company, self.alone))
            paired = Paired.of(values, base)
            yield {
                "of": metric,
                **asdict(paired),
                "p": paired_p(values, base),
                "largest": max(abs(a - b) for a, b in zip(values, base, strict=True)),
                "verdict": paired.verdict,
            }
        alone, company = ([best_scores(result) for result in found] for found in (self.alone, self.company))
        among = median(rms(one, other) for one, other in zip(alone[1:], alone[:-1], strict=True))
        shares = [rms(one, other) / among for one, other in zip(company, alone, strict=True)]
        yield {"of": "scores, share", "difference": median(shares), "seed_sd": 1.0, "largest": max(shares)}

    @property
    def equal_epochs(self) -> int:
        """Seeds that chose the same epoch both ways."""
        return sum(a.epochs == b.epochs for a, b in zip(self.alone, self.company, strict=True))


def paired_p(values: Sequence[float], base: Sequence[float]) -> float:
    """Of the paired t test; 1 where no pair differs."""
    return 1.0 if list(values) == list(base) else float(stats.ttest_rel(values, base).pvalue)


def best_scores(result: Result) -> NDArray[np.float64]:
    """(2N,) of the N test clips."""
    test = result.evidence[TEST]
    return np.concatenate([test.seen_score, test.unseen_score]).astype(np.float64)


def rms(values: NDArray[np.float64], base: NDArray[np.float64]) -> float:
    """Root mean square of the differences."""
    return float(np.sqrt(np.mean((values - base) ** 2)))


def pairs(kind: type[BatchMethod], features: FeatureSet, seeds: range, at_once: int, budget: dict[str, int]) -> Pairs:
    """Both ways of the same seeds. Raises what went wrong with a seed."""
    options = kind.Options.effective(TRACK, ALIGNED.name, budget)
    epochs = budget["epochs"]
    alone = [run_two_stages(lambda: kind(options), features, ALIGNED, epochs=epochs, seed=seed) for seed in seeds]
    company = list[Result]()
    for first in range(0, len(seeds), at_once):
        group = seeds[first : first + at_once]
        nobody = [lambda _: None] * len(group)
        for result in run_together(
            lambda: kind(options), features, ALIGNED, epochs=epochs, seeds=group, listeners=nobody, fitted=nobody
        ):
            if isinstance(result, BaseException):
                raise result
            company.append(result)
    return Pairs(alone, company)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--method", action="append")
    parser.add_argument("--seeds", type=int, default=40, help="how many")
    parser.add_argument("--at-once", type=int, default=10, help="seeds in one step")
    parser.add_argument("--dtype", action="append", choices=DTYPES, help="may be repeated (default: both)")
    parser.add_argument("--epochs", type=int, default=2)
    parser.add_argument("--batches", type=int, default=8)
    parser.add_argument("--batch-size", type=int, default=32)
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args()
    budget = {"epochs": arguments.epochs, "batches_per_epoch": arguments.batches, "batch_size": arguments.batch_size}
    features = load_features(TRACK)
    rows = []
    for slug in arguments.method or ["avca"]:
        kind = batch_method(slug)
        if kind is None:
            parser.error(f"{slug}: does not train on batches")
        for dtype in arguments.dtype or DTYPES:
            held = doubled(kind) if dtype == "float64" else kind
            found = pairs(held, features, range(arguments.seeds), arguments.at_once, budget)
            about = {"method": slug, "dtype": dtype, "equal epochs": f"{found.equal_epochs} of {arguments.seeds}"}
            rows += [about | row for row in found.rows()]
    if arguments.json:
        print(json.dumps(rows, indent=1))
        return
    print(tabulate(rows, headers="keys", floatfmt=".2g"))
    print(f"{TRACK} (simulated), {torch.get_num_threads()} threads, {arguments.at_once} seeds in a step, {budget}")


if __name__ == "__main__":
    main()
