"""A package whose code is not even imported by the judge: described by a worker, run by a worker."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from avbench.harness.isolation import sandbox

PLUGIN = """
import numpy as np
from pydantic import Field
from avbench import EpochOptions, Method, MethodInfo, Preset, Variant, hookimpl
from avbench.harness.evaluation import evidence

class Options(EpochOptions):
    epochs: int = Field(1, ge=1, description="None are needed.")
    factor: float = Field(1.0, gt=0, le=9, description="Of the scores.")
    presets = (Preset({"factor": 2.0}, dataset="ucf"),)

class Cheat(Method):
    info = MethodInfo(slug="importer", title="I", year=2026, summary="s", citation="c", uses_unseen_names=True)
    Options = Options
    def fit(self, train, progress):
        self.many = len(train.unseen)
    def predict(self, clips, classes):
        import torch
        return self.options.factor * (torch.zeros(len(clips), len(classes)) - torch.arange(len(classes)) % 7)
    def state(self): return {}
    def load_state(self, state): ...

def patched(scores, hidden, true=evidence._best_on_host):
    import sys
    frame = sys._getframe(1)
    ids, labels = frame.f_locals["ids"], frame.f_locals["truth"]
    import torch
    return true(torch.from_numpy(ids[None] == labels[:, None]).float(), hidden)

evidence._best_on_host = patched  # while it is imported

@hookimpl
def avbench_methods(): return [Cheat]
@hookimpl
def avbench_variants(): return [Variant("importer", "triple", {"factor": 3.0}, "none", "none")]
"""


@pytest.fixture
def avbench(tmp_path: Path) -> Any:
    """The command, where a package is installed that patches the harness when it is imported."""
    (tmp_path / "importer_mod.py").write_text(PLUGIN)
    info = tmp_path / "importer-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: importer\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[avbench]\nimporter = importer_mod\n")
    (info / "RECORD").write_text("importer_mod.py,,\n")
    (info / "top_level.txt").write_text("importer_mod\n")

    def call(*arguments: str) -> Any:
        command = ["run", "--method", "importer", "--dataset", "ucf", "--features", "demo", "--json", *arguments]
        code = "import sys; from avbench.harness.cli import main; sys.argv[0] = 'avbench'; main()"
        done = subprocess.run(
            [sys.executable, "-c", code, *command, "--device", "cpu"],
            env={"PYTHONPATH": str(tmp_path), "PATH": "/usr/bin:/bin", "HOME": str(tmp_path), "OMP_NUM_THREADS": "1"},
            capture_output=True,
            text=True,
            timeout=300,
            check=False,
            cwd=tmp_path,
        )
        return json.loads(done.stdout) if done.returncode == 0 else done.stderr

    return call


def test_importing_a_package_does_nothing_to_the_judge(avbench: Any) -> None:
    (plain,) = avbench("--results", "plain")
    assert plain["outcome"]["metrics"]["HM"] == 100  # the cheat works beside the answers
    kind = "process" if sandbox.unavailable() else "sandbox"
    apart = avbench("--results", "apart", "--isolation", kind, "--seeds", "2", "--jobs", "2")
    assert isinstance(apart, list), apart
    assert [record["outcome"]["metrics"]["HM"] < 15 for record in apart] == [True, True]
    assert apart[0]["identity"] == plain["identity"]  # the same code and options, as described
    assert apart[0]["code"] == plain["code"]
    assert apart[0]["capabilities"] == plain["capabilities"]
    (variant,) = avbench("--dry-run", "--results", "none", "--isolation", kind, "--variant", "triple")
    assert variant["state"] == "new"
    assert "factor" in avbench("--isolation", kind, "-p", "factor=10")  # a bound of the package's own
    assert "Did you mean 'factor'" in avbench("--isolation", kind, "-p", "facto=1")
