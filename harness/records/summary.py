"""A run as one flat row: what listings, tables and downloads are made from."""

from __future__ import annotations

from typing import Any

from avbench.harness.records.record import Metrics, RunRecord, canonical_json

METRICS = tuple(Metrics.model_fields)
VALIDATION = ("val_S", "val_U", "val_HM")
"""Of the chosen epoch of stage 1, with that epoch's best offset."""


def summary(record: RunRecord) -> dict[str, Any]:
    """One flat row for a run: configuration, metrics, validation metrics of the chosen epoch, cost, environment.

    Accuracies in percent; every value is text, a number, a truth value or None.
    """
    c, o = record.configuration, record.outcome
    chosen = o.validation[o.epochs - 1] if o and o.epochs <= len(o.validation) else None
    return {
        "identity": record.identity,
        "method": c.method,
        "dataset": c.dataset,
        "features": c.features,
        "simulated": record.simulated or c.track.simulated,
        "protocol": c.protocol.name,
        "protocol_version": c.protocol.version,
        "seed": c.seed,
        "variant": record.variant,
        "status": "finished" if record.finished else "failed",
        **(o.metrics.model_dump() if o else dict.fromkeys(METRICS)),
        **{name: getattr(chosen, name.removeprefix("val_"), None) for name in VALIDATION},
        "offset": o.offset if o else None,
        "epochs": o.epochs if o else None,
        "parameters": o.parameters if o else None,
        **record.measured.model_dump(),
        **record.environment.model_dump(),
        "distribution": c.plugin.distribution,
        "version": c.plugin.version,
        "source_hash": c.plugin.source_hash,
        "options": canonical_json(c.options),
        "numerics": ", ".join(f"{name}={value}" for name, value in c.numerics.changed.items()),
        "feature_hash": c.feature_hash,
        "features_source": record.features_source,
        "split_fingerprint": c.split_fingerprint,
        "uses_unseen_names": record.capabilities.uses_unseen_names,
        "inputs": record.capabilities.inputs,
        "generative": record.capabilities.generative,
        "warnings": len(record.warnings),
        "failure": f"{record.failure.type}: {record.failure.message}" if record.failure else None,
    }
