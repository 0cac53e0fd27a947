"""f-VAEGAN-D2 against plain formulas of its card."""

from __future__ import annotations

import pytest
import torch
from simulated_training import SimulatedProgress, fitted, simulated_training
from torch import Tensor, nn

from avbench.harness.data import Classes
from avbench.harness.options import Options
from avbench.harness.tracks import Track
from avbench.methods.fvaegan_d2 import FVAEGAN, FVAEGANOptions
from avbench.methods.training import Dims

MAIN = Dims(audio=512, visual=512, text=300, classes=5, unseen=0)
SMALL = Dims(audio=6, visual=8, text=10, classes=5, unseen=0)
TINY = {"epochs": 1, "batches_per_epoch": 4, "batch_size": 8, "synthetic": 5, "classifier_epochs": 2}


def network(dims: Dims = SMALL, **options: object) -> tuple[FVAEGAN, nn.ModuleDict]:
    torch.manual_seed(0)
    method = FVAEGAN(FVAEGANOptions.model_validate(options))
    return method, nn.ModuleDict(method.build(dims)).double()


def test_parameters_are_the_cards() -> None:
    _, net = network(MAIN)
    sizes = {name: sum(p.numel() for p in part.parameters()) for name, part in net.items()}
    assert sizes["generator"] == 833_024
    assert sizes["encoder"] + sizes["mean"] + sizes["log_variance"] == 578_100
    assert (sizes["critic"], sizes["second_critic"]) == (678_913, 525_313)
    assert sum(sizes.values()) == 2_615_350


def inputs() -> tuple[Tensor, Tensor, Tensor]:
    generator = torch.Generator().manual_seed(1)
    return (
        torch.rand(7, 14, dtype=torch.float64, generator=generator),
        torch.randn(7, 10, dtype=torch.float64, generator=generator),
        torch.randn(7, 300, dtype=torch.float64, generator=generator),
    )


def test_critic_loss_clip_by_clip() -> None:
    method, net = network()
    x, w, z = inputs()
    torch.manual_seed(3)
    found = method.critic_loss(net, x, w, z)
    torch.manual_seed(3)
    share = torch.rand(7, 1, dtype=torch.float64)
    expected = 0.0
    for i in range(7):
        fake = net["generator"](torch.cat([z[i], w[i]])).sigmoid().detach()
        for critic, condition in ((net["critic"], [w[i]]), (net["second_critic"], [])):
            between = (share[i] * x[i] + (1 - share[i]) * fake).requires_grad_()
            (slope,) = torch.autograd.grad(critic(torch.cat([between, *condition])), between)
            penalty = 10 * (slope.norm() - 1) ** 2
            real, made = (critic(torch.cat([f, *condition])) for f in (x[i], fake))
            expected += (made - real + penalty).item() / 7
    assert found.item() == pytest.approx(expected)


def test_generator_loss_clip_by_clip() -> None:
    method, net = network(adversarial_weight=100.0)
    x, w, z = inputs()
    torch.manual_seed(3)
    found = method.generator_loss(net, x, w, z)
    torch.manual_seed(3)
    noise = torch.randn(7, 300, dtype=torch.float64)
    expected = 0.0
    for i in range(7):
        hidden = net["encoder"](torch.cat([x[i], w[i]]))
        mean, spread = net["mean"](hidden), net["log_variance"](hidden)
        rebuilt = net["generator"](torch.cat([mean + (spread / 2).exp() * noise[i], w[i]])).sigmoid()
        fake = net["generator"](torch.cat([z[i], w[i]])).sigmoid()
        expected -= (x[i] * rebuilt.log() + (1 - x[i]) * (1 - rebuilt).log()).sum().item()
        expected -= 0.5 * (1 + spread - mean**2 - spread.exp()).sum().item()
        expected -= 100 / 7 * sum(net["critic"](torch.cat([f, w[i]])).item() for f in (rebuilt, fake))
    assert found.item() == pytest.approx(expected)


def test_as_published_one_batch_and_one_critic_step_make_an_epoch() -> None:
    published = FVAEGANOptions.preset_values(Track("ucf", "main"), "as-published")
    assert (published["batches_per_epoch"], published["critic_steps"]) == (1, 1)
    sound = FVAEGANOptions.effective(Track("vggsound", "main"), "aligned")
    assert isinstance(sound, Options)
    assert sound.model_dump()["synthetic"] == 10_000


def test_the_classifier_depends_on_state_and_candidates_only() -> None:
    train = simulated_training(classes=5, clips_per_class=6)
    method = fitted(FVAEGAN(FVAEGANOptions.model_validate(TINY)), train, SimulatedProgress(epochs=1))
    first = method.predict(train.clips, train.classes)
    torch.rand(9)
    fewer = Classes(*(part[:3] for part in vars(train.classes).values()))
    method.predict(train.clips, fewer)
    assert torch.equal(method.predict(train.clips, train.classes), first)
    torch.testing.assert_close(first.exp().sum(1), torch.ones(len(first)))


def test_trained_classes_are_recognised_by_their_label_vectors_in_any_order() -> None:
    train = simulated_training(classes=5, clips_per_class=20)
    options = FVAEGANOptions.model_validate({**TINY, "classifier_epochs": 200, "classifier_learning_rate": 0.05})
    method = fitted(FVAEGAN(options), train, SimulatedProgress(epochs=1))
    order = [3, 0, 4, 1, 2]
    c = train.classes
    shuffled = Classes(
        tuple(c.names[i] for i in order), tuple(c.prompts[i] for i in order), c.vectors[order], c.trained[order]
    )
    predicted = torch.tensor(order)[method.predict(train.clips, shuffled).argmax(1)]
    assert (predicted == train.labels).float().mean() > 0.8
