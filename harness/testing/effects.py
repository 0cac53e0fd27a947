"""The check that every option does something. Imports torch."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Literal, get_args, get_origin

from avbench.harness.testing.check import CheckFailedError
from avbench.harness.testing.comparison import gap, same_state, situation
from avbench.harness.testing.subject import Fit, Subject

VISIBLE = 1e-3
"""Change of the scores, relative to the largest one, from which an option that acts on them alone counts."""


def options_effective(subject: Subject) -> None:
    """Every choice of a Literal, and some other number, changes the fitted state.

    An option that declares that it does not must change the scores, with the options that it names.
    """
    faults = [fault for name in subject.kind.Options.model_fields for fault in _faults(subject, name)]
    if faults:
        raise CheckFailedError("; ".join(faults))


def _faults(subject: Subject, name: str) -> Iterator[str]:
    field = subject.kind.Options.model_fields[name]
    declared: Any = field.json_schema_extra if isinstance(field.json_schema_extra, dict) else {}
    given = declared.get("effect_with", {})
    what = "scores" if "no_effect" in declared else "fitted state"
    others = list(_others(subject, name, given))
    if not others:
        yield f"option {name}: no other valid value is known; give some as Field(examples=[...])"
        return
    usual = subject.fit(options=given)
    without: list[Any] = []
    for value in others:
        with situation(f"option {name}={value!r}"):
            other = subject.new_fit(options={**given, name: value})
            changed = _changes_scores(usual, other) if what == "scores" else not same_state(usual.state, other.state)
        every = get_origin(field.annotation) is Literal
        if changed and not every:
            return
        if not changed:
            without.append(value)
    if without:
        values = ", ".join(map(repr, without))
        yield f"option {name}: {values} gives the same {what} as {getattr(subject.options(given), name)!r}"


def _changes_scores(one: Fit, other: Fit) -> bool:
    return gap(one.own_answers, other.own_answers) > VISIBLE


def _others(subject: Subject, name: str, given: Mapping[str, Any]) -> Iterator[Any]:
    """Other valid values of an option: first the examples that it gives."""
    field, value = subject.kind.Options.model_fields[name], getattr(subject.options(given), name)
    if isinstance(value, bool):
        values: list[Any] = [not value]
    elif isinstance(value, int):
        values = [value // 2, 2 * value, value + 1]
    elif isinstance(value, float):
        values = [2 * value, value / 2, value + 0.1, value / 100, 100 * value]
    else:
        kinds = (field.annotation, *get_args(field.annotation))
        values = [choice for kind in kinds if get_origin(kind) is Literal for choice in get_args(kind)]
    for other in (*(field.examples or []), *values):
        if other != value and subject.valid({**subject.small, **given, name: other}):
            yield other
