"""What a study found: the best options beside the preset, as a table, as data, and as a file for ``avbench run``."""

from __future__ import annotations

import json
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from tabulate import tabulate

from avbench.harness.atomic import write_bytes
from avbench.harness.errors import MethodError
from avbench.harness.records.record import Tuned
from avbench.harness.tracks import parse_track
from avbench.harness.tuning.score import Interval, Score, Trial, difference, over_seeds
from avbench.harness.tuning.search import Subject
from avbench.harness.tuning.spaces import Value
from avbench.harness.tuning.study import Study

SHOWN = 10
"""Trials of the table."""
TELLING = 20
"""Finished trials from which on importances are told. They compare the best tenth with the others: of fewer trials that
is a single one, and an option without effect is as often the first (60 simulated searches of two options, one without
effect: it is first in 33 % of those with 10 trials, in 12 % with 20)."""
CONFIRMED = "confirmed"
"""Key of the note in which a study keeps what fresh seeds gave."""


@dataclass(frozen=True)
class Confirmation:
    """The preset and the best options on seeds that no trial used: the preset's scores and the best ones."""

    trial: int
    preset: tuple[Score, ...]
    best: tuple[Score, ...]

    @property
    def gain(self) -> Interval:
        """How much higher the best options are, paired by seed."""
        return difference(self.best, self.preset)


@dataclass(frozen=True)
class Tuning:
    """A study that is complete. HM is on validation, in percent."""

    study: str
    file: Path
    """The study."""
    subject: Subject
    simulated: bool
    trials: tuple[Trial, ...]
    best: Trial
    preset: Trial | None
    """None where the preset failed."""
    importances: Mapping[str, float]
    """Shares of the searched options in what tells the best trials from the others (PED-ANOVA); sum 1. Empty for
    fewer than :data:`TELLING` finished trials and for a single option."""
    confirmation: Confirmation | None = None

    @property
    def options(self) -> dict[str, Any]:
        """For ``avbench run``: the fixed ones and the best ones."""
        return {**self.subject.options, **self.best.values}

    @property
    def gain(self) -> Interval | None:
        """Of the best over the preset on the seeds of the search: biased upwards, as a maximum is."""
        return difference(self.best.scores, self.preset.scores) if self.preset and self.preset.scores else None

    @property
    def counts(self) -> dict[str, int]:
        """Trials by what became of them."""
        return {state: sum(t.state == state for t in self.trials) for state in ("done", "pruned", "failed")}

    @property
    def tuned(self) -> Tuned:
        """What the record of a run with these options says of them."""
        assert self.best.value is not None
        return Tuned(
            method=self.subject.method,
            study=self.study,
            study_hash=self.subject.hash,
            tracks=list(self.subject.tracks),
            options={name: value for name, value in self.best.values.items() if value is not None},
            trials=len(self.trials),
            objective=self.subject.objective,
            value=self.best.value,
        )

    def data(self) -> dict[str, Any]:
        """Everything, as JSON holds it."""
        return {
            "study": self.study,
            "file": str(self.file),
            "objective": self.subject.objective,
            "simulated": self.simulated,
            "subject": self.subject.model_dump(mode="json"),
            "counts": self.counts,
            "best": self.best.number,
            "options": self.options,
            "gain": _as_json(self.gain),
            "importances": dict(self.importances),
            "confirmation": self.confirmation
            and {**asdict(self.confirmation), "gain": _as_json(self.confirmation.gain)},
            "trials": [asdict(trial) for trial in self.trials],
        }

    def text(self) -> str:
        """The table and what must be said beside it."""
        s = self.subject
        features = "simulated features: says nothing about real data" if self.simulated else "validation alone"
        counts = ", ".join(f"{count} {state}" for state, count in self.counts.items() if count)
        lines = [
            f"study {self.study}: {len(self.trials)} trials ({counts})",
            f"{s.method} on {', '.join(s.tracks)}, {s.protocol.name}; {s.objective}, in percent ({features})",
            "",
            self._table(),
            "",
            *self._said(),
        ]
        if self.importances:
            shares = ", ".join(f"{name} {share:.2f}" for name, share in self.importances.items())
            lines.append(f"importance: {shares}")
        elif self.counts["done"] < TELLING and len(s.spaces) > 1:
            lines.append(f"importance of the options: told from {TELLING} finished trials on")
        return "\n".join(lines)

    def _table(self) -> str:
        done = sorted((t for t in self.trials if t.value is not None), key=lambda t: (-(t.value or 0), t.number))
        shown = done[:SHOWN]
        if self.preset and self.preset.value is not None and self.preset not in shown:
            shown.append(self.preset)
        rows = []
        for trial in shown:
            hm = over_seeds(trial.scores)
            interval = "" if hm.low is None else f"{hm.low:.2f} to {hm.high:.2f}"
            name = f"{trial.number} (preset)" if trial.preset else str(trial.number)
            rows.append([name, f"{hm.mean:.2f}", interval, *(_short(trial.values.get(o)) for o in self.subject.spaces)])
        heads = ["trial", "HM", "95% over seeds", *self.subject.spaces]
        return tabulate(rows, headers=heads, tablefmt="simple", disable_numparse=True)

    def _said(self) -> list[str]:
        if self.preset is None:
            return [
                "the preset failed: " + next((t.failure or "" for t in self.trials if t.preset), "it was not tried")
            ]
        if self.best is self.preset:
            return ["no trial is better than the preset"]
        lines = []
        if self.gain:
            lines.append(
                f"trial {self.best.number} over the preset: {_signed(self.gain)}; "
                f"as the best of {len(self.trials)}, that is biased upwards"
            )
        if self.confirmation is None:
            lines.append("confirm it on seeds that no trial used: --confirm 5")
        else:
            lines.append(f"the same on {_seeds(self.confirmation.best)} fresh seeds: {_signed(self.confirmation.gain)}")
        return lines


