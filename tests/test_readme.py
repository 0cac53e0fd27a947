"""What the README shows is what works."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import Any

import pytest
from command_words import unknown_words
from guide_blocks import blocks

from avbench.harness.contract.method import Method
from avbench.harness.testing.simulated import SimulatedProgress, fitted, simulated_training

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text("utf-8")


def commands() -> list[list[str]]:
    """Every avbench command of the README's shell blocks, as arguments."""
    lines = [part for block in blocks(README, "sh") for line in block.text.splitlines() for part in line.split("&&")]
    return [shlex.split(line, comments=True)[1:] for line in map(str.strip, lines) if line.startswith("avbench ")]


def test_continuous_integration_runs_the_test_command() -> None:
    (test_command,) = (line for block in blocks(README, "sh") for line in block.text.splitlines() if "pytest" in line)
    _, _, install, test = (part.strip() for part in test_command.split("&&"))
    assert install in (ROOT / ".ci" / "install").read_text("utf-8")
    assert f"\n{test}\n" in (ROOT / ".ci" / "tests").read_text("utf-8")


@pytest.mark.parametrize("arguments", commands(), ids=" ".join)
def test_every_command_is_there_with_its_options(arguments: list[str]) -> None:
    assert not unknown_words(arguments)


def test_the_method_of_the_readme_works() -> None:
    (code,) = (block.text for block in blocks(README, "python") if "class MyMethod" in block.text)
    namespace: dict[str, Any] = {}
    exec(compile(code, "README.md", "exec"), namespace)
    (kind,) = namespace["avbench_methods"]()
    assert issubclass(kind, Method)
    train = simulated_training(classes=5, clips_per_class=12)
    options = kind.Options(epochs=2, batches_per_epoch=30, batch_size=16)
    method = fitted(kind(options), train, SimulatedProgress(epochs=2))
    predicted = method.predict(train.clips, train.classes).argmax(1)
    assert (predicted == train.labels).float().mean() > 0.5
