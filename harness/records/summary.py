"""A run as one flat row: what listings, tables and downloads are made from."""

from __future__ import annotations

from typing import Any

from avbench.harness.records.record import Metrics, RunRecord

METRICS = tuple(Metrics.model_fields)


def summary(record: RunRecord) -> dict[str, Any]:
    """One flat row for a run."""
    c = record.configuration
    metrics = record.outcome.metrics.model_dump() if record.outcome else dict.fromkeys(METRICS)
    return {
        "identity": record.identity,
        "method": c.method,
        "dataset": c.dataset,
        "features": c.features,
        "simulated": record.simulated,
        "protocol": c.protocol.name,
        "protocol_version": c.protocol.version,
        "seed": c.seed,
        "variant": record.variant,
        "status": "finished" if record.finished else "failed",
        **metrics,
        "offset": record.outcome.offset if record.outcome else None,
        "epochs": record.outcome.epochs if record.outcome else None,
        "parameters": record.outcome.parameters if record.outcome else None,
        "seconds": record.measured.seconds,
        "device": record.environment.device,
        "distribution": c.plugin.distribution,
        "version": c.plugin.version,
        "failure": f"{record.failure.type}: {record.failure.message}" if record.failure else None,
    }
