"""How the options of a run differ from the presets of its track and protocol."""

from __future__ import annotations

from collections.abc import Mapping

from pydantic import JsonValue

from avbench.harness.errors import UsageError
from avbench.harness.plugins import plugins
from avbench.harness.records import RunRecord


def changed_options(record: RunRecord) -> Mapping[str, JsonValue] | None:
    """The options of a run that differ from the presets of the installed method; empty for a run with the presets.

    None where that cannot be said: the method is not installed, or its options are others today.
    """
    c = record.configuration
    registered = plugins().methods.get(c.method)
    if registered is None:
        return None
    try:
        preset = registered.method.Options.effective(c.track, c.protocol.name).model_dump(mode="json")
    except UsageError:
        return None
    if preset.keys() != c.options.keys():
        return None
    return {name: value for name, value in c.options.items() if value != preset[name]}
