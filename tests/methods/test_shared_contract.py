"""What every registered method must hold, whoever wrote it: the checks that are open to all, and the CUDA graph."""

from __future__ import annotations

import subprocess
import sys

import pytest
import torch
from torch import nn

from avbench.harness.plugins.registry import plugins
from avbench.harness.testing import CHECKS, Check, check_method
from avbench.harness.tracks import DEMO, Track
from avbench.methods.learning.batch import Batch, Dims
from avbench.methods.learning.training import BatchMethod

METHODS = {slug: r.method for slug, r in plugins().methods.items() if r.distribution == "avbench"}


@pytest.mark.parametrize(
    "check", [pytest.param(c, marks=[pytest.mark.cuda] if c.name == "cuda" else [], id=c.name) for c in CHECKS]
)
@pytest.mark.parametrize("slug", METHODS)
def test_a_built_in_method_passes_every_check(slug: str, check: Check) -> None:
    (result,) = check_method(METHODS[slug], only=[check.name]).results
    if result.outcome == "skipped":
        pytest.skip(result.detail)
    assert result.outcome == "passed", "built-in methods expect no failures"


def test_methods_are_listed_without_torch() -> None:
    code = (
        "import sys; from avbench.harness.plugins.registry import plugins; found = plugins(); "
        "assert not found.broken, found.broken; sys.exit('torch' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


@pytest.mark.parametrize("slug", [slug for slug, kind in METHODS.items() if issubclass(kind, BatchMethod)])
def test_a_step_reads_nothing_back_from_the_device(slug: str) -> None:
    """Tensors on ``meta`` have no values: reading one, or mixing in one from another device, raises."""
    kind = METHODS[slug]
    method = kind(kind.Options.effective(Track("ucf", DEMO), "aligned"))
    assert isinstance(method, BatchMethod)
    dims = Dims(audio=20, visual=30, text=300, classes=5, unseen=4 * method.info.uses_unseen_names)
    net = nn.ModuleDict(method.build(dims)).to("meta")
    size = (8, 2) if method.pairs else (8,)
    with torch.device("meta"):
        audio, visual, vectors, classes = (torch.empty(*s) for s in ((*size, 20), (*size, 30), (*size, 300), (5, 300)))
        batch = Batch(audio, visual, torch.empty(size, dtype=torch.int64), vectors, classes)
    method.loss(net, batch).backward()  # type: ignore[no-untyped-call]
    with torch.no_grad():
        method.after_step(net, batch)
