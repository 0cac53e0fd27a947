"""As published, the hyperbolic methods are AVCA bit for bit: the page of known defects says so."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import avbench
from avbench.harness.records.record import RunRecord

TINY = {"epochs": 1, "batches_per_epoch": 5, "batch_size": 32}


def ran(method: str, results: Path, **options: Any) -> RunRecord:
    (record,) = avbench.run(
        method, "ucf/demo", protocols="as-published", options=TINY | options, device="cpu", results=results
    )
    return record


def test_hyper_alignment_as_published_is_avca(tmp_path: Path) -> None:
    base = ran("avca", tmp_path).metrics
    assert ran("hyper-alignment", tmp_path).metrics == base
    assert ran("hyper-alignment", tmp_path, curvature=0.9).metrics == base
    assert ran("hyper-single", tmp_path, train_head=True).metrics == base
    assert ran("hyper-alignment", tmp_path, curvature=1e-4).metrics != base  # the radius is 100: the loss acts
