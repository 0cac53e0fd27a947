"""Precision and storage of features are explicit: recorded, part of the identity where they are not the default."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

import pytest
import torch
from click.testing import CliRunner
from simulated_features import Ridge, simulated_features
from simulated_results import configuration_of, record_of

from avbench.harness.cli import cli
from avbench.harness.contract.data import Clips, TrainingSet
from avbench.harness.contract.method import Progress
from avbench.harness.errors import UsageError
from avbench.harness.evaluation.protocol import ALIGNED
from avbench.harness.evaluation.stages import stage_data
from avbench.harness.evaluation.two_stages import run_two_stages
from avbench.harness.plugins.registry import plugins
from avbench.harness.records.record import Configuration, Numerics, RunRecord, parse_record
from avbench.harness.records.results import ResultsFolder
from avbench.harness.running.numerics import products
from avbench.harness.tracks import Track
from avbench.leaderboard.boards import build_boards

CPU = torch.device("cpu")
BF16 = Numerics(precision="bfloat16", feature_dtype="float16")


def test_default_numerics_leave_a_configuration_as_it_was() -> None:
    c = configuration_of("avca", Track("ucf", "main"), "aligned", 0)
    assert "numerics" not in c.model_dump(mode="json")
    other = c.model_copy(update={"numerics": BF16})
    assert other.model_dump(mode="json")["numerics"] == {"precision": "bfloat16", "feature_dtype": "float16"}
    assert other.identity != c.identity


def test_the_identity_of_a_run_from_before_there_was_a_choice() -> None:
    content = {
        "method": "avca",
        "plugin": {"distribution": "avbench", "version": "0.1.0", "source_hash": "a" * 64},
        "options": {"epochs": 50, "learning_rate": 0.001},
        "dataset": "ucf",
        "features": "main",
        "feature_hash": "b" * 64,
        "split_fingerprint": "c" * 64,
        "protocol": {"name": "aligned", "version": 1},
        "seed": 42,
    }
    c = Configuration.model_validate(content)
    assert c.numerics == Numerics()
    assert c.model_dump(mode="json") == content
    assert c.identity == "c0343eda453b024ca4845bebade81d2f6aaea272eed95b4fdd3a2606fdb99812"


def test_records_with_other_numerics_are_read_again() -> None:
    c = configuration_of("avca", Track("ucf", "main"), "aligned", 0).model_copy(update={"numerics": BF16})
    record = record_of(c)
    assert parse_record(record.model_dump(mode="json"), "here").configuration.numerics == BF16


def ran(folder: Path, *more: str) -> RunRecord:
    small = ["-p", "epochs=2", "-p", "batches_per_epoch=3", "-p", "batch_size=16"]
    words = ["run", "--method", "avca", "--dataset", "ucf", "--features", "demo", *small, "--results", str(folder)]
    done = CliRunner().invoke(cli, [*words, *more])
    assert done.exit_code == 0, (done.output, done.exception)
    (record,) = ResultsFolder(folder).records()
    assert isinstance(record, RunRecord)
    return record


@pytest.mark.parametrize("option", [("--precision", "bfloat16"), ("--feature-dtype", "float16")])
def test_a_run_records_its_numerics_and_is_another_run(option: tuple[str, str], tmp_path: Path) -> None:
    plain, other = ran(tmp_path / "plain"), ran(tmp_path / "other", *option)
    assert other.configuration.numerics.changed == {option[0][2:].replace("-", "_"): option[1]}
    assert other.identity != plain.identity
    assert other.outcome is not None
    assert plain.outcome is not None
    assert other.outcome.evidence != plain.outcome.evidence
    (board,) = (b for b in build_boards([plain, other], (), lambda _: {}) if b.rows)
    rows = {row.label: row.as_named for row in board.rows}
    assert rows == {"avca": True, f"avca ({option[0][2:].replace('-', '_')}={option[1]})": False}


def test_tf32_without_cuda_is_refused() -> None:
    done = CliRunner().invoke(
        cli,
        ["run", "--method", "avca", "--dataset", "ucf", "--features", "demo", "--device", "cpu", "--precision", "tf32"],
    )
    assert isinstance(done.exception, UsageError)
    assert "--precision tf32 needs a CUDA device" in str(done.exception)


@pytest.mark.parametrize(("precision", "dtype"), [("float32", torch.float32), ("bfloat16", torch.bfloat16)])
def test_products_are_made_in_the_given_precision(
    precision: Literal["float32", "bfloat16"], dtype: torch.dtype
) -> None:
    with products(Numerics(precision=precision), CPU):
        assert (torch.ones(2, 2) @ torch.ones(2, 2)).dtype == dtype
        assert torch.get_float32_matmul_precision() == "highest"


@pytest.mark.parametrize("slug", plugins().methods)
def test_every_built_in_method_trains_in_bfloat16_from_halves(slug: str) -> None:
    method = plugins().methods[slug].method
    options = method.Options.effective(
        Track("ucf", "demo"), "aligned", {"epochs": 1, "batches_per_epoch": 2, "batch_size": 16}
    )
    features = simulated_features(clips=2).to(CPU, torch.float16)
    with products(BF16, CPU):
        result = run_two_stages(lambda: method(options), features, ALIGNED, epochs=1, seed=0)
    assert 0 <= result.metrics.ZSL <= 100


class Recording(Ridge):
    """Notes which types it is given."""

    def fit(self, train: TrainingSet, progress: Progress) -> None:
        self.given = train.clips.audio.dtype
        floats = TrainingSet(
            Clips(train.clips.audio.float(), train.clips.visual.float()), train.labels, train.classes, train.unseen
        )
        super().fit(floats, progress)

    def predict(self, clips: Clips, classes: Any) -> torch.Tensor:
        assert clips.audio.dtype == clips.visual.dtype == torch.float32
        return super().predict(clips, classes)


class TakesFewBits(Recording):
    takes_few_bits = True


@pytest.mark.parametrize(("kind", "dtype"), [(Recording, torch.float32), (TakesFewBits, torch.float16)])
def test_only_methods_that_say_so_are_given_few_bits(kind: type[Recording], dtype: torch.dtype) -> None:
    features = simulated_features().to(CPU, torch.float16)
    stage, method = stage_data(features, ALIGNED, stage=1), kind(kind.Options())

    class Once:
        epochs, seed, device = 1, 0, CPU

        def epoch_done(self, _: object) -> float:
            return 0.0

    stage.fit(method, Once())
    assert method.given == dtype
    stage.evidence(method)
