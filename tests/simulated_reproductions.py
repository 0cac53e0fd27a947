"""Verdicts on simulated runs, as ``avbench results reproduce`` would file them."""

from __future__ import annotations

from typing import Any

from simulated_results import sha256

from avbench.harness.records.record import Environment, IsolationKind, RunRecord
from avbench.harness.records.reproduction import Noise, Points, Reproduction

WHERE = Environment(avbench="0.1.0", python="3.11.9", torch="2.13.0", platform="Linux", device="cpu", threads=2)
NOISE = Noise(test="seeds", n=5, expected=30.0, scale=1.0, statistic=0.4, bound=4.6, level=0.99)


def reproduction(record: RunRecord, isolation: IsolationKind = "sandbox", **changes: Any) -> Reproduction:
    """The same bits, by the maintainer."""
    assert record.outcome is not None
    told = {
        "run": record.identity,
        "record": record.digest,
        "evidence": record.outcome.evidence,
        "verdict": "same bits",
        "isolation": isolation,
        "by": "maintainer",
        "when": "2024-06-01T12:00:00+00:00",
        "environment": WHERE,
        "repeated_evidence": record.outcome.evidence,
        "metrics": record.outcome.metrics,
        "difference": Points(S=0, U=0, HM=0, ZSL=0, AUSUC=0),
    }
    return Reproduction.model_validate(told | changes)


def differing(record: RunRecord, hm: float, isolation: IsolationKind = "sandbox", **changes: Any) -> Reproduction:
    """Another HM, by so many points: noise up to 4.6."""
    assert record.outcome is not None
    metrics = record.outcome.metrics.model_copy(update={"HM": record.outcome.metrics.HM + hm})
    noise = NOISE.model_copy(update={"statistic": hm})
    told = {
        "verdict": "within noise" if noise.holds else "not reproduced",
        "repeated_evidence": sha256(f"again {record.identity} {hm}"),
        "metrics": metrics,
        "difference": Points.between(record.outcome.metrics, metrics),
        "noise": noise,
    }
    return reproduction(record, isolation, **(told | changes))


def failing(record: RunRecord, isolation: IsolationKind = "sandbox") -> Reproduction:
    """A repetition that failed."""
    nothing = dict.fromkeys(("repeated_evidence", "metrics", "difference"))
    return reproduction(record, isolation, verdict="not reproduced", failure="OSError: no file", **nothing)
