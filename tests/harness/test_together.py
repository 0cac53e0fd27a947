"""Seeds that train in one step: each keeps its draws, its epoch, its offset, its record, and its failure."""

from __future__ import annotations

from dataclasses import replace
from functools import partialmethod
from pathlib import Path
from typing import Any

import pytest
import torch
from click.testing import CliRunner
from simulated_features import ridge, simulated_features
from torch import Tensor, nn

from avbench.harness.cli import cli
from avbench.harness.evaluation.compiler import Compiler
from avbench.harness.evaluation.protocol import ALIGNED
from avbench.harness.evaluation.two_stages import Result, run_together, run_two_stages
from avbench.harness.plugins.registry import plugins
from avbench.harness.records.results import ResultsFolder
from avbench.harness.running import runs
from avbench.harness.running.jobs import execute_all
from avbench.harness.running.runs import plan
from avbench.methods.avca import AVCA
from avbench.methods.learning.batch import Batch
from avbench.methods.learning.training import BatchMethod
from avbench.methods.sje import SJE

CPU = torch.device("cpu")
SMALL = {"epochs": 3, "batches_per_epoch": 5, "batch_size": 16}


def alone(kind: type[BatchMethod], seeds: int, device: torch.device = CPU, **given: Any) -> list[Result]:
    options = kind.Options.model_validate({**SMALL, **given})
    features = simulated_features().to(device)
    return [
        run_two_stages(lambda: kind(options), features, ALIGNED, epochs=options.epochs, seed=seed)
        for seed in range(seeds)
    ]


def together(
    kind: type[BatchMethod], seeds: int, device: torch.device = CPU, **given: Any
) -> list[Result | BaseException]:
    options = kind.Options.model_validate({**SMALL, **given})
    nobody = [lambda _: None] * seeds
    return run_together(
        lambda: kind(options),
        simulated_features().to(device),
        ALIGNED,
        epochs=options.epochs,
        seeds=range(seeds),
        listeners=nobody,
        fitted=nobody,
    )


def test_each_seed_chooses_its_own_epoch_and_offset_as_alone() -> None:
    """SJE on these features rounds alike alone and together, so whole results are equal."""
    ones = alone(SJE, 5, epochs=6, learning_rate=0.05)
    for one, other in zip(ones, together(SJE, 5, epochs=6, learning_rate=0.05), strict=True):
        assert isinstance(other, Result)
        assert replace(one, seconds=(0, 0), evidence={}) == replace(other, seconds=(0, 0), evidence={})
    assert len({result.epochs for result in ones}) > 1, "stage 2 must end at different epochs"
    assert len({result.metrics.HM for result in ones}) > 1


@pytest.mark.cuda
@pytest.mark.parametrize("slug", ["avca", "cjme", "devise", "hyper-alignment"])
def test_on_a_gpu_draws_are_those_of_a_run_alone(slug: str) -> None:
    kind = plugins().method(slug).method
    assert issubclass(kind, BatchMethod)
    device = torch.device("cuda")
    ones = alone(kind, 3, device, epochs=1, batches_per_epoch=8)
    for one, other in zip(ones, together(kind, 3, device, epochs=1, batches_per_epoch=8), strict=True):
        assert isinstance(other, Result)
        assert pytest.approx(one.metrics.HM, abs=5) == other.metrics.HM


@pytest.mark.cuda
@pytest.mark.parametrize("seeds", [1, 3])
def test_on_a_gpu_compiled_steps_are_those_of_a_run_alone(seeds: int) -> None:
    """One epoch of eight steps: compiled in the first, captured in the fourth."""
    device, compiler = torch.device("cuda"), Compiler()
    small = {"epochs": 1, "batches_per_epoch": 8}
    nobody = [lambda _: None] * seeds
    options = AVCA.Options.model_validate({**SMALL, **small})
    compiled = run_together(
        lambda: AVCA(options),
        simulated_features().to(device),
        ALIGNED,
        epochs=1,
        seeds=range(seeds),
        listeners=nobody,
        fitted=nobody,
        compiler=compiler,
    )
    assert not compiler.failure
    for one, other in zip(alone(AVCA, seeds, device, **small), compiled, strict=True):
        assert isinstance(other, Result)
        assert pytest.approx(one.metrics.HM, abs=5) == other.metrics.HM


