"""How the options of a run differ from the presets of its track and protocol."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from typing import Any

from pydantic import JsonValue

from avbench.harness.contract.variants import Variant
from avbench.harness.errors import UsageError
from avbench.harness.plugins.about import options_told
from avbench.harness.plugins.registry import Registered, plugins
from avbench.harness.records.record import Configuration, RunRecord, canonical_json

Overrides = Callable[[RunRecord], Mapping[str, JsonValue] | None]
"""The options of a run that differ from the presets of its track and protocol, but for those that the variant sets
which the record names; None where the presets are unknown."""


def changed_options(record: RunRecord) -> Mapping[str, JsonValue] | None:
    """The options of a run that differ from the presets of the installed method; empty for a run with the presets.

    Of a method that is not installed, or has other options today, from the presets that the record tells; None where
    it tells none.
    """
    return _differences(record, {}, with_variant=False)


def options_beyond_variant(record: RunRecord) -> Mapping[str, JsonValue] | None:
    """The same, but for the options that the variant sets which the record names. Of an unknown variant it is all."""
    c = record.configuration
    known = plugins().variants_of(c.method)
    found = [v.options_on(c.track, c.protocol.name) for v in known if v.name == record.variant]
    return _differences(record, found[0] if found else {}, with_variant=True)


def is_of_variant(variant: Variant, registered: Registered, c: Configuration) -> bool:
    """Whether anything in a configuration comes from a variant; what else differs is told beside its name.

    Raises :class:`UsageError` where the method refuses what the variant sets.
    """
    kind, given = registered.method.Options, variant.options_on(c.track, c.protocol.name)
    plain, sets = (kind.effective(c.track, c.protocol.name, o).model_dump(mode="json") for o in ({}, given))
    differs = [name for name in given if sets[name] != plain[name]]
    return not differs or any(c.options.get(name) == sets[name] for name in differs)


def changes_in_words(record: RunRecord, overrides: Overrides = options_beyond_variant) -> str:
    """``name=value`` text of what :func:`options_beyond_variant` finds: empty for the presets and for what the named
    variant sets; a hash of all options where the presets are unknown."""
    changed = overrides(record)
    if changed is None:
        options = canonical_json(record.configuration.options)
        return f"options {hashlib.sha256(options.encode()).hexdigest()[:8]}"
    return ", ".join(f"{name}={canonical_json(value)}" for name, value in sorted(changed.items()))


def _differences(record: RunRecord, given: Mapping[str, Any], *, with_variant: bool) -> Mapping[str, JsonValue] | None:
    c = record.configuration
    expected = _installed(record, given)
    if expected is None and record.about is not None:
        expected = options_told(record.about, c, with_variant=with_variant)
    if expected is None or expected.keys() != c.options.keys():
        return None
    return {name: value for name, value in c.options.items() if value != expected[name]}


def _installed(record: RunRecord, given: Mapping[str, Any]) -> dict[str, Any] | None:
    """What the installed method has; None where it is not installed, or its options are others today."""
    c = record.configuration
    registered = plugins().methods.get(c.method)
    if registered is None or registered.distribution != c.plugin.distribution:
        return None
    try:
        expected = registered.method.Options.effective(c.track, c.protocol.name, given).model_dump(mode="json")
    except UsageError:
        return None
    return expected if expected.keys() == c.options.keys() else None
