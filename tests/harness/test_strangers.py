"""A package whose code is not even imported by the judge: described by a worker, run by a worker."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import replace
from importlib.metadata import EntryPoint, distribution
from pathlib import Path
from typing import Any

import pytest
from simulated_features import Ridge

from avbench.harness.contract.variants import Variant
from avbench.harness.isolation import sandbox, strangers
from avbench.harness.isolation.choice import Isolation
from avbench.harness.isolation.messages import Described, Facts
from avbench.harness.plugins.registry import Plugins

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

TELLS = """
import sys
from pathlib import Path
if "avbench.harness.isolation.worker" not in sys.orig_argv:
    (Path(__file__).parent / "imported_by_the_judge").touch()
"""
LIAR = """
def avbench_methods():
    describing = "avbench.harness.isolation.description" in sys.modules
    return [] if describing else __import__("importer_mod").avbench_methods()
"""
WAYS_IN = """
def never():
    from importer_mod.neither import nor
"""


def install(place: Path, name: str, code: str) -> None:
    (place / f"{name}_mod.py").write_text(code)
    info = place / f"{name}-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(f"[avbench]\n{name} = {name}_mod\n")
    (info / "RECORD").write_text(f"{name}_mod.py,,\n")
    (info / "top_level.txt").write_text(f"{name}_mod\n")


@pytest.fixture
def avbench(tmp_path: Path) -> Any:
    """The command, where a package is installed that patches the harness when it is imported."""
    install(tmp_path, "importer", PLUGIN)

    def call(*arguments: str, strict: bool = False) -> Any:
        command = [
            *(["--strict-plugins"] if strict else []),
            "run",
            "--method",
            "importer",
            "--dataset",
            "ucf",
            "--features",
            "demo",
            "--json",
            *arguments,
        ]
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


@pytest.mark.skipif(bool(sandbox.unavailable()), reason="no sandbox")
def test_a_sandbox_is_refused_once_packages_were_imported(avbench: Any) -> None:
    said = avbench("--results", "late", "--isolation", "sandbox", strict=True)
    assert "importer: imported beside the answers before" in said


def test_no_package_gets_into_the_judge(avbench: Any, tmp_path: Path) -> None:
    """Not one that denies its methods, none that brings no methods, none whose imports lead through itself."""
    install(tmp_path, "liar", TELLS + LIAR)
    install(tmp_path, "tools", TELLS)
    install(tmp_path, "raises", "raise RuntimeError('\\x1b[2Jgone')")
    (tmp_path / "importer_mod.py").write_text(PLUGIN + TELLS + WAYS_IN)
    call = ("--dry-run", "--results", "none", "--isolation", "process")
    (planned,) = avbench(*call)
    assert planned["state"] == "new"
    assert not (tmp_path / "imported_by_the_judge").exists()
    (tmp_path / "importer_mod.py").write_text(PLUGIN + TELLS + WAYS_IN + "__path__ = []")
    said = avbench(*call)
    assert "makes itself a package" in said
    assert "gone" in said
    assert "\x1b" not in said
    assert not (tmp_path / "imported_by_the_judge").exists()


def test_options_of_impossible_names_leave_out_their_package() -> None:
    facts = Facts(
        info=Ridge.info,
        module="m",
        modules=(),
        options={"__base__": "value"},
        in_epochs=False,
        takes_few_bits=False,
    )
    known, entry_point = Plugins(), EntryPoint("odd", "odd", "avbench")
    told = Described(methods=(facts,), variants=())
    strangers._admit(known, Isolation("process"), distribution("avbench"), entry_point, told)
    assert [broken.entry_point for broken in known.broken] == ["odd"]


def test_variants_that_disagree_leave_out_their_package() -> None:
    """Case: a described package gave other options to a variant of a method that is not its own."""
    known, entry_point = Plugins(), EntryPoint("odd", "odd", "avbench")
    known.variants.append(variant := Variant("importer", "triple", {"factor": 3.0}, "none", "none"))
    facts = Facts(info=Ridge.info, module="m", modules=(), options={}, in_epochs=False, takes_few_bits=False)
    told = Described(methods=(facts,), variants=(replace(variant, options={"factor": 4.0}),))
    strangers._admit(known, Isolation("process"), distribution("avbench"), entry_point, told)
    assert [broken.entry_point for broken in known.broken] == ["odd"]
    assert (known.methods, known.variants) == ({}, [variant])
