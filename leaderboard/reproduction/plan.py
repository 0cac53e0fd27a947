"""The runs that a printed table needs: for each row its method and variant on its track, one run a seed."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from avbench.harness.errors import DataError, UsageError
from avbench.harness.plugins.registry import plugins
from avbench.harness.plugins.sources import foreign_tracks, installed_tracks, require_known
from avbench.harness.tracks import DEMO, Track
from avbench.leaderboard.claims import COMPARABLE, Claim
from avbench.leaderboard.reproduction.budget import scaled, share
from avbench.leaderboard.reproduction.printed import PrintedTable, quoted_from
from avbench.leaderboard.reproduction.recipes import Recipe, recipe

if TYPE_CHECKING:
    from avbench.harness.records.planned import PlannedRun

OVER_TIME = "-temporal"


@dataclass(frozen=True)
class Prospect:
    """A printed row on one track, and whether it can be run."""

    claim: Claim
    recipe: Recipe | None
    """None where there is no way to run it here, whatever features are installed."""
    track: Track | None
    """Where it runs; None where no features for it are installed."""
    reason: str = ""
    """Why it cannot be run; empty where it can."""

    @property
    def state(self) -> str:
        """``reachable``, ``needs features`` or ``out of reach``."""
        if self.recipe is None:
            return "out of reach"
        return "needs features" if self.track is None else "reachable"

    @property
    def remarks(self) -> tuple[str, ...]:
        """Why it cannot be run, where it is quoted from, what the paper leaves open and how it is read here."""
        quoted = quoted_from(self.claim)
        said = [self.reason, f"quoted from {quoted.paper} {quoted.table}" if quoted else ""]
        return (*filter(None, said), *(self.recipe.notes if self.recipe else ()))


@dataclass(frozen=True)
class Trial:
    """A printed row with its runs, one a seed; none where it cannot be run."""

    prospect: Prospect
    runs: tuple[PlannedRun, ...] = ()
    share: float = 1.0
    """Of the training steps of the preset. A budget allows whole batches and epochs only."""

    @property
    def claim(self) -> Claim:
        return self.prospect.claim


def prospects(claims: Iterable[Claim], features: str | None = None) -> list[Prospect]:
    """What can be run of printed rows: on their own features, or all on ``features``.

    Raises :class:`UsageError`, with a suggestion, for features that nobody has heard of.
    """
    installed = {*installed_tracks(), *foreign_tracks()}
    if features is not None:
        require_known([features])
    return [_prospect(claim, features, installed) for claim in claims]


def _prospect(claim: Claim, features: str | None, installed: set[Track]) -> Prospect:
    found = recipe(claim)
    if isinstance(found, str):
        return Prospect(claim, None, None, found)
    track = claim.track if features is None else _substitute(claim, features, installed)
    if not (track.simulated or track in installed):
        return Prospect(claim, found, None, f"no features {track} are installed")
    return Prospect(claim, found, track)


def _substitute(claim: Claim, features: str, installed: set[Track]) -> Track:
    """The track that stands for that of a printed row: features over time for rows over time, where there are any."""
    over_time = Track(claim.dataset, features + OVER_TIME)
    wanted = claim.features.endswith(OVER_TIME) and not features.endswith(OVER_TIME)
    return over_time if wanted and (over_time.simulated or over_time in installed) else Track(claim.dataset, features)


def require_reachable(tables: Sequence[PrintedTable], found: Sequence[Prospect]) -> None:
    """Raise where nothing at all can be run: :class:`DataError` for want of features, else :class:`UsageError`."""
    if any(prospect.track for prospect in found):
        return
    names = ", ".join(table.name for table in tables)
    wrong = f"{names}: no row can be run: {'; '.join(dict.fromkeys(prospect.reason for prospect in found))}"
    if not any(prospect.recipe for prospect in found):
        raise UsageError(wrong)
    raise DataError(
        f"{wrong}. 'avbench data import' brings the features of the public archives, --features {DEMO} takes the "
        "embedded simulated ones"
    )


def trials(found: Sequence[Prospect], seeds: Sequence[int], budget: float = 1.0) -> list[Trial]:
    """The runs of all rows, in their order. A row whose method cannot be run on the features says why.

    Rows may share runs: equal configurations are one run. Raises :class:`UsageError` where there is none at all, and
    for a configuration that is refused.
    """
    made: dict[int, Trial] = {}
    by_track = sorted(range(len(found)), key=lambda at: found[at].track or Track("", ""))  # features are loaded once
    for at in by_track:
        made[at] = _trial(found[at], seeds, budget)
    if not any(trial.runs for trial in made.values()):
        raise UsageError("; ".join(dict.fromkeys(trial.prospect.reason for trial in made.values())))
    return [made[at] for at in range(len(found))]


def _trial(prospect: Prospect, seeds: Sequence[int], budget: float) -> Trial:
    from avbench.harness.running.runs import plan

    r, track = prospect.recipe, prospect.track
    if r is None or track is None:
        return Trial(prospect)
    method = plugins().method(r.method).method
    of_variant = plugins().variant(r.method, r.variant).options_on(track, COMPARABLE) if r.variant else {}
    try:
        options = method.Options.effective(track, COMPARABLE, of_variant)
        less = scaled(options, budget)
        planned = plan([r.method], [track], [COMPARABLE], seeds, less, [r.variant] if r.variant else ())
    except UsageError as error:  # such as a method that does not read the features given
        return Trial(Prospect(prospect.claim, r, None, str(error)))
    return Trial(prospect, tuple(planned), share(options, less))


def runs_of(made: Sequence[Trial]) -> list[PlannedRun]:
    """All runs, each once, track by track."""
    unique = {run.configuration.identity: run for trial in made for run in trial.runs}
    return sorted(unique.values(), key=lambda run: run.configuration.track)
