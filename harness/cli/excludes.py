"""Runs that a plan leaves out: the tables ``[[exclude]]`` of a file."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from avbench.harness.errors import UsageError, unknown

if TYPE_CHECKING:
    from avbench.harness.records.planned import PlannedRun

FIELDS = ("method", "dataset", "features", "track", "protocol", "seed", "variant")
OPTIONS = "options"


@dataclass(frozen=True)
class Exclude:
    """Leaves out the runs that have one of the values in every field that it names."""

    where: str
    """Place in the file, for messages."""
    fields: Mapping[str, Sequence[Any]]
    options: Mapping[str, Sequence[Any]]

    def means(self, run: PlannedRun) -> bool:
        """Whether it leaves a run out."""
        own, options = values_of(run), run.configuration.options
        return all(own[name] in values for name, values in self.fields.items()) and all(
            name in options and options[name] in values for name, values in self.options.items()
        )


def read_excludes(tables: Any, where: str) -> list[Exclude]:
    """What a file gives as ``exclude``. Raises :class:`UsageError` for another form or an unknown field."""
    if not isinstance(tables, list) or not all(isinstance(table, dict) for table in tables):
        raise UsageError(f"{where}: exclude is {tables!r:.80}; write tables: [[exclude]] and below each, FIELD = VALUE")
    found = []
    for number, table in enumerate(tables, start=1):
        place, fields = f"{where}: exclude {number}", dict(table)
        options = fields.pop(OPTIONS, {})
        for name in fields:
            if name not in FIELDS:
                raise unknown(f"field of {place}", name, [*FIELDS, OPTIONS])
        if not isinstance(options, dict) or not (fields or options):
            raise UsageError(f"{place}: name fields ({', '.join(FIELDS)}) or a table {OPTIONS}")
        found.append(Exclude(place, _listed(fields), _listed(options)))
    return found


def kept(runs: Sequence[PlannedRun], excludes: Sequence[Exclude]) -> tuple[list[PlannedRun], list[str]]:
    """The runs that stay, and what is to be said of the others.

    Raises :class:`UsageError` for a value that no run of the plan has, with a suggestion, and where none stays.
    """
    for exclude in excludes:
        for name, values in exclude.fields.items():
            known = {values_of(run)[name] for run in runs}
            for value in values:
                if value not in known:
                    texts = [_text(each) for each in known if each is not None]
                    raise unknown(f"value of {name} in {exclude.where}", _text(value), texts)
        for name in exclude.options:
            if not any(name in run.configuration.options for run in runs):
                raise unknown(
                    f"option in {exclude.where}", name, {option for run in runs for option in run.configuration.options}
                )
    left = [run for run in runs if not any(exclude.means(run) for exclude in excludes)]
    if runs and not left:
        raise UsageError(f"{excludes[0].where}: nothing of the plan is left")
    said = [f"Left out by the file: {len(runs) - len(left)} of {len(runs)} runs."] if excludes else []
    return left, said


def values_of(run: PlannedRun) -> dict[str, Any]:
    """What a field of an exclude is compared with."""
    c = run.configuration
    own = (c.method, c.dataset, c.features, str(c.track), c.protocol.name, c.seed, run.variant)
    return dict(zip(FIELDS, own, strict=True))


def _listed(table: Mapping[str, Any]) -> dict[str, list[Any]]:
    return {name: value if isinstance(value, list) else [value] for name, value in table.items()}


def _text(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, default=str)
