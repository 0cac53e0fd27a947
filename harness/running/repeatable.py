"""Whether a run can be repeated here: the very code and the very features that its record names must be there."""

from __future__ import annotations

import re
from collections.abc import Sequence

from avbench.harness.contract.options import Options
from avbench.harness.errors import AvbenchError, DataError, MethodError, UsageError
from avbench.harness.plugins.registry import LOOSE, Registered, plugins
from avbench.harness.plugins.source_hash import code_of, source_hash
from avbench.harness.plugins.sources import feature_manifest
from avbench.harness.printable import printable
from avbench.harness.records.planned import PlannedRun
from avbench.harness.records.record import RunRecord

_NO_VERSION = re.compile(r"[^A-Za-z0-9.+!_-]")
FEW = 5
"""Parts of the code that are named."""


def repetition_of(record: RunRecord) -> PlannedRun:
    """The run of a record, to be done again.

    Raises :class:`MethodError` where its code is not installed and says how to install it, :class:`DataError` where
    its features are not, :class:`UsageError` for options that the method does not take.
    """
    _require_code(record)
    _require_features(record)
    return PlannedRun(
        record.configuration,
        variant=record.variant,
        simulated=record.simulated,
        warnings=tuple(record.warnings),
        features_source=record.features_source,
        inputs=record.capabilities.inputs,
        encoders_met=record.encoders_met,
        compile="on" if record.measured.compiled else "off",
        tuned=record.tuned,
    )


def repetitions_of(records: Sequence[RunRecord]) -> list[PlannedRun]:
    """Those of many runs. What stands against any of them is told at once, before anything runs."""
    found, refused = [], dict[str, AvbenchError]()
    for record in records:
        try:
            found.append(repetition_of(record))
        except AvbenchError as error:
            refused.setdefault(str(error), error)
    if refused:
        first = next(iter(refused.values()))
        raise type(first)("\n  ".join(["these runs cannot be repeated here:", *refused]))
    return found


def how_to_install(record: RunRecord) -> str:
    """Where the code of a run comes from, as a command where there is one."""
    plugin, commit = record.configuration.plugin, record.environment.git_commit
    if plugin.distribution == LOOSE:
        return "its class came from a notebook or a script: ask its author for a package (avbench methods new)"
    version = _NO_VERSION.sub("?", plugin.version[:60])  # a command that is copied does nothing else
    words = f"pip install '{plugin.distribution}=={version}'"
    if plugin.distribution == "avbench" and commit is not None:
        words += f", or the checkout of commit {printable(commit, 40)}"
    where = record.about.where if record.about else ""
    return words + (f" ({printable(where)})" if where else "")


def _require_code(record: RunRecord) -> None:
    c = record.configuration
    registered = plugins().methods.get(c.method)
    if registered is None or registered.distribution != c.plugin.distribution:
        raise MethodError(f"method {c.method} of {c.plugin.distribution} is not installed: {how_to_install(record)}")
    if source_hash(registered) != c.plugin.source_hash:
        raise MethodError(
            f"method {c.method}: the installed {registered.distribution} {registered.version} has other code than the "
            f"record's {printable(c.plugin.version, 60)}{_parts(record, registered)}: {how_to_install(record)}"
        )
    kind: type[Options] = registered.method.Options
    try:
        kind.model_validate(c.options)
    except ValueError as error:
        raise UsageError(f"method {c.method}: its options are refused: {printable(str(error), 500)}") from None


def _parts(record: RunRecord, registered: Registered) -> str:
    """Which parts of the code differ, where the record names its parts."""
    here = code_of(registered)
    differing = sorted(p for p in here.keys() | record.code.keys() if here.get(p) != record.code.get(p))
    if not record.code:
        return ""
    more = ", ..." if len(differing) > FEW else ""
    return f", in {', '.join(printable(part, 80) for part in differing[:FEW])}{more}"


def _require_features(record: RunRecord) -> None:
    c = record.configuration
    manifest = feature_manifest(c.track)
    if manifest.content_hash != c.feature_hash:
        source = f" Theirs are from: {printable(record.features_source)}." if record.features_source else ""
        raise DataError(
            f"{c.track}: the features here have the content hash {manifest.content_hash[:12]}, those of the record "
            f"{c.feature_hash[:12]}; another content gives other results.{source}"
        )
