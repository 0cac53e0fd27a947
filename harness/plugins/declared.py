"""What installed methods say of themselves, held against records: the part of the gate that needs the plugins."""

from __future__ import annotations

from collections.abc import Iterator
from importlib.metadata import version

from pydantic import ValidationError

from avbench.harness.contract.input_file import UNREAD
from avbench.harness.contract.options import EpochOptions
from avbench.harness.plugins.registry import Registered, plugins
from avbench.harness.records.record import Capabilities, RunRecord


def contradictions(record: RunRecord) -> list[str]:
    """What a record says otherwise than the installed method of its name; nothing for one of a package that is not.

    Options and capabilities are held against a method of the same version. Every function of the gate takes this one.
    """
    c = record.configuration
    registered = plugins().methods.get(c.method)
    if registered is None:
        ours = c.plugin.distribution == "avbench" and c.plugin.version == version("avbench")
        return [f"avbench {c.plugin.version} has no method {c.method!r}"] if ours else []
    if registered.loose:
        return []
    if c.plugin.distribution != registered.distribution:
        return [f"{c.method!r} is a method of {registered.distribution}, the record says {c.plugin.distribution}"]
    if c.plugin.version != registered.version:
        return []
    return [*_capabilities(record, registered), *_options(record, registered)]


def capabilities_of(registered: Registered, inputs: str | None = None) -> Capabilities:
    """What the board must say beside a method's name. ``inputs``: the kind of features of a track, where one is run."""
    info = registered.info
    return Capabilities(
        inputs=info.inputs if inputs is None else inputs,
        uses_unseen_names=info.uses_unseen_names,
        generative=info.generative,
        calibrated_stacking=info.calibrated_stacking,
    )


def _capabilities(record: RunRecord, registered: Registered) -> Iterator[str]:
    stated = record.capabilities.model_dump()
    read = stated["inputs"] if registered.info.reads(stated["inputs"]) else registered.info.inputs
    for name, value in capabilities_of(registered, read).model_dump().items():
        if stated[name] != value:
            yield f"{name} is {value} for {record.configuration.method}, the record says {stated[name]}"


def _options(record: RunRecord, registered: Registered) -> Iterator[str]:
    c, kind = record.configuration, registered.method.Options
    if strangers := sorted(set(c.options) - set(kind.model_fields)):
        yield f"{c.method} has no option {', '.join(strangers[:5])}"
        return
    try:
        kind.model_validate(c.options, context={UNREAD: True})
    except ValidationError as error:
        first = error.errors()[0]
        yield f"option {'.'.join(map(str, first['loc'])) or '?'} of {c.method}: {first['msg']}"
        return
    if record.outcome is not None and not issubclass(kind, EpochOptions) and len(record.outcome.validation) > 1:
        yield f"{c.method} has no epochs, the record tells of {len(record.outcome.validation)}"
