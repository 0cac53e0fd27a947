"""Compiled steps: the mechanism, what a record says of it, the way back, and how a run is repeated. On a CPU, mostly
with a backend that traces and writes no kernels."""

from __future__ import annotations

import functools
import json
import shutil
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from click.testing import CliRunner
from simulated_features import simulated_features
from torch import Tensor, nn
from torch._dynamo.testing import CompileCounter

import avbench
from avbench.harness.cli import cli
from avbench.harness.errors import MethodError, UsageError
from avbench.harness.evaluation.compiler import Compiler, tell_uncompiled
from avbench.harness.isolation.choice import Isolation
from avbench.harness.records.planned import PlannedRun
from avbench.harness.records.record import Compile, RunRecord
from avbench.harness.records.results import ResultsFolder
from avbench.harness.running import compiling as choice
from avbench.harness.running import runs
from avbench.harness.running.compiling import compiler_of
from avbench.harness.running.jobs import execute_all
from avbench.harness.running.repeatable import repetition_of
from avbench.harness.running.room import out_of_memory
from avbench.harness.running.runs import execute, plan
from avbench.harness.tracks import Track
from avbench.harness.tuning.bench import Bench
from avbench.harness.tuning.search import prepare
from avbench.methods.learning.batch import Batch
from avbench.methods.sje import SJE

CPU, CUDA = torch.device("cpu"), torch.device("cuda")
SMALL = {"epochs": 2, "batches_per_epoch": 3, "batch_size": 8}


@pytest.fixture(autouse=True)
def told_anew() -> None:
    tell_uncompiled.cache_clear()


@pytest.fixture
def planned(monkeypatch: pytest.MonkeyPatch) -> Callable[..., list[PlannedRun]]:
    features = simulated_features()
    monkeypatch.setattr(runs, "planned_features", lambda _track, _hash: features)
    monkeypatch.setattr("avbench.harness.tuning.bench.planned_features", lambda _track, _hash: features)
    monkeypatch.setattr(runs, "feature_manifest", lambda _track: features.manifest)

    def make(compile: Compile, seeds: int = 1, slug: str = "sje", **given: Any) -> list[PlannedRun]:
        found = plan([slug], [features.track], ["aligned"], range(seeds), SMALL | given)
        return [replace(run, compile=compile) for run in found]

    return make


@pytest.fixture
def traced(monkeypatch: pytest.MonkeyPatch) -> None:
    """Functions are traced as for a compiler, and no kernels are written, which takes long."""
    monkeypatch.setattr(choice, "Compiler", functools.partial(Compiler, "eager"))


@pytest.fixture
def no_compiler(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[str]]:
    """A machine where torch.compile finds nothing to write kernels with; which backends were asked for."""
    asked: list[str] = []

    def refuse(_function: Any, **given: Any) -> Callable[..., Tensor]:
        def call(*_: Any) -> Tensor:
            asked.append(given["backend"])
            raise RuntimeError("Cannot find a working triton installation\nmore\nlines")

        return call

    monkeypatch.setattr(torch, "compile", refuse)
    yield asked
    assert asked, "nobody tried to compile"


def test_more_functions_than_torch_keeps_of_one_code_are_compiled() -> None:
    """torch gives up on a code from the ninth form on, and each stack of seeds is such a form."""
    with torch._dynamo.config.patch(recompile_limit=2):
        for number in range(4):
            compiler = Compiler("eager")
            times = compiler(torch.func.vmap(lambda x, number=number: x * number))
            assert times(torch.ones(2)).tolist() == [number, number]
            assert not compiler.failure


