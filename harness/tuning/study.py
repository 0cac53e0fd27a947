"""A study: trials in Optuna's SQLite file, which any number of processes share, and which outlives them.

Optuna proposes options and keeps what they gave. Who does a trial is told by a claim, as for runs: a trial whose
process died does not count, does not stay open, and is done again by whoever looks next. Imports Optuna when used.
"""

from __future__ import annotations

import hashlib
import time
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import TypeAdapter, ValidationError

from avbench.harness.errors import UsageError
from avbench.harness.extras import require
from avbench.harness.records.record import MAX_EPOCHS, Name
from avbench.harness.running.claims import Claim, Claims
from avbench.harness.tuning.score import Score, Trial
from avbench.harness.tuning.search import Search, Subject
from avbench.harness.tuning.spaces import Value, grid

if TYPE_CHECKING:
    import optuna

FOLDER = "tune"
"""In a results folder."""
USUAL_TRIALS = 40
MAX_DEATHS = 3
"""A trial whose process died so often has failed: it may be the trial that kills."""
LOCK_SECONDS = 0.02
FREE_TRIALS = 5
"""Trials that are done before one is pruned."""


@dataclass(frozen=True)
class Course:
    """How a study is searched. A study may be resumed with another course."""

    trials: int | None = None
    """In all, the preset among them; None: 40, or as many as a grid needs."""
    seed: int = 0
    """Of the sampler."""
    prune: bool = False


class Taken:
    """A trial that this process does."""

    def __init__(self, trial: optuna.Trial, values: dict[str, Value], claim: Claim, prune: bool) -> None:
        self.number, self.values, self.claim = trial.number, values, claim
        self._trial, self._prune = trial, prune

    def unpromising(self, run: int, epoch: int, value: float) -> bool:
        """Keep a value, percent, of an epoch (from 1) of a run (from 0), and say whether the trial is to be pruned."""
        if not self._prune:
            return False
        self._trial.report(value, run * MAX_EPOCHS + epoch)  # steps of Optuna, apart for each run
        return self._trial.should_prune()


