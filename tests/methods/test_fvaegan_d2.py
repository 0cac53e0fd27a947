"""f-VAEGAN-D2 against plain formulas of its card, and its classifier against what it may depend on."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from avbench.harness.contract.data import Classes, Clips, TrainingSet
from avbench.harness.contract.method import Method
from avbench.harness.errors import MethodError
from avbench.harness.testing.simulated import (
    SimulatedProgress,
    fitted,
    simulated_classes,
    simulated_clips,
    simulated_training,
)
from avbench.harness.tracks import Track
from avbench.methods.fvaegan_d2 import FVAEGAN, FVAEGANOptions
from avbench.methods.learning import softmax
from avbench.methods.learning.batch import Batch, Dims
from avbench.methods.learning.softmax import Softmax

MAIN = Dims(audio=512, visual=512, text=300, classes=5, unseen=0)
SMALL = Dims(audio=6, visual=8, text=10, classes=5, unseen=0)
TINY: dict[str, Any] = {
    "epochs": 1,
    "batches_per_epoch": 4,
    "batch_size": 8,
    "synthetic": 5,
    "classifier_epochs": 2,
    "classifier_batch_size": 16,
}


def made(**options: Any) -> FVAEGAN:
    return FVAEGAN(FVAEGANOptions.model_validate({**TINY, **options}))


def network(dims: Dims = SMALL, **options: Any) -> tuple[FVAEGAN, nn.ModuleDict]:
    torch.manual_seed(0)
    method = made(**options)
    return method, nn.ModuleDict(method.build(dims)).double()


def test_parameters_are_the_cards() -> None:
    _, net = network(MAIN)
    sizes = {name: sum(p.numel() for p in part.parameters()) for name, part in net.items()}
    assert sizes["generator"] == 833_024
    assert sizes["encoder"] + sizes["mean"] + sizes["log_variance"] == 578_100
    assert (sizes["critic"], sizes["second_critic"]) == (678_913, 525_313)
    assert sum(sizes.values()) == 2_615_350


def test_critics_start_small() -> None:
    _, net = network(MAIN)
    for critic in (net["critic"], net["second_critic"]):
        for layer in (critic[0], critic[2]):
            assert 0.015 < layer.weight.std() < 0.025
            assert not layer.bias.any()


def a_batch(size: int = 7) -> tuple[Batch, Tensor, Tensor]:
    """A batch, its joined features of unit norm, and noise."""
    generator = torch.Generator().manual_seed(1)
    audio, visual = (torch.rand(size, n, dtype=torch.float64, generator=generator) for n in (6, 8))
    w = torch.randn(size, 10, dtype=torch.float64, generator=generator)
    noise = torch.randn(size, 300, dtype=torch.float64, generator=generator)
    x = torch.stack([torch.cat([a, v]) / torch.cat([a, v]).square().sum().sqrt() for a, v in zip(audio, visual)])  # noqa: B905
    return Batch(audio, visual, torch.zeros(size, dtype=torch.int64), w, w[:1]), x, noise


def test_critic_loss_clip_by_clip() -> None:
    method, net = network()
    batch, x, z = a_batch()
    torch.manual_seed(3)
    found = method.critic_loss(net, batch, z)
    torch.manual_seed(3)
    share = torch.rand(7, 1, dtype=torch.float64)
    expected = 0.0
    for i in range(7):
        w = batch.vectors[i]
        fake = net["generator"](torch.cat([z[i], w])).sigmoid().detach()
        for critic, condition in ((net["critic"], [w]), (net["second_critic"], [])):
            between = (share[i] * x[i] + (1 - share[i]) * fake).requires_grad_()
            (slope,) = torch.autograd.grad(critic(torch.cat([between, *condition])), between)
            penalty = 10 * (slope.norm() - 1) ** 2
            real, forged = (critic(torch.cat([f, *condition])) for f in (x[i], fake))
            expected += (forged - real + penalty).item() / 7
    assert found.item() == pytest.approx(expected)


@pytest.mark.parametrize("d2_weight", [0.0, 0.5])
def test_generator_loss_clip_by_clip(d2_weight: float) -> None:
    method, net = network(adversarial_weight=100.0, d2_weight=d2_weight)
    batch, x, z = a_batch()
    torch.manual_seed(3)
    found = method.loss(net, batch, z)
    torch.manual_seed(3)
    noise = torch.randn(7, 300, dtype=torch.float64)
    expected = 0.0
    for i in range(7):
        w = batch.vectors[i]
        hidden = net["encoder"](torch.cat([x[i], w]))
        mean, spread = net["mean"](hidden), net["log_variance"](hidden)
        rebuilt = net["generator"](torch.cat([mean + (spread / 2).exp() * noise[i], w])).sigmoid()
        fake = net["generator"](torch.cat([z[i], w])).sigmoid()
        expected -= (x[i] * rebuilt.log() + (1 - x[i]) * (1 - rebuilt).log()).sum().item()
        expected -= 0.5 * (1 + spread - mean**2 - spread.exp()).sum().item()
        for features in (rebuilt, fake):
            expected -= 100 / 7 * net["critic"](torch.cat([features, w])).item()
            expected -= d2_weight * 100 / 7 * net["second_critic"](features).item()
    assert found.item() == pytest.approx(expected)


def test_a_step_trains_the_critics_on_every_batch_and_the_generator_once() -> None:
    """Adam's first step is as long as the learning rate in every coordinate, and five alike are five times as long."""
    method, net = network(learning_rate=1e-5, critic_steps=5, adversarial_weight=1.0)
    before = {name: p.detach().clone() for name, p in net.named_parameters()}
    rate = torch.tensor(1e-5)
    method.updates(net, rate)(*[a_batch()[0]] * method.batches_per_step)
    for name, p in net.named_parameters():
        longest = (p - before[name]).abs().max().item()
        if name.endswith("critic.2.bias"):  # cancels between real features and fakes
            assert longest < 1e-6
        elif "critic" in name:
            assert 3e-5 < longest < 7e-5, name
        else:
            assert longest == pytest.approx(1e-5, rel=0.01), name
        assert p.grad is None


