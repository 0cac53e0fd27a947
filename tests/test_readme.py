"""What the README shows is what works."""

from __future__ import annotations

import re
import shlex
from pathlib import Path
from typing import Any

import click
import pytest
from guide_blocks import blocks

from avbench.harness.cli import cli
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
    script = (ROOT / ".ci" / "run").read_text("utf-8")
    assert install in script
    assert f"\n{test}\n" in script


@pytest.mark.parametrize("arguments", commands(), ids=" ".join)
def test_every_command_is_there_with_its_options(arguments: list[str]) -> None:
    """Each word that is no value resolves: groups, commands, long and short options."""
    command: click.Command = cli
    context = click.Context(cli)
    while isinstance(command, click.Group) and arguments and not arguments[0].startswith("-"):
        found = command.get_command(context, arguments[0])
        assert found is not None, arguments[0]
        command, arguments = found, arguments[1:]
    known = {o for p in command.params if isinstance(p, click.Option) for o in p.opts} | {"--help"}
    assert {word for word in arguments if re.fullmatch(r"--?[a-z][a-z-]*", word)} <= known


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