def test_a_compiled_run_is_the_same_run_up_to_rounding_and_is_repeated_compiled(
    planned: Callable[..., list[PlannedRun]], traced: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("avbench.harness.running.repeatable.feature_manifest", runs.feature_manifest)
    (run,), (plain,) = planned("on"), planned("off")
    record = execute(run, ResultsFolder(tmp_path / "on"), CPU)
    other = execute(plain, ResultsFolder(tmp_path / "off"), CPU)
    assert record.finished
    assert record.measured.compiled
    assert record.identity == other.identity
    assert "compiled" not in other.to_json()
    assert record.outcome is not None
    assert other.outcome is not None
    assert pytest.approx(other.outcome.metrics.HM, abs=1e-6) == record.outcome.metrics.HM
    assert [e.HM for e in record.outcome.validation] == pytest.approx([e.HM for e in other.outcome.validation])
    assert repetition_of(other).compile == "off"
    again = execute(repetition_of(record), ResultsFolder(tmp_path / "again"), CPU)
    assert again.measured.compiled
    assert again.outcome == record.outcome, "the same bits"


def test_seeds_in_one_step_are_compiled_once_in_each_stage(
    planned: Callable[..., list[PlannedRun]], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Loss and what follows a step, each once: not again for a later step, of which a capture could not hold it."""
    counter = CompileCounter()
    monkeypatch.setattr(choice, "Compiler", functools.partial(Compiler, counter))
    runs_of = {way: planned(way, seeds=3) for way in ("on", "off")}
    records: dict[str, dict[int, RunRecord]] = {
        way: dict(execute_all(found, ResultsFolder(tmp_path / way), [CPU], 1, lambda *_: None, in_step=True))
        for way, found in runs_of.items()
    }
    assert counter.frame_count == 2 * 2
    for index, record in records["on"].items():
        assert (record.measured.compiled, record.measured.seeds_at_once) == (True, 3)
        assert not records["off"][index].measured.compiled
        assert record.outcome is not None
        other = records["off"][index].outcome
        assert other is not None
        assert pytest.approx(other.metrics.HM, abs=1e-6) == record.outcome.metrics.HM
    (one, *_), folder = runs_of["on"], ResultsFolder(tmp_path / "alone")
    alone = execute(one, folder, CPU)
    chosen = Bench(CPU).stage_1(one)
    assert alone.outcome is not None
    assert [epoch.HM for epoch in chosen.validation] == [epoch.HM for epoch in alone.outcome.validation]


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("g++") is None, reason="not installed: g++")
def test_kernels_are_written_on_a_cpu(planned: Callable[..., list[PlannedRun]], tmp_path: Path) -> None:
    (run,) = planned("on")
    record = execute(run, ResultsFolder(tmp_path), CPU)
    plain = execute(planned("off")[0], ResultsFolder(tmp_path / "off"), CPU)
    assert record.outcome is not None
    assert plain.outcome is not None
    assert record.measured.compiled
    assert pytest.approx(plain.outcome.metrics.HM, abs=1e-6) == record.outcome.metrics.HM


@pytest.mark.parametrize("seeds", [1, 2])
def test_without_a_compiler_runs_have_the_bits_of_plain_ones_and_it_is_told_once(
    planned: Callable[..., list[PlannedRun]],
    no_compiler: list[str],
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
    seeds: int,
) -> None:
    folders = ResultsFolder(tmp_path / "on"), ResultsFolder(tmp_path / "off")
    wished, plain = (
        dict(execute_all(planned(way, seeds), folder, [CPU], 1, lambda *_: None, in_step=True))
        for way, folder in zip(("on", "off"), folders, strict=True)
    )
    for index, record in wished.items():
        assert not record.measured.compiled
        assert record.outcome is not None
        assert record.outcome == plain[index].outcome, "the evidence is the same, so the scores are, to the bit"
    Bench(CPU).stage_1(planned("on")[0])
    assert no_compiler == ["inductor"] * 2
    assert caplog.messages == [
        "not compiled, steps are taken as they are: RuntimeError: Cannot find a working triton installation"
    ]


def test_what_cannot_be_mapped_is_not_compiled_and_says_why(
    planned: Callable[..., list[PlannedRun]], caplog: pytest.LogCaptureFixture
) -> None:
    (mdii,), (sje,) = planned("on", slug="mdii"), planned("on")
    assert compiler_of([mdii], CPU) is None
    assert "mdii" in caplog.messages[0]
    assert "gradients" in caplog.messages[0]
    assert compiler_of([sje], CPU, Isolation("process")) is None
    assert "process of its own" in caplog.messages[1]
    assert compiler_of([sje], CPU) is not None


def test_by_default_only_long_trainings_on_cuda_are_compiled(planned: Callable[..., list[PlannedRun]]) -> None:
    (short,) = planned("auto")
    long = planned("auto", seeds=10, epochs=50, batches_per_epoch=500)
    assert compiler_of([short], CUDA) is None
    assert compiler_of(long, CUDA) is not None
    assert compiler_of(long[:5], CUDA) is None, "half of the seeds save less than compiling takes"
    assert compiler_of(long, CPU) is None
    assert compiler_of([replace(run, compile="off") for run in long], CUDA) is None


def test_a_step_that_fails_uncompiled_too_fails_with_its_own_words(
    planned: Callable[..., list[PlannedRun]], traced: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def looks(_method: SJE, net: nn.ModuleDict, batch: Batch) -> Tensor:
        raise ValueError("no loss today")

    (run,) = planned("on")
    monkeypatch.setattr(SJE, "loss", looks)
    record = execute(run, ResultsFolder(tmp_path), CPU)
    assert record.failure is not None
    assert "no loss today" in record.failure.message


class Small:
    """A device whose memory is too small for more than so many seeds, as seen by a step's first call."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, seeds: int) -> None:
        self.tried: list[int] = []
        real = runs.run_together

        def run_together(*arguments: Any, **given: Any) -> Any:
            many = len(given["seeds"])
            self.tried.append(many)
            if many <= seeds:
                return real(*arguments, **given)
            return [torch.cuda.OutOfMemoryError("CUDA out of memory")] * many

        monkeypatch.setattr(runs, "run_together", run_together)


def test_seeds_that_do_not_fit_together_are_done_in_halves(
    planned: Callable[..., list[PlannedRun]],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    found = planned("auto", seeds=5)
    alone = [execute(run, ResultsFolder(tmp_path / "alone"), CPU) for run in found]
    small = Small(monkeypatch, 2)
    folder = ResultsFolder(tmp_path / "small")
    records = dict(execute_all(found, folder, [CPU], 1, lambda *_: None, in_step=True))
    assert small.tried == [5, 2, 3, 2]
    assert [records[i].measured.seeds_at_once for i in range(5)] == [2, 2, 1, 2, 2]
    for index, record in records.items():
        assert record.configuration.seed == index
        together, by_itself = record.outcome, alone[index].outcome
        assert together is not None
        assert by_itself is not None
        assert folder.find(found[index].configuration) == record
        assert pytest.approx(by_itself.metrics.HM, abs=1e-6) == together.metrics.HM
    assert records[2].outcome == alone[2].outcome, "who is left alone has the bits of a run alone"
    lines = [line for line in caplog.messages if "no memory" in line]
    assert [line.split(" seeds")[0][-1] for line in lines] == ["5", "3"]


def test_memory_that_ends_in_a_capture_is_told_as_such() -> None:
    """The end of a capture that has failed raises an error of its own, and a method's error is wrapped again."""
    try:
        try:
            raise torch.cuda.OutOfMemoryError("CUDA out of memory")
        except RuntimeError:
            raise RuntimeError("operation failed due to a previous error during capture")  # noqa: B904 (torch names no cause)
    except RuntimeError as failed:
        error = MethodError("avca.fit_together raised RuntimeError")
        error.__cause__ = failed
    assert out_of_memory(error)
    assert not out_of_memory(MethodError("another"))
    assert not out_of_memory(None)


def test_a_run_alone_that_does_not_fit_fails(
    planned: Callable[..., list[PlannedRun]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: Any, **__: Any) -> Tensor:
        raise torch.cuda.OutOfMemoryError("CUDA out of memory")

    monkeypatch.setattr(SJE, "loss", full)
    records = dict(execute_all(planned("auto", 2), ResultsFolder(tmp_path), [CPU], 1, lambda *_: None, in_step=True))
    assert ["out of memory" in record.failure.message for record in records.values() if record.failure] == [True, True]


def test_a_plan_file_asks_for_compiled_steps(traced: None, tmp_path: Path) -> None:
    file = tmp_path / "plan.toml"
    file.write_text(
        'method = "sje"\ntrack = "ucf/demo"\ncompile = "on"\ndevice = "cpu"\n'
        "[options]\nepochs = 1\nbatches_per_epoch = 1\nbatch_size = 4\n"
    )
    done = CliRunner().invoke(cli, ["run", "--plan", str(file), "--results", str(tmp_path / "results"), "--json"])
    assert done.exit_code == 0, done.output
    (record,) = json.loads(done.stdout)
    assert record["measured"]["compiled"]
    assert "compile" not in record["configuration"]


def test_python_and_tune_take_the_same_choice() -> None:
    wrong: Any = "onn"
    with pytest.raises(UsageError, match=r"'onn'.*Did you mean 'on'"):
        avbench.run("sje", "ucf/demo", compile=wrong)
    with pytest.raises(UsageError, match="'onn'"):
        avbench.tune("sje", "ucf/demo", compile=wrong)
    search = prepare("sje", [Track("ucf", "demo")], "aligned", 1, [], {}, compile="on")
    assert {run.compile for run in search.runs_with({"margin": 0.5})} == {"on"}