def test_presets() -> None:
    for protocol, batches, critic_steps in (("as-published", 1, 1), ("aligned", 500, 5)):
        for dataset, synthetic in (("ucf", 1000), ("activitynet", 1000), ("vggsound", 10_000)):
            options = FVAEGANOptions.effective(Track(dataset, "main"), protocol)
            assert isinstance(options, FVAEGANOptions)
            assert (options.batches_per_epoch, options.critic_steps) == (batches, critic_steps)
            assert options.synthetic == options.classifier_batch_size == synthetic
            assert (options.epochs, options.batch_size, options.classifier_epochs) == (50, 64, 30)


def with_others(train: TrainingSet, others: int = 3) -> Classes:
    """The trained classes and others."""
    known = simulated_classes(len(train.classes) + others, trained=len(train.classes))
    assert known.names[: len(train.classes)] == train.classes.names
    return known


def trained(epochs: int = 1, **options: Any) -> tuple[FVAEGAN, TrainingSet]:
    train = simulated_training(classes=5, clips_per_class=6)
    return fitted(made(**options), train, SimulatedProgress(epochs=epochs)), train


def test_the_classifier_learns_from_real_and_synthetic_features(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[tuple[Tensor, Tensor]] = []

    def watched(x: Tensor, labels: Tensor, classes: int, **options: Any) -> Softmax:
        seen.append((x, labels))
        return Softmax(torch.zeros(classes, x.shape[1]), torch.zeros(classes))

    monkeypatch.setattr(softmax, "fit_softmax", watched)
    method, train = trained()
    order = [6, 3, 0, 5, 4, 1]  # one trained class is no candidate, two candidates were not trained
    everything = with_others(train)
    names = tuple(everything.names[i] for i in order)
    method.predict(train.clips, Classes(names, names, everything.vectors[order], everything.trained[order]))

    ((x, labels),) = seen
    joined = torch.nn.functional.normalize(torch.cat([train.clips.audio, train.clips.visual], 1), dim=1)
    torch.testing.assert_close(x.norm(dim=1), torch.ones(len(x)))
    assert (labels.diff() != 0).sum() > 20, "not shuffled"
    for row, i in enumerate(order):
        features = x[labels == row]
        if i < 5:
            expected = joined[train.labels == i]
            assert len(features) == len(expected)
            assert bool((features[:, None] == expected).all(2).any(1).all())
        else:
            assert len(features) == 5
            assert bool((features > 0).all()), "a sigmoid makes them"
            assert not torch.equal(features[0], features[1])


def test_scores_depend_on_state_and_candidates_only() -> None:
    method, train = trained()
    classes = with_others(train)
    first = method.predict(train.clips, classes)
    torch.testing.assert_close(first.exp().sum(1), torch.ones(len(first)))
    random_state = torch.get_rng_state()
    method.predict(train.clips, train.classes)
    assert torch.equal(torch.get_rng_state(), random_state)
    torch.rand(9)
    assert torch.equal(method.predict(train.clips, classes), first)
    chunks = [
        method.predict(Clips(a, v), classes)
        for a, v in zip(torch.split(train.clips.audio, 7), torch.split(train.clips.visual, 7), strict=True)
    ]
    torch.testing.assert_close(torch.cat(chunks), first)


def test_a_classifier_is_fitted_once_per_set_of_candidates_and_epoch(monkeypatch: pytest.MonkeyPatch) -> None:
    fits: list[int] = []
    fit = softmax.fit_softmax

    def counted(x: Tensor, labels: Tensor, classes: int, **options: Any) -> Softmax:
        fits.append(classes)
        return fit(x, labels, classes, **options)

    monkeypatch.setattr(softmax, "fit_softmax", counted)
    train = simulated_training(classes=5, clips_per_class=6)
    scores: list[Tensor] = []

    def measure(method: Method) -> float:
        for _ in range(3):
            scores.append(method.predict(train.clips, with_others(train)))
        return 0.0

    method = fitted(made(), train, SimulatedProgress(epochs=2, measure=measure))
    assert fits == [8, 8]
    assert torch.equal(scores[3], scores[5])
    assert not torch.equal(scores[2], scores[3])
    renamed = replace(with_others(train), trained=torch.tensor([True] * 4 + [False] * 4))
    other_vectors = replace(renamed, vectors=renamed.vectors.flip(0))
    for classes in (train.classes, renamed, other_vectors):
        method.predict(train.clips, classes)
    assert fits == [8, 8, 5, 8, 8]


def test_real_features_are_found_by_name_in_any_order_and_saved() -> None:
    train = simulated_training(classes=5, clips_per_class=20)
    options = {"classifier_epochs": 100, "classifier_learning_rate": 0.05}
    method = fitted(made(**options), train)
    order = [3, 0, 4, 1, 2]
    names = tuple(train.classes.names[i] for i in order)
    same_vector = train.classes.vectors[:1].expand(5, -1)  # as of two classes with one prompt
    shuffled = Classes(names, names, same_vector, train.classes.trained)
    other = made(**options)
    other.load_state(method.state())
    for learner in (method, other):
        predicted = torch.tensor(order)[learner.predict(train.clips, shuffled).argmax(1)]
        assert (predicted == train.labels).float().mean() > 0.9
    state = method.state()
    assert len(state["real.features"]) == len(train.clips)
    del state["real.features"]
    with pytest.raises(MethodError, match=r"real\.features"):
        other.load_state(state)


def test_a_class_that_was_not_trained_is_no_trained_one() -> None:
    method, train = trained()
    asked = simulated_classes(6)
    with pytest.raises(MethodError, match=f"{asked.names[5]!r} is marked as trained"):
        method.predict(train.clips, asked)


def test_it_learns_what_unseen_classes_look_like() -> None:
    known = simulated_classes(46, text=16)
    labels = torch.arange(40).repeat_interleave(12)
    classes = Classes(known.names[:40], known.prompts[:40], known.vectors[:40], known.trained[:40])

    def clips(labels: Tensor, seed: int = 0) -> Clips:
        """Non-negative, as the features of the benchmark are."""
        signed = simulated_clips(known, labels, seed=seed)
        return Clips(signed.audio.relu(), signed.visual.relu())

    method = made(
        batch_size=64,
        batches_per_epoch=250,
        critic_steps=1,
        adversarial_weight=10.0,
        learning_rate=2e-3,
        synthetic=20,
        classifier_epochs=20,
        classifier_learning_rate=0.02,
    )
    fitted(method, TrainingSet(clips(labels), labels, classes))
    truth = torch.arange(40, 46).repeat_interleave(20)
    search = Classes(known.names[40:], known.prompts[40:], known.vectors[40:], torch.zeros(6, dtype=torch.bool))
    right = method.predict(clips(truth, seed=1), search).argmax(1) == truth - 40
    assert right.float().mean() > 0.5
