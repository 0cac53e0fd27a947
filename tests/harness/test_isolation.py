"""Judge and worker: the bits of a plain run, for every method; and no more in the worker than it may have."""

from __future__ import annotations

import gc
import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner
from simulated_features import simulated_features
from simulated_weighing import Weighs, held
from simulated_worker import forked, isolated

from avbench.harness.cli import cli
from avbench.harness.errors import UsageError
from avbench.harness.evaluation.protocol import ALIGNED, AS_PUBLISHED, Protocol
from avbench.harness.evaluation.two_stages import Result, run_two_stages
from avbench.harness.features.demo_temporal import demo_temporal
from avbench.harness.isolation import sandbox
from avbench.harness.isolation.choice import Isolation
from avbench.harness.isolation.strangers import describe_strangers
from avbench.harness.plugins.registry import Registered, plugins
from avbench.harness.tracks import Track

__all__ = ["forked"]

TINY = {"epochs": 2, "batches_per_epoch": 2, "batch_size": 8, "optimisation_steps": 2}
EXAMPLE = Path(__file__).parents[2] / "examples" / "eszsl" / "src"
BUILT_IN = sorted(slug for slug, r in plugins().methods.items() if r.built_in)


def same_bits(one: Result, other: Result) -> None:
    assert one.metrics == other.metrics
    assert (one.offset, one.branch_offsets, one.epochs) == (other.offset, other.branch_offsets, other.epochs)
    assert (one.validation, one.parameters) == (other.validation, other.parameters)
    assert one.evidence.keys() == other.evidence.keys()
    for name, table in one.evidence.items():
        for array, found in table.to_arrays().items():
            assert np.array_equal(found, other.evidence[name].to_arrays()[array]), (name, array)


def tiny(registered: Registered, protocol: Protocol) -> dict[str, Any]:
    kind = registered.method.Options
    given = {name: value for name, value in TINY.items() if name in kind.model_fields}
    return kind.effective(Track("ucf", "demo"), protocol.name, given).model_dump(mode="json")


@pytest.mark.usefixtures("forked")
@pytest.mark.parametrize("slug", BUILT_IN)
def test_every_method_gives_the_bits_of_a_plain_run(slug: str) -> None:
    registered = plugins().method(slug)
    features = demo_temporal("ucf") if registered.info.inputs == "temporal" else simulated_features()
    protocol = AS_PUBLISHED if "predict_branches" in vars(registered.method) else ALIGNED
    options = tiny(registered, protocol)
    chosen = registered.method.Options(**options)

    def run(make: Any) -> Result:
        return run_two_stages(make, features, protocol, epochs=TINY["epochs"], seed=3)

    plain = run(lambda: registered.method(chosen))
    with isolated(registered, **options) as make:
        same_bits(run(make), plain)


@pytest.mark.usefixtures("forked")
def test_so_does_the_example_package(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(EXAMPLE)
    from avbench_eszsl import ESZSL

    registered, features = Registered(ESZSL, "avbench-eszsl", "0.1.0", "avbench_eszsl"), simulated_features()
    plain = run_two_stages(lambda: ESZSL(ESZSL.Options()), features, ALIGNED, epochs=1, seed=0)
    with isolated(registered) as make:
        same_bits(run_two_stages(make, features, ALIGNED, epochs=1, seed=0), plain)


@pytest.mark.skipif(sys.platform != "linux", reason="memory is weighed by /proc")
def test_judge_and_worker_hold_the_features_and_one_training_copy(tmp_path: Path) -> None:
    """On a track of 100 MB, in processes that hold some 200 MB each before it."""
    gc.collect()
    before = held("self")
    features = simulated_features(clips=64, width=1500)
    size = features.audio.nbytes + features.visual.nbytes
    trained_first = size * features.rows["train"].stop // len(features.class_id)
    with isolated(Registered(Weighs, "tests", "1.0", "simulated_weighing"), path=str(tmp_path / "weights")) as make:
        run_two_stages(make, features, ALIGNED, epochs=1, seed=0)
    lines = [json.loads(line) for line in (tmp_path / "weights").read_text().splitlines()]
    assert [when for when, _, _ in lines] == ["made", "fit", "made", "fit"]
    (_, empty, features_alone), (_, worker, judge) = lines[:2]
    assert size > 9e7
    assert features_alone - before < 1.3 * size
    assert (worker - empty) + (judge - features_alone) < 1.5 * trained_first  # another copy: 2


def test_jobs_observers_and_the_command_line(tmp_path: Path) -> None:
    command = ["run", "--method", "ale", "--dataset", "ucf", "--features", "demo", "--seeds", "2", "--device", "cpu"]
    command += ["--json", "-p", "epochs=1", "-p", "batches_per_epoch=2"]
    found = []
    for name, more in (("plain", ()), ("apart", ("--isolation", "process", "--jobs", "2", "--observe", "tensorboard"))):
        done = CliRunner().invoke(cli, [*command, *more, "--results", str(tmp_path / name)])
        assert done.exit_code == 0, done.output
        found.append(json.loads(done.stdout))
    assert [[r["measured"].get("isolation") for r in records] for records in found] == [[None] * 2, ["process"] * 2]
    assert [r["outcome"] for r in found[0]] == [r["outcome"] for r in found[1]]
    assert list((tmp_path / "apart").rglob("events.out.tfevents*"))


def test_without_bubblewrap_a_sandbox_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    def ask() -> None:
        describe_strangers(Isolation("sandbox", silence=7.0))

    sandbox.unavailable.cache_clear()
    try:
        with monkeypatch.context() as patch:
            patch.setattr(sandbox.shutil, "which", lambda _: None)
            with pytest.raises(UsageError, match="apt install bubblewrap"):
                ask()
            sandbox.unavailable.cache_clear()
            patch.setattr(sandbox.shutil, "which", lambda _: "/bin/false")
            with pytest.raises(UsageError, match="user namespaces must be allowed"):
                ask()
    finally:
        sandbox.unavailable.cache_clear()