class Study:
    """A search that processes share."""

    def __init__(self, results: Path, name: str | None, search: Search, course: Course) -> None:
        """Open or begin a study in a results folder; ``name``: by default, one that tells its subject.

        Raises :class:`UsageError` for a study of something else, for a file that is none, and for a grid that is larger
        than the trials.
        """
        self.results, self.search, self.course = results, search, course
        self.name = _checked_name(name) if name else _name_of(search.subject)
        self.folder = results / FOLDER
        self.path = self.folder / f"{self.name}.db"
        self._points = grid(search.spaces) if search.subject.sampler == "grid" else []
        self.total = self._total()
        self._claims = Claims(self.folder)
        self._study = self._open()

    def take(self) -> Taken | None:
        """The next trial, for this process. None while the others are all taken or done."""
        with self._locked():
            self._bury()
            if self._count(open_too=True) >= self.total:
                return None
            self._propose()
            trial = self._study.ask()
            claim = self._claims.claim(self._key(trial.number))
            assert claim is not None
            values = {}
            if not trial.user_attrs.get("bare"):
                values = {name: space.suggest(trial, name) for name, space in self.search.spaces.items()}
        return Taken(trial, values, claim, self.course.prune and not trial.user_attrs.get("preset"))

    def done(self, taken: Taken, scores: Sequence[Score], value: float) -> None:
        """A trial has its value."""
        taken._trial.set_user_attr("scores", [[s.track, s.seed, s.HM, s.epochs] for s in scores])
        self._study.tell(taken.number, value)
        taken.claim.release()

    def pruned(self, taken: Taken) -> None:
        """A trial was ended early."""
        from optuna.trial import TrialState

        self._study.tell(taken.number, state=TrialState.PRUNED)
        taken.claim.release()

    def failed(self, taken: Taken, reason: str) -> None:
        """A trial went wrong."""
        from optuna.trial import TrialState

        taken._trial.set_user_attr("failure", reason[:2_000])
        self._study.tell(taken.number, state=TrialState.FAIL)
        taken.claim.release()

    def hand_back(self, taken: Taken) -> None:
        """A trial was interrupted: another process may do it, and it is not the trial's fault."""
        with self._locked():
            for trial in self._running():
                if trial.number == taken.number:
                    self._repeat(trial, deaths=trial.user_attrs.get("deaths", 0))
        taken.claim.release()

    @property
    def complete(self) -> bool:
        """Whether all trials have ended."""
        return self._count(open_too=False) >= self.total

    def tidy(self) -> None:
        """Close the trials of dead processes: they will be done again."""
        with self._locked():
            self._bury()

    def trials(self) -> list[Trial]:
        """The trials that have ended, in the order of their numbers. What died and was done again is left out."""
        found = self._study.get_trials(deepcopy=False)
        lost = _lost(found)
        return [_plain(t) for t in found if t.state.is_finished() and t.number not in lost]

    def optuna_study(self) -> optuna.Study:
        """For importances and plots."""
        return self._study

    def remember(self, key: str, value: Any) -> None:
        """Keep a note with the study."""
        self._study.set_user_attr(key, value)

    def remembered(self, key: str) -> Any:
        """A note that was kept, or None."""
        return self._study.user_attrs.get(key)

    def _open(self) -> optuna.Study:
        require_optuna()
        import optuna
        from sqlalchemy.engine import URL
        from sqlalchemy.exc import SQLAlchemyError

        self.folder.mkdir(parents=True, exist_ok=True)
        self._claims.sweep()
        subject = self.search.subject
        url = str(URL.create("sqlite", database=str(self.path.absolute())))
        try:
            with self._locked():
                storage = optuna.storages.RDBStorage(url, engine_kwargs={"connect_args": {"timeout": 120}})
                study = optuna.create_study(
                    storage=storage,
                    study_name=self.name,
                    direction="maximize",
                    load_if_exists=True,
                    pruner=self._pruner(),
                )
                if "subject" not in study.user_attrs:
                    preset = self.search.preset
                    if not study.get_trials(deepcopy=False):
                        study.enqueue_trial(dict(preset or {}), {"preset": True, "bare": preset is None})
                    study.set_user_attr("subject", subject.model_dump_json())
            there = Subject.model_validate_json(study.user_attrs["subject"])
        except (SQLAlchemyError, ValidationError, RuntimeError, KeyError) as error:
            reason = str(error).splitlines()[0][:200] if str(error) else type(error).__name__
            raise UsageError(f"{self.path}: no study that can be read ({reason}); name another with --study") from None
        if difference := subject.difference(there):
            raise UsageError(
                f"{self.path}: study {self.name!r} {difference}; name another with --study, or leave --study out"
            )
        return study

    def _total(self) -> int:
        """How many trials there are to be. Raises :class:`UsageError` where a grid has more points."""
        if not self._points:
            return self.course.trials or USUAL_TRIALS
        needed = len(self._points) + (self.search.preset not in self._points)
        if self.course.trials is not None and self.course.trials < needed:
            raise UsageError(
                f"the grid has {len(self._points):,} points and takes {needed:,} trials with the preset, more than "
                f"--trials {self.course.trials}; raise that, name fewer values, or let --sampler tpe choose"
            )
        return needed

    def _propose(self) -> None:
        """See to it that Optuna proposes the next trial, and in the same way whenever it is the same one."""
        from optuna.trial import TrialState

        self._study.sampler = self._sampler()
        trials = self._study.get_trials(deepcopy=False)
        if self._points and not any(t.state == TrialState.WAITING for t in trials):
            lost = _lost(trials)
            there = [t.params for t in trials if t.number not in lost]
            self._study.enqueue_trial(next(dict(point) for point in self._points if point not in there))

    def _sampler(self) -> optuna.samplers.BaseSampler:
        """A sampler whose randomness follows from the seed and from how many trials there are."""
        import optuna

        number = len(self._study.get_trials(deepcopy=False))
        digest = hashlib.sha256(f"{self.course.seed} {number}".encode()).digest()
        seed = int.from_bytes(digest[:4], "big")
        if self.search.subject.sampler != "tpe":
            return optuna.samplers.RandomSampler(seed=seed)
        with warnings.catch_warnings(action="ignore", category=optuna.exceptions.ExperimentalWarning):
            return optuna.samplers.TPESampler(seed=seed, multivariate=True, group=True)

    def _pruner(self) -> optuna.pruners.BasePruner:
        from optuna import pruners

        if not self.course.prune:
            return pruners.NopPruner()
        return pruners.MedianPruner(n_startup_trials=FREE_TRIALS, n_warmup_steps=self.search.epochs // 3)

    def _count(self, *, open_too: bool) -> int:
        """The trials that count: all that have ended, but for those that died and are done again."""
        from optuna.trial import TrialState

        trials = self._study.get_trials(deepcopy=False)
        lost = _lost(trials)
        counted = [t for t in trials if t.number not in lost and t.state != TrialState.WAITING]
        return len([t for t in counted if open_too or t.state.is_finished()])

    def _running(self) -> list[optuna.trial.FrozenTrial]:
        from optuna.trial import TrialState

        return self._study.get_trials(deepcopy=False, states=(TrialState.RUNNING,))

    def _bury(self) -> None:
        """Close the trials of dead processes and have them done again. Only with the lock."""
        orphans = {t.number for t in self._running() if self._claims.owner(self._key(t.number)) is None}
        for trial in self._running():  # looked at once more: a trial is closed before its claim is released
            if trial.number in orphans:
                self._repeat(trial, deaths=trial.user_attrs.get("deaths", 0) + 1)

    def _repeat(self, trial: optuna.trial.FrozenTrial, deaths: int) -> None:
        """Close an open trial and queue its like, unless it died too often. Only with the lock."""
        from optuna.trial import TrialState

        queued = trial.number in _lost(self._study.get_trials(deepcopy=False))  # by one that died before it could close
        if deaths < MAX_DEATHS and not queued:
            kept: dict[str, Any] = {k: v for k, v in trial.user_attrs.items() if k in ("preset", "bare")}
            values = {**trial.system_attrs.get("fixed_params", {}), **trial.params}
            self._study.enqueue_trial(values, {**kept, "again": trial.number, "deaths": deaths})
        self._study.tell(trial.number, state=TrialState.FAIL)

    def _key(self, number: int) -> str:
        return f"{self.name}-{number}"

    @contextmanager
    def _locked(self) -> Iterator[None]:
        """One process at a time decides who does what. The lock of a dead one is taken over."""
        while (lock := self._claims.claim(f"{self.name}-lock")) is None:
            time.sleep(LOCK_SECONDS)
        with lock:
            yield


def require_optuna() -> None:
    """See to it that Optuna says nothing by itself. Raises :class:`UsageError` where it is not installed."""
    require("optuna", "tune", "options are searched by Optuna")
    import optuna

    optuna.logging.set_verbosity(optuna.logging.ERROR)


def _lost(trials: Sequence[optuna.trial.FrozenTrial]) -> set[int]:
    """Numbers of the trials whose processes died, and that others stand for."""
    return {t.user_attrs["again"] for t in trials if "again" in t.user_attrs}


def _plain(trial: optuna.trial.FrozenTrial) -> Trial:
    from optuna.trial import TrialState

    state = {TrialState.COMPLETE: "done", TrialState.PRUNED: "pruned"}.get(trial.state, "failed")
    failure = trial.user_attrs.get("failure", f"its process died {MAX_DEATHS} times") if state == "failed" else None
    return Trial(
        number=trial.number,
        state=state,  # type: ignore[arg-type]
        values=trial.params,
        preset=bool(trial.user_attrs.get("preset")),
        value=trial.value if state == "done" else None,
        scores=tuple(Score(*found) for found in trial.user_attrs.get("scores", ())),
        failure=failure,
    )


def _checked_name(name: str) -> str:
    try:
        return TypeAdapter(Name).validate_python(name)
    except ValidationError:
        raise UsageError(
            f"--study {name[:80]!r}: a name is at most 100 letters, digits, dots, hyphens and underscores"
        ) from None


def _name_of(subject: Subject) -> str:
    tracks = "-".join(track.replace("/", "-") for track in list(subject.tracks)[:2])
    return f"{subject.method}-{tracks}"[:80].rstrip(".-_") + f"-{subject.hash[:8]}"
