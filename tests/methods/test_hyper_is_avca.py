"""As published, the hyperbolic methods are AVCA bit for bit: the page of known defects says so."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import avbench

TINY = {"epochs": 1, "batches_per_epoch": 5, "batch_size": 32}


def evidence(method: str, results: Path, **options: Any) -> str:
    """Hash of the decisions on every test clip."""
    options = TINY | options
    (record,) = avbench.run(
        method, "ucf/demo", protocols="as-published", options=options, device="cpu", results=results
    )
    assert record.outcome, record.failure
    return record.outcome.evidence


def test_hyper_alignment_as_published_is_avca(tmp_path: Path) -> None:
    base = evidence("avca", tmp_path)
    assert evidence("hyper-alignment", tmp_path) == base
    assert evidence("hyper-alignment", tmp_path, curvature=0.9) == base
    assert evidence("hyper-single", tmp_path, train_head=True) == base
    assert evidence("hyper-alignment", tmp_path, curvature=1e-4) != base  # radius 100: there the loss acts
