"""What a reproduced table must say of how it was run, before and after."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from avbench.leaderboard.recalls import FEWEST_SEEDS
from avbench.leaderboard.reproduction.plan import Trial


@dataclass(frozen=True)
class Conditions:
    """Under which tables were run; it stands in the head of each."""

    protocol: str
    seeds: int
    features: str | None
    """That all rows were run on; None for the printed ones."""
    simulated: bool
    budget: float

    def in_words(self, trials: Sequence[Trial]) -> list[str]:
        """Lines for the head of a table of these rows."""
        few = "" if self.seeds >= FEWEST_SEEDS else f", too few for an interval ({FEWEST_SEEDS} are needed)"
        lines = [f"Protocol {self.protocol}, {self.seeds} {'seed' if self.seeds == 1 else 'seeds'}{few}"]
        if self.simulated:
            lines.append(f"SIMULATED: run on {self.features} features and small presets, says nothing about real data")
        elif any(trial.prospect.track not in (None, trial.claim.track) for trial in trials):
            lines.append(f"Run on {self.features} features, not on those of the paper")
        trials = [trial for trial in trials if trial.runs]
        if trials and self.budget != 1:
            lines.append(f"BUDGET {self.budget:g}: trained for {_shares(trials)} of the steps of the presets")
        return lines


def _shares(trials: Sequence[Trial]) -> str:
    shares = sorted(trial.share for trial in trials)
    ends = dict.fromkeys(f"{100 * share:.3g}" for share in (shares[0], shares[-1]))
    return f"{' to '.join(ends)} %"
