"""How the options of a run differ from the presets of its track and protocol."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pydantic import JsonValue

from avbench.harness.errors import UsageError
from avbench.harness.plugins.registry import plugins
from avbench.harness.records.record import RunRecord


def changed_options(record: RunRecord) -> Mapping[str, JsonValue] | None:
    """The options of a run that differ from the presets of the installed method; empty for a run with the presets.

    None where that cannot be said: the method is not installed, or its options are others today.
    """
    return _differences(record, {})


def options_beyond_variant(record: RunRecord) -> Mapping[str, JsonValue] | None:
    """The same, but for the options that the variant sets which the record names. Of an unknown variant it is all."""
    c = record.configuration
    known = plugins().variants_of(c.method)
    found = [v.options_on(c.track, c.protocol.name) for v in known if v.name == record.variant]
    return _differences(record, found[0] if found else {})


def _differences(record: RunRecord, given: Mapping[str, Any]) -> Mapping[str, JsonValue] | None:
    c = record.configuration
    registered = plugins().methods.get(c.method)
    if registered is None:
        return None
    try:
        expected = registered.method.Options.effective(c.track, c.protocol.name, given).model_dump(mode="json")
    except UsageError:
        return None
    if expected.keys() != c.options.keys():
        return None
    return {name: value for name, value in c.options.items() if value != expected[name]}