def outcome(study: Study) -> Tuning:
    """What a complete study found. Raises the failure where no trial is done."""
    trials = study.trials()
    done = [trial for trial in trials if trial.value is not None]
    if not done:
        why = next((f"trial {t.number}: {t.failure}" for t in trials if t.failure), "there is none")
        raise MethodError(f"study {study.name!r}: no trial is done; {why}")
    best = max(done, key=lambda trial: (trial.value or 0.0, -trial.number))
    kept = study.remembered(CONFIRMED)
    confirmation = _unpacked(kept) if kept and kept["trial"] == best.number else None
    return Tuning(
        study=study.name,
        file=study.path,
        subject=study.search.subject,
        simulated=any(run.simulated for run in study.search.runs),
        trials=tuple(trials),
        best=best,
        preset=next((trial for trial in done if trial.preset), None),
        importances=_importances(study),
        confirmation=confirmation,
    )


def keep_confirmation(study: Study, confirmation: Confirmation) -> None:
    """Keep it with the study."""
    study.remember(CONFIRMED, asdict(confirmation))


def write_config(tuning: Tuning, path: Path) -> None:
    """A file for ``avbench run --config``: method, tracks, protocol, the best options, and where they come from."""
    write_bytes(path, config_text(tuning).encode())


def config_text(tuning: Tuning) -> str:
    """The text of that file."""
    s = tuning.subject
    tracks = [parse_track(track) for track in s.tracks]
    datasets = list(dict.fromkeys(track.dataset for track in tracks))
    features = list(dict.fromkeys(track.features for track in tracks))
    unset = [f"{name}=null" for name, value in tuning.options.items() if value is None]  # TOML has no null
    settings: dict[str, Any] = {"method": [s.method], "protocol": [s.protocol.name]}
    if len(datasets) * len(features) == len(tracks):  # run takes every combination
        settings |= {"dataset": datasets, "features": features}
    if s.variant:
        settings["variant"] = [s.variant]
    if unset:
        settings["option"] = unset
    tables = {
        "options": {name: value for name, value in tuning.options.items() if value is not None},
        "tuned": tuning.tuned.model_dump(mode="json"),
    }
    heading = f"# The best of {len(tuning.trials)} trials by {s.objective}: {tuning.best.value:.2f} percent.\n"
    blocks = [_assignments(settings), *(f"[{name}]\n{_assignments(table)}" for name, table in tables.items())]
    return heading + "\n".join(blocks)


def _importances(study: Study) -> dict[str, float]:
    """Empty where there is nothing to tell."""
    from optuna.importance import get_param_importances
    from optuna.trial import TrialState

    done = study.optuna_study().get_trials(deepcopy=False, states=[TrialState.COMPLETE])
    if len(done) < TELLING or len(study.search.spaces) < 2:
        return {}
    with warnings.catch_warnings(action="error"):  # Optuna then gives each the same, which says nothing
        try:
            return get_param_importances(study.optuna_study())
        except (Warning, ValueError, RuntimeError):
            return {}


def _unpacked(kept: Mapping[str, Any]) -> Confirmation:
    preset, best = (tuple(Score(**score) for score in kept[name]) for name in ("preset", "best"))
    return Confirmation(kept["trial"], preset, best)


def _assignments(table: Mapping[str, Any]) -> str:
    """Lines of TOML: numbers, texts, truth values and lists of texts are written there as in JSON."""
    return "".join(f"{name} = {_in_toml(value)}\n" for name, value in table.items())


def _in_toml(value: Any) -> str:
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{name} = {_in_toml(each)}" for name, each in value.items()) + "}"
    return json.dumps(value)


def _as_json(interval: Interval | None) -> dict[str, float | None] | None:
    return None if interval is None else {"mean": interval.mean, "low": interval.low, "high": interval.high}


def _short(value: Value) -> str:
    return "" if value is None else f"{value:.4g}" if isinstance(value, float) else str(value)


def _signed(interval: Interval) -> str:
    if interval.low is None:
        return f"{interval.mean:+.2f} points"
    return f"{interval.mean:+.2f} points (95% {interval.low:+.2f} to {interval.high:+.2f}, paired by seed)"


def _seeds(scores: Sequence[Score]) -> int:
    return len({score.seed for score in scores})
