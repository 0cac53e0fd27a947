"""What a study searches: one method on some tracks, and the spaces of its options."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Annotated, Any, Literal, get_args

from pydantic import Field, JsonValue

from avbench.harness.contract.options import Options
from avbench.harness.errors import UsageError
from avbench.harness.plugins.registry import plugins
from avbench.harness.records.planned import PlannedRun
from avbench.harness.records.record import Compile, Name, Part, Plugin, ProtocolVersion, Sha256, Text, canonical_json
from avbench.harness.running.runs import plan
from avbench.harness.tracks import Track
from avbench.harness.tuning.spaces import Space, Value, spaces

Sampler = Literal["tpe", "random", "grid"]
SAMPLERS: tuple[Sampler, ...] = get_args(Sampler)

MAX_SEEDS = 1_000


class Subject(Part):
    """All that decides what the trials of a study find, but for the options that it searches."""

    method: Name
    plugin: Plugin
    tracks: Annotated[dict[Text, Sha256], Field(min_length=1)]
    """Track -> hash of its features."""
    protocol: ProtocolVersion
    variant: Text | None
    options: dict[str, JsonValue]
    """Those that were fixed."""
    spaces: dict[str, Text]
    seeds: int = Field(ge=1, le=MAX_SEEDS)
    sampler: Sampler

    @property
    def hash(self) -> str:
        """SHA-256 over the canonical JSON."""
        return hashlib.sha256(canonical_json(self.model_dump(mode="json")).encode()).hexdigest()

    @property
    def objective(self) -> str:
        """In words."""
        over = "one seed" if self.seeds == 1 else f"{self.seeds} seeds"
        tracks = f" and {len(self.tracks)} tracks" if len(self.tracks) > 1 else ""
        return f"{'mean ' if tracks or self.seeds > 1 else ''}validation HM over {over}{tracks}"

    def difference(self, other: Subject) -> str | None:
        """Where two subjects differ first, in words; None where they are the same."""
        for name, own in self:
            if own == (theirs := getattr(other, name)):
                continue
            if name == "plugin":
                return f"is of {self.method} of {theirs.distribution} {theirs.version}, whose code has changed since"
            if name == "tracks" and own.keys() == theirs.keys():
                return "is of features whose content has changed since"
            what = {"spaces": "searches", "options": "fixes"}.get(name, f"is of {name}")
            return f"{what} {_said(theirs)}, not {_said(own)}"
        return None


def _said(value: Any) -> str:
    if isinstance(value, ProtocolVersion):
        return f"{value.name} version {value.version}"
    if isinstance(value, dict):
        shown = (name if re.fullmatch("[0-9a-f]{64}", str(each)) else f"{name}={each}" for name, each in value.items())
        return ", ".join(shown)[:300] or "nothing"
    return "none" if value is None else str(value)


@dataclass(frozen=True)
class Search:
    """A subject with its runs as they are when nothing is searched, track by track and seed by seed."""

    subject: Subject
    runs: tuple[PlannedRun, ...]
    spaces: Mapping[str, Space]

    def runs_with(self, values: Mapping[str, Value]) -> list[PlannedRun]:
        """The runs with other options. Raises :class:`UsageError` for values that the method refuses together."""
        kind = plugins().method(self.subject.method).method.Options
        return [replace(run, configuration=_with(kind, run, values)) for run in self.runs]

    def runs_on(self, seeds: Sequence[int], values: Mapping[str, Value]) -> list[PlannedRun]:
        """The same on other seeds, in the same order."""
        firsts = [r for r in self.runs_with(values) if r.configuration.seed == self.runs[0].configuration.seed]
        return [
            replace(run, configuration=run.configuration.model_copy(update={"seed": seed}))
            for run in firsts
            for seed in seeds
        ]

    @property
    def preset(self) -> Mapping[str, Value] | None:
        """The searched options as they are when nothing is searched; None where tracks differ in them, or where they
        lie outside their spaces."""
        usual = [{name: run.configuration.options[name] for name in self.spaces} for run in self.runs]
        inside = all(value in self.spaces[name] for name, value in usual[0].items())
        return usual[0] if inside and all(each == usual[0] for each in usual) else None  # type: ignore[return-value]

    @property
    def epochs(self) -> int:
        """Of stage 1, when nothing is searched; 1 for a method without epochs."""
        return max(int(str(run.configuration.options.get("epochs", 1))) for run in self.runs)


def prepare(
    method: str,
    tracks: Sequence[Track],
    protocol: str,
    seeds: int,
    texts: Sequence[str],
    given: Mapping[str, Any],
    *,
    variant: str | None = None,
    sampler: Sampler = "tpe",
    compile: Compile = "auto",
) -> Search:
    """What is to be searched. ``texts``: spaces as on the command line. ``given``: options that are fixed. ``compile``:
    whether trials are compiled, each for itself; the study does not say it.

    Raises :class:`UsageError` for unknown names, options, values and spaces, :class:`DataError` for features that are
    not installed.
    """
    if not tracks:
        raise UsageError("name a track with --track DATASET/FEATURES, such as --track ucf/demo")
    runs = plan([method], list(dict.fromkeys(tracks)), [protocol], range(seeds), given, [variant] if variant else [])
    kind = plugins().method(method).method.Options
    usual = [kind.model_validate(run.configuration.options) for run in runs]
    found = spaces(kind, usual, texts, given)
    c = runs[0].configuration
    subject = Subject(
        method=c.method,
        plugin=c.plugin,
        tracks={str(run.configuration.track): run.configuration.feature_hash for run in runs},
        protocol=c.protocol,
        variant=variant,
        options=dict(given),
        spaces={name: str(space) for name, space in found.items()},
        seeds=seeds,
        sampler=sampler,
    )
    return Search(subject, tuple(replace(run, compile=compile) for run in runs), found)


def _with(kind: type[Options], run: PlannedRun, values: Mapping[str, Value]) -> Any:
    c = run.configuration
    options = kind.effective(c.track, c.protocol.name, {**c.options, **values})
    return c.model_copy(update={"options": options.model_dump(mode="json")})
