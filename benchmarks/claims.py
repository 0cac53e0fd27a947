"""Whether what papers claim holds here: test HM of two methods or variants on the same seeds; see `docs/choices.md`.

    python benchmarks/claims.py --features demo [--method mdii] [--seeds 5] [--results results] [--device cpu]

Each claim of `choices.toml` is judged over the three data sets, after the choices there were made. A finished run is
not repeated. The interval is 95 %, Student's t, of the difference paired by seed: it speaks of other seeds, not of
other classes. Prints a table in Markdown. On simulated features the budgets of the file apply, elsewhere the presets'.
"""

from __future__ import annotations

import argparse
import tomllib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from choices import PLAN, excludes_0, read_plan, text
from tabulate import tabulate

import avbench
from avbench.harness.errors import AvbenchError
from avbench.harness.tracks import DEMO
from avbench.harness.tuning.score import Interval, Score, difference, over_seeds
from avbench.splits import DATASETS


@dataclass(frozen=True)
class Side:
    """One side of a comparison: a method, or a variant of it."""

    method: str
    variant: str | None = None


@dataclass(frozen=True)
class Claim:
    claim: str
    lower: Side
    higher: Side


def read_claims(path: Path = PLAN) -> list[Claim]:
    """The claims of a TOML file. Raises TypeError for a key that a claim does not have."""
    return [
        Claim(**{**claim, "lower": Side(**claim["lower"]), "higher": Side(**claim["higher"])})
        for claim in tomllib.loads(path.read_text("utf-8"))["claim"]
    ]


def tested(side: Side, features: str, seeds: int, results: Path, device: str) -> list[Score]:
    """Test HM of every data set and seed. Raises :class:`AvbenchError` where a run failed."""
    records = avbench.run(
        side.method,
        [f"{dataset}/{features}" for dataset in DATASETS],
        seeds=seeds,
        options=read_plan().budget.get(side.method, {}) if features == DEMO else {},
        variants=[side.variant] if side.variant else (),
        device=device,
        results=results,
    )
    scores = []
    for record in records:
        c = record.configuration
        if record.outcome is None:
            raise AvbenchError(f"{c.method} {c.track} seed {c.seed} failed: avbench results list tells why")
        scores.append(Score(str(c.track), c.seed, record.outcome.metrics.HM, record.outcome.epochs))
    return scores


def verdict(gap: Interval) -> str:
    """What the interval says of a claim that one side is higher."""
    if excludes_0(gap):
        return "holds"
    return "no: lower" if gap.high is not None and gap.high < 0 else "not shown"


def rows(claim: Claim, lower: Sequence[Score], higher: Sequence[Score]) -> list[list[str]]:
    """The mean over data sets, then each data set."""
    shown = []
    for track in (None, *dict.fromkeys(score.track for score in lower)):
        without, above = ([s for s in side if track in (None, s.track)] for side in (lower, higher))
        gap = difference(above, without)
        name = track.partition("/")[0] if track else "all three"
        means = [f"{over_seeds(side).mean:.2f}" for side in (without, above)]
        shown.append(["" if track else claim.claim, name, *means, text(gap), verdict(gap)])
    return shown


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--features", default=DEMO)
    parser.add_argument("--method", action="append", help="only claims on this method; may be repeated")
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--results", type=Path, default=Path("results"))
    parser.add_argument("--device", default="auto")
    given = parser.parse_args()
    table: list[list[str]] = []
    for claim in read_claims():
        if given.method and claim.higher.method not in given.method:
            continue
        sides = (
            tested(side, given.features, given.seeds, given.results, given.device)
            for side in (claim.lower, claim.higher)
        )
        table += rows(claim, *sides)
    if given.features == DEMO:
        print("Simulated features: says nothing about real data.\n")
    heads = ["claim", "data sets", "HM without", "HM with", "difference, 95 %, paired by seed", "here"]
    print(tabulate(table, headers=heads, tablefmt="github", disable_numparse=True))


if __name__ == "__main__":
    main()
