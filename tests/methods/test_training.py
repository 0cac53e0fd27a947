"""The loop, the state and the evaluation that all batch methods share."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from avbench.harness.contract.data import Classes, Clips
from avbench.harness.contract.options import EpochOptions
from avbench.harness.errors import MethodError
from avbench.harness.testing.simulated import (
    SimulatedProgress,
    fitted,
    simulated_classes,
    simulated_clips,
    simulated_training,
)
from avbench.methods.avca import AVCA, AVCAOptions
from avbench.methods.learning.batch import Batch, Dims
from avbench.methods.learning.training import BatchMethod


class Linear(BatchMethod):
    """A map from visual features to label vectors, with a counter of what the loop calls."""

    info = AVCA.info
    pairs = False

    def build(self, dims: Dims) -> dict[str, nn.Module]:
        return {"map": nn.Linear(dims.visual, dims.text)}

    def prepare(self, net: nn.ModuleDict, train: object) -> None:
        self.steps = 0
        self.batch_shapes: set[tuple[torch.Size, ...]] = set()

    def loss(self, net: nn.ModuleDict, batch: Batch) -> Tensor:
        assert net.training
        self.batch_shapes.add((batch.audio.shape, batch.visual.shape, batch.labels.shape, batch.vectors.shape))
        assert torch.equal(batch.vectors, batch.classes[batch.labels])
        return nn.functional.mse_loss(net["map"](batch.visual), batch.vectors)

    def after_step(self, net: nn.ModuleDict, batch: Batch) -> None:
        assert not torch.is_grad_enabled()
        self.steps += 1

    def scores(self, net: nn.ModuleDict, clips: Clips, classes: Classes) -> Tensor:
        assert not net.training
        assert not torch.is_grad_enabled()
        return torch.as_tensor(net["map"](clips.visual) @ classes.vectors.T)


OPTIONS = EpochOptions(batches_per_epoch=7, batch_size=16)


def small_avca(**options: object) -> AVCA:
    return AVCA(AVCAOptions.model_validate({"batches_per_epoch": 6, "batch_size": 16, **options}))


def test_the_loop_takes_every_batch_of_every_epoch() -> None:
    train = simulated_training()
    progress = SimulatedProgress(epochs=3)
    method = fitted(Linear(OPTIONS), train, progress)
    assert method.steps == 21
    assert len(progress.hms) == 3
    assert method.batch_shapes == {((16, 32), (16, 48), (16,), (16, 300))}
    assert method.parameters() == 49 * 300


def test_a_step_may_take_several_batches_and_an_epoch_is_rounded_up() -> None:
    taken: list[list[Tensor]] = []

    class Turns(Linear):
        batches_per_step = 3  # type: ignore[assignment]

        def updates(self, net: nn.ModuleDict, rate: Tensor):  # type: ignore[no-untyped-def]
            return lambda *batches: taken.append([b.audio for b in batches])

    fitted(Turns(OPTIONS), simulated_training(), SimulatedProgress(epochs=2))
    assert [len(batches) for batches in taken] == [3] * 6
    assert not torch.equal(taken[0][0], taken[0][1])


def test_the_rate_falls_on_the_plateau_only() -> None:
    rates: list[float] = []

    class Watched(Linear):
        def updates(self, net: nn.ModuleDict, rate: Tensor):  # type: ignore[no-untyped-def]
            update = super().updates(net, rate)
            self.measured = rate
            return update

    method = Watched(OPTIONS)

    def measure(_: object) -> float:
        rates.append(method.measured.item())
        return 10.0

    fitted(method, simulated_training(), SimulatedProgress(epochs=10, measure=measure))
    assert rates == pytest.approx([1e-3] * 5 + [1e-4] * 4 + [1e-5])
    rates.clear()
    method.plateau = False
    fitted(method, simulated_training(), SimulatedProgress(epochs=10, measure=measure))
    assert rates == pytest.approx([1e-3] * 10)


def test_same_seed_same_bits_and_another_seed_other_bits() -> None:
    train = simulated_training()
    runs = [fitted(small_avca(), train, SimulatedProgress(epochs=2, seed=seed)).state() for seed in (3, 3, 4)]
    assert all(torch.equal(runs[0][name], runs[1][name]) for name in runs[0])
    assert not torch.equal(runs[0]["encode_audio.0.linear.weight"], runs[2]["encode_audio.0.linear.weight"])


def test_evaluation_between_epochs_changes_nothing() -> None:
    train = simulated_training()

    def measure(method: object) -> float:
        assert isinstance(method, AVCA)
        method.predict(train.clips, train.classes)
        return 0.0

    plain = fitted(small_avca(), train, SimulatedProgress(epochs=2)).state()
    watched = fitted(small_avca(), train, SimulatedProgress(epochs=2, measure=measure)).state()
    assert all(torch.equal(plain[name], watched[name]) for name in plain)


def test_a_fresh_instance_takes_over_a_state() -> None:
    train = simulated_training()
    first = fitted(small_avca(), train)
    classes = simulated_classes(9, trained=6)
    second = small_avca()
    random_state = torch.get_rng_state()
    second.load_state(first.state())
    assert torch.equal(random_state, torch.get_rng_state())
    assert torch.equal(first.predict(train.clips, classes), second.predict(train.clips, classes))
    assert second.parameters() == first.parameters()
    assert {name: t.shape for name, t in second.state().items()} == {name: t.shape for name, t in first.state().items()}


def test_a_state_is_a_snapshot() -> None:
    method = fitted(small_avca(), simulated_training())
    state = method.state()
    before = {name: t.clone() for name, t in state.items()}
    method.fit(simulated_training(seed=1), SimulatedProgress())
    assert all(torch.equal(state[name], before[name]) for name in state)


def test_a_state_of_other_options_is_refused() -> None:
    state = fitted(small_avca(), simulated_training()).state()
    with pytest.raises(MethodError, match="does not fit method 'avca'"):
        small_avca(cross_attention=False).load_state(state)
    with pytest.raises(MethodError, match="dims"):
        small_avca().load_state({})


def test_an_unfitted_method_says_so() -> None:
    with pytest.raises(MethodError, match="not fitted"):
        small_avca().state()


def test_scores_do_not_depend_on_other_clips() -> None:
    method = fitted(small_avca(), simulated_training())
    classes = simulated_classes(6)
    clips = simulated_clips(classes, torch.arange(50) % 6)
    scores = method.predict(clips, classes)
    assert scores.shape == (50, 6)
    some = torch.tensor([49, 0, 17])
    alone = method.predict(Clips(clips.audio[some], clips.visual[some]), classes)
    assert torch.allclose(alone, scores[some], atol=1e-5)
    assert method.predict_branches(clips, classes) == {}
