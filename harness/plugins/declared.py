"""What installed methods say of themselves, held against records: the part of the gate that needs the plugins."""

from __future__ import annotations

from collections.abc import Iterator
from importlib.metadata import version

from pydantic import ValidationError

from avbench.harness.contract.input_file import UNREAD
from avbench.harness.contract.options import EpochOptions
from avbench.harness.errors import MethodError, UsageError
from avbench.harness.evaluation.protocol import PROTOCOLS
from avbench.harness.plugins.presets import is_of_variant
from avbench.harness.plugins.registry import Registered, plugins
from avbench.harness.plugins.source_hash import source_hash
from avbench.harness.records.finding import Said
from avbench.harness.records.record import Capabilities, Outcome, RunRecord, canonical_json
from avbench.harness.records.verification import COMBINED

OTHER_VERSION = "of another version than the installed one"
"""Mark of a run of an installed method whose options and capabilities cannot be checked here."""
OTHER_CODE = "other code of this version"
"""Mark of a run that states the installed version of a method, but not its code."""


def said_by_methods(record: RunRecord) -> Said:
    """What the installed method of its name says of a record; nothing of one of a package that is not installed.

    Options and capabilities are held against a method of the same version. Commands hand this to the gate.
    """
    c = record.configuration
    registered = plugins().methods.get(c.method)
    if registered is None:
        if c.plugin.distribution != "avbench":
            return Said()
        if c.plugin.version != version("avbench"):
            return Said(marks=(OTHER_VERSION,))
        return Said((f"avbench {c.plugin.version} has no method {c.method!r}",))
    if registered.loose:
        return Said()
    if c.plugin.distribution != registered.distribution:
        return Said(
            (f"{c.method!r} is a method of {registered.distribution}, the record says {c.plugin.distribution}",)
        )
    against = [*_version(record)]
    if c.plugin.version != registered.version:
        return Said(tuple(against), (OTHER_VERSION,))
    against += [*_capabilities(record, registered), *_options(record, registered)]
    if record.outcome is not None and not against:
        against += [*_training(record, record.outcome, registered), *_branches(record, record.outcome, registered)]
    return Said(tuple(against), () if _has_code(registered, c.plugin.source_hash) else (OTHER_CODE,))


def capabilities_of(registered: Registered, inputs: str | None = None) -> Capabilities:
    """What the board must say beside a method's name. ``inputs``: the kind of features of a track, where one is run."""
    info = registered.info
    return Capabilities(
        inputs=info.inputs if inputs is None else inputs,
        uses_unseen_names=info.uses_unseen_names,
        generative=info.generative,
        calibrated_stacking=info.calibrated_stacking,
    )


def _version(record: RunRecord) -> Iterator[str]:
    """avbench's own methods have the version of the avbench that ran them."""
    plugin, ran = record.configuration.plugin, record.environment.avbench
    if plugin.distribution == "avbench" and ran not in (plugin.version, "unknown"):
        yield f"{record.configuration.method} is of avbench {plugin.version}, but avbench {ran} ran it"


def _has_code(registered: Registered, stated: str) -> bool:
    try:
        return source_hash(registered) == stated
    except MethodError:  # what is installed cannot be identified
        return False


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
    if lacking := sorted(n for n, field in kind.model_fields.items() if not field.exclude and n not in c.options):
        yield f"the record lacks options of {c.method}: {', '.join(lacking[:5])}"
        return
    try:
        options = kind.model_validate(c.options, context={UNREAD: True})
    except ValidationError as error:
        first = error.errors()[0]
        yield f"option {'.'.join(map(str, first['loc'])) or '?'} of {c.method}: {first['msg']}"
        return
    if registered.built_in and canonical_json(options.model_dump(mode="json")) != canonical_json(c.options):
        yield f"the options of {c.method} are not written as it writes them"
    if record.variant is not None:
        yield from _variant(record.variant, record, registered)


def _variant(name: str, record: RunRecord, registered: Registered) -> Iterator[str]:
    c = record.configuration
    known = [v for v in plugins().variants_of(c.method) if v.name == name]
    if not known:
        yield f"{c.method} has no variant {name!r}"
        return
    try:
        if not is_of_variant(known[0], registered, c):
            yield f"no option is as variant {name} of {c.method} sets it"
    except UsageError as error:
        yield f"variant {name} of {c.method}: {error}"


def _training(record: RunRecord, outcome: Outcome, registered: Registered) -> Iterator[str]:
    """Whether the validation history is as long as the method trains. Only avbench's own are known to use it up."""
    method, told = record.configuration.method, len(outcome.validation)
    if not issubclass(registered.method.Options, EpochOptions):
        if told > 1:
            yield f"{method} has no epochs, the record tells of {told}"
    elif registered.built_in:
        if told != (epochs := record.configuration.options["epochs"]):
            yield f"{method} trains {epochs} epochs with these options, the record tells of {told}"
        if not outcome.parameters:
            yield f"{method} trains, but the record tells of no parameters"


def _branches(record: RunRecord, outcome: Outcome, registered: Registered) -> Iterator[str]:
    """Whether offsets were averaged over the branches that the method has."""
    c = record.configuration
    protocol = PROTOCOLS.get(c.protocol.name)
    if protocol is None or not protocol.averaged_offset:
        return  # that there are none is checked without the methods
    stated, branches = set(outcome.branch_offsets) - {COMBINED}, set(registered.info.branches)
    if stated - branches or (registered.built_in and stated != branches):
        yield f"{c.method} has the branches {_listed(branches)}, the record tells of {_listed(stated)}"


def _listed(names: set[str]) -> str:
    return ", ".join(sorted(names)) or "none"