SEEDS_ON_A_GPU = {
    "ale": "",
    "apn": "",
    "attention-fusion": "does not say",
    "avca": "",
    "avgzslnet": "",
    "cjme": "",
    "clipclap": "does not say",
    "devise": "",
    "ez-avgzl": "",
    "fvaegan-d2": "does not say",
    "hyper-alignment": "",
    "hyper-multiple": "",
    "hyper-single": "",
    "mdii": "gradients of its own",
    "perceiver": "does not say",
    "sje": "",
    "tcaf": "does not say",
}
"""Of each method why its seeds train one after the other, in part; nothing where they train in one step."""


def test_methods_show_says_whether_seeds_train_in_one_step_and_why_not() -> None:
    assert set(plugins().methods) >= set(SEEDS_ON_A_GPU)
    for slug, why in SEEDS_ON_A_GPU.items():
        said = CliRunner().invoke(cli, ["methods", "show", slug]).output
        (line,) = [line for line in said.splitlines() if line.startswith("Seeds on a GPU: ")]
        if why:
            assert line.startswith("Seeds on a GPU: one after the other, because ")
            assert why in line
        else:
            assert line == "Seeds on a GPU: all in one step"


def test_what_goes_wrong_with_one_seed_is_its_own() -> None:
    class Diverges(SJE):
        mappable = True

        def scores(self, net: nn.ModuleDict, clips: Any, classes: Any) -> Tensor:
            return super().scores(net, clips, classes) * (torch.nan if self._seed == 1 else 1)

    broken = together(Diverges, 3)
    assert "NaN" in str(broken[1])
    assert [isinstance(result, Result) for result in broken] == [True, False, True]
    assert isinstance(broken[0], Result)
    assert broken[0].metrics == alone(SJE, 1)[0].metrics


def test_what_goes_wrong_with_the_step_goes_wrong_with_all() -> None:
    class Looks(AVCA):
        mappable = True

        def loss(self, net: nn.ModuleDict, batch: Batch) -> Tensor:
            loss = super().loss(net, batch)
            return loss if loss > 0 else -loss  # a branch on a tensor's value

    assert all("data-dependent control flow" in str(error) for error in together(Looks, 2))


def test_a_method_says_why_its_seeds_train_one_after_the_other() -> None:
    class Silent(AVCA):
        def loss(self, net: nn.ModuleDict, batch: Batch) -> Tensor:
            return super().loss(net, batch)

    class Renamed(AVCA):
        info = AVCA.info

    assert AVCA.alone_because(AVCA.Options(), "averaged") == ""
    assert Renamed.alone_because(AVCA.Options(), "averaged") == ""
    assert "Silent does not say" in Silent.alone_because(AVCA.Options(), "averaged")
    partial = type("Partial", (AVCA,), {"loss": partialmethod(AVCA.loss)})
    assert "Partial does not say" in partial.alone_because(AVCA.Options(), "averaged")
    assert "lengths" in AVCA.alone_because(AVCA.Options(), "temporal")
    assert "one seed at a time" in type(ridge()).alone_because(type(ridge()).Options(), "averaged")
    mdii = plugins().method("mdii").method
    assert "gradients" in mdii.alone_because(mdii.Options(), "averaged")
    assert mdii.alone_because(mdii.Options.model_validate({"masks": False}), "averaged") == ""


def test_runs_that_differ_in_the_seed_only_train_in_one_step(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """On a CPU only here: the same records as one after the other, but for rounding and what is measured."""
    features = simulated_features()
    monkeypatch.setattr(runs, "planned_features", lambda _track, _hash: features)
    monkeypatch.setattr(runs, "feature_manifest", lambda _track: features.manifest)
    small = {"epochs": 2, "batches_per_epoch": 3, "batch_size": 8}
    planned = plan(["sje", "mdii"], [features.track], ["aligned"], range(3), small)
    news: list[int] = []
    folders = ResultsFolder(tmp_path / "together"), ResultsFolder(tmp_path / "alone")
    in_step, one_by_one = (
        dict(execute_all(planned, folder, [CPU], 1, lambda index, _: news.append(index), in_step=way))
        for folder, way in zip(folders, (True, False), strict=True)
    )
    assert set(news) == set(range(6))
    for index, run in enumerate(planned):
        record, other = in_step[index], one_by_one[index]
        assert folders[0].find(run.configuration) == record
        assert record.finished
        assert other.finished
        assert record.identity == other.identity
        assert record.measured.seeds_at_once == (3 if run.configuration.method == "sje" else 1)
        assert "seeds_at_once" not in other.to_json()
        assert record.outcome is not None
        assert other.outcome is not None
        assert pytest.approx(other.outcome.metrics.HM, abs=1e-6) == record.outcome.metrics.HM
