"""Studies of what papers leave open, decided by validation HM alone: `docs/choices.md` shows them on the demo.

    python benchmarks/choices.py --features demo [--method mdii] [--seeds 5] [--results results] [--device cpu]

Each choice of `choices.toml` is one study of `avbench tune` over the three data sets: a grid of its readings. It goes
on where it was ended. No test clip is looked at. A reading wins only where the interval of its difference from the
preset, paired by seed, excludes 0 on the seeds of the search and again on as many fresh ones; otherwise the preset
stays. Prints a table in Markdown. On simulated features the budgets of the file apply, elsewhere the presets'.
"""

from __future__ import annotations

import argparse
import json
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tabulate import tabulate

import avbench
from avbench.harness.tracks import DEMO
from avbench.harness.tuning.outcome import Tuning
from avbench.harness.tuning.score import Interval, difference, over_seeds
from avbench.splits import DATASETS

PLAN = Path(__file__).with_name("choices.toml")


@dataclass(frozen=True)
class Choice:
    """One open choice of a method."""

    method: str
    question: str
    space: Mapping[str, Sequence[Any]]
    """Readings by option; all combinations are tried."""
    printed: bool = False
    """The paper prints the preset's reading: it stays, and one that wins is told."""

    @property
    def name(self) -> str:
        return "-".join([self.method, *self.space])

    def reading(self, values: Mapping[str, Any]) -> str:
        """What a trial tried, as text."""
        texts = {option: json.dumps(values[option]).strip('"') for option in self.space}
        return ", ".join(f"{option}={text}" for option, text in texts.items())


@dataclass(frozen=True)
class Plan:
    choices: tuple[Choice, ...]
    budget: Mapping[str, Mapping[str, Any]]
    """Options by method that cut its budget on simulated features."""


def read_plan(path: Path = PLAN) -> Plan:
    """The plan of a TOML file. Raises TypeError for a key that a choice does not have."""
    data = tomllib.loads(path.read_text("utf-8"))
    return Plan(tuple(Choice(**choice) for choice in data["choice"]), data["budget"])


def study(choice: Choice, plan: Plan, features: str, seeds: int, results: Path, device: str) -> Tuning:
    """The study of one choice; where its best reading seems to win, with as many fresh seeds as confirmation."""
    budget = plan.budget.get(choice.method, {}) if features == DEMO else {}

    def tuned(confirm: int | None) -> Tuning:
        return avbench.tune(
            choice.method,
            [f"{dataset}/{features}" for dataset in DATASETS],
            choice.space,
            seeds=seeds,
            sampler="grid",
            options=budget,
            confirm=confirm,
            study=f"choice-{choice.name}-{features}",
            device=device,
            results=results,
        )

    found = tuned(None)
    return tuned(seeds) if found.gain and excludes_0(found.gain) else found


def excludes_0(gain: Interval) -> bool:
    return gain.low is not None and gain.low > 0


def rows(choice: Choice, found: Tuning) -> list[list[str]]:
    """One row for each reading, the preset's first, with the verdict."""
    assert found.preset is not None
    shown = []
    for trial in sorted(found.trials, key=lambda t: (not t.preset, t.number)):
        name = f"`{choice.reading(trial.values)}`"
        hm = f"{over_seeds(trial.scores).mean:.2f}" if trial.scores else "failed"
        if trial.preset:
            shown.append([choice.method, f"{name} (preset)", hm, "", verdict(choice, found)])
        else:
            gap = text(difference(trial.scores, found.preset.scores)) if trial.scores else ""
            shown.append(["", name, hm, gap, ""])
    return shown


def verdict(choice: Choice, found: Tuning) -> str:
    """What validation decides of a choice: undecided, unless the preset is above every other reading."""
    if found.gain is None or not excludes_0(found.gain):
        assert found.preset is not None
        below = (difference(found.preset.scores, t.scores) for t in found.trials if t.scores and not t.preset)
        return "stays" if all(map(excludes_0, below)) else "stays, undecided"
    best = f"`{choice.reading(found.best.values)}`"
    fresh = found.confirmation.gain if found.confirmation else None
    if fresh and excludes_0(fresh):
        return f"{'stays, as printed; ' * choice.printed}{best} wins; on fresh seeds {text(fresh)}"
    return f"stays, undecided; {best} on fresh seeds {text(fresh)}" if fresh else "stays, undecided"


def text(gap: Interval) -> str:
    if gap.low is None:
        return f"{gap.mean:+.2f}"
    return f"{gap.mean:+.2f} ({gap.low:+.2f} to {gap.high:+.2f})"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--features", default=DEMO)
    parser.add_argument("--method", action="append", help="only this method; may be repeated")
    parser.add_argument("--option", action="append", help="only this option; may be repeated")
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--results", type=Path, default=Path("results"))
    parser.add_argument("--device", default="auto")
    given = parser.parse_args()
    plan = read_plan()
    table: list[list[str]] = []
    for choice in plan.choices:
        if given.method and choice.method not in given.method:
            continue
        if given.option and not set(given.option) & set(choice.space):
            continue
        table += rows(choice, study(choice, plan, given.features, given.seeds, given.results, given.device))
    if given.features == DEMO:
        print("Simulated features: says nothing about real data.\n")
    heads = ["method", "reading", "validation HM", "difference from the preset, 95 %, paired by seed", "decision"]
    print(tabulate(table, headers=heads, tablefmt="github", disable_numparse=True))


if __name__ == "__main__":
    main()
