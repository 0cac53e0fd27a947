"""Peak memory of a run on stored features is those features, one copy of what a stage trains on, and the model."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from avbench.harness.features.draft import ClipGroup, Draft
from avbench.harness.features.store import Store
from avbench.harness.tracks import Track
from avbench.splits import PARTS, load_split

AUDIO, VISUAL, TEXT = 128, 4096, 300
RUN = """
import resource, sys, torch
from pathlib import Path
from click.testing import CliRunner
from avbench.harness.cli import cli
from avbench.harness.evaluation.peak_memory import peak_memory_bytes

def run(features):
    budget = ["-p", "epochs=2", "-p", "batches_per_epoch=3", "-p", "batch_size=64"]
    words = ["run", "--method", "sje", "--dataset", "ucf", "--device", "cpu", *budget]
    done = CliRunner().invoke(cli, [*words, "--features", features, "--results", sys.argv[1]])
    assert done.exit_code == 0, (done.output, done.exception)

run("demo")  # what a process needs in any case: libraries, threads, allocators
before = int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize()
run("big")
print(peak_memory_bytes(torch.device("cpu")) - before)
"""


def big() -> Draft:
    """Many training clips of wide features, and few evaluated ones: those are handed to a method as a copy."""
    split = load_split("ucf", "main")

    def group(part: str, owner: int, clips: int) -> ClipGroup:
        def read() -> tuple[NDArray[np.float32], NDArray[np.float32]]:
            audio, visual = (np.full((clips, width), 1 + owner, np.float32) for width in (AUDIO, VISUAL))
            return audio, visual

        names = tuple(f"{part}-{owner}-{i}" for i in range(clips))
        return ClipGroup(part, split.classes[owner], names, read)

    clips = dict.fromkeys(PARTS, 4) | {"train": 240}
    groups = tuple(group(part, c.id, clips[part]) for part in PARTS for c in split.classes_of(part))
    vectors = np.eye(len(split.classes), TEXT, dtype=np.float32)
    return Draft(Track("ucf", "big"), split, "tests", AUDIO, VISUAL, vectors, groups, ("made up",))


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="reads the resident memory from /proc")
def test_a_run_holds_its_features_and_one_training_set(tmp_path: Path) -> None:
    draft = big()
    Store(tmp_path / "home" / "features").save(draft)
    features = 4 * (AUDIO + VISUAL) * sum(draft.counts.values())
    done = subprocess.run(
        [sys.executable, "-c", RUN, str(tmp_path / "results")],
        env={**os.environ, "AVBENCH_HOME": str(tmp_path / "home"), "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr
    assert int(done.stdout) < 2.3 * features + 40e6, f"grew by {int(done.stdout):,} bytes; features {features:,}"
