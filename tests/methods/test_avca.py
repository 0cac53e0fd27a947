"""AVCA against a slow, plain version written from its description, and what its options do."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from plain_layers import PlainBlock
from torch import Tensor, nn
from torch.nn import functional

from avbench.harness.contract.data import Clips
from avbench.harness.errors import UsageError
from avbench.harness.testing.simulated import (
    SimulatedProgress,
    fitted,
    simulated_classes,
    simulated_clips,
    simulated_training,
)
from avbench.harness.tracks import Track
from avbench.methods.avca import AVCA, AVCAOptions
from avbench.methods.learning.batch import Batch, Dims

LOSSES = ("loss_t", "loss_rec", "loss_ct", "loss_w", "loss_r")
NO_DROPOUT: dict[str, Any] = {"dropout_encoder": 0.0, "dropout_projection": 0.0, "dropout_decoder": 0.0}


class PlainAVCA(nn.Module):
    """The network of the paper without dropout: positives and negatives go through it in separate calls."""

    def __init__(self, dims: Dims, momentum: float) -> None:
        super().__init__()
        for x, size in (("audio", dims.audio), ("visual", dims.visual)):
            self.add_module(f"encode_{x}", nn.Sequential(PlainBlock(size, 512), PlainBlock(512, 300, momentum)))
            self.add_module(f"project_{x}", nn.Sequential(PlainBlock(300, 512), PlainBlock(512, 64, momentum)))
            self.add_module(f"rebuild_{x}", PlainBlock(64, 300))
        self.project_text = PlainBlock(300, 64)
        self.decode = PlainBlock(64, 300)
        self.positions = nn.Parameter(torch.zeros(2, 300), requires_grad=False)
        self.norm_1, self.norm_2 = nn.LayerNorm(300), nn.LayerNorm(300)
        self.qkv = nn.Linear(300, 900, bias=False)
        self.mix = nn.Linear(300, 300)
        self.widen, self.narrow = nn.Linear(300, 64), nn.Linear(64, 300)

    def attention(self, tokens: Tensor) -> Tensor:
        """One pre-norm transformer layer; tokens (B, 2, 300)."""
        q, k, v = self.qkv(self.norm_1(tokens)).split(300, dim=-1)
        heads = []
        for h in range(3):
            part = slice(100 * h, 100 * h + 100)
            weights = (q[..., part] @ k[..., part].transpose(1, 2) / 10).softmax(-1)
            heads.append(weights @ v[..., part])
        tokens = tokens + self.mix(torch.cat(heads, dim=-1))
        return tokens + self.narrow(functional.gelu(self.widen(self.norm_2(tokens))))

    def encode(self, audio: Tensor, visual: Tensor) -> tuple[Tensor, Tensor]:
        return self.get_submodule("encode_audio")(audio), self.get_submodule("encode_visual")(visual)

    def project(self, phi_a: Tensor, phi_v: Tensor) -> tuple[Tensor, Tensor]:
        tokens = self.attention(torch.stack([phi_a + self.positions[0], phi_v + self.positions[1]], dim=1))
        theta_a = self.get_submodule("project_audio")(phi_a + tokens[:, 0])
        return theta_a, self.get_submodule("project_visual")(phi_v + tokens[:, 1])

    def copy_from(self, net: nn.ModuleDict) -> None:
        """Take over weights and running statistics of the fast network."""
        for name, module in self.named_modules():
            if isinstance(module, PlainBlock):
                block = net.get_submodule(name)
                module.linear.load_state_dict(block.linear.state_dict())
                for key in ("weight", "bias", "running_mean", "running_var"):
                    getattr(module.norm, key).data.copy_(getattr(block, key))
        attention = net["attention"]
        norm_2, widen, _, _, narrow, _ = attention.feed_forward
        pairs = [
            (self.norm_1, attention.norm),
            (self.qkv, attention.query_key_value),
            (self.mix, attention.mix[0]),
            (self.norm_2, norm_2),
            (self.widen, widen),
            (self.narrow, narrow),
        ]
        for mine, theirs in pairs:
            mine.load_state_dict(theirs.state_dict())
        self.positions.data.copy_(net["positions"].value)

    def parts(self, batch: Batch, cycle: bool) -> dict[str, Tensor]:
        """The five losses, with the calls in the order of the reference code."""
        (ap, an), (vp, vn), (wp, wn) = (t.unbind(1) for t in (batch.audio, batch.visual, batch.vectors))
        phi_ap, phi_vp = self.encode(ap, vp)
        phi_an, phi_vn = self.encode(an, vn)
        th_ap, th_vp = self.project(phi_ap, phi_vp)
        th_an, th_vn = self.project(phi_an, phi_vn)
        th_wp, th_wn = self.project_text(wp), self.project_text(wn)
        rho_wp, _, rho_ap, rho_an, rho_vp, rho_vn = (self.decode(x) for x in (th_wp, th_wn, th_ap, th_an, th_vp, th_vn))
        back_a, back_v = self.get_submodule("rebuild_audio")(th_ap), self.get_submodule("rebuild_visual")(th_vp)
        if cycle:
            self.get_submodule("project_audio")(back_a)
            self.get_submodule("project_visual")(back_v)
        return {
            "loss_t": t(th_ap, th_wp, th_an) + t(th_vp, th_wp, th_vn) + t(th_wp, th_ap, th_wn) + t(th_wp, th_vp, th_wn),
            "loss_w": t(th_wp, th_ap, th_an) + t(th_wp, th_vp, th_vn) + t(th_ap, th_wp, th_wn) + t(th_vp, th_wp, th_wn),
            "loss_ct": t(rho_wp, rho_ap, rho_an) + t(rho_wp, rho_vp, rho_vn),
            "loss_rec": mse(rho_ap, wp) + mse(rho_vp, wp) + mse(rho_wp, wp),
            "loss_r": mse(back_v, phi_vp) + mse(back_a, phi_ap) + mse(th_vp, th_wp) + mse(th_ap, th_wp),
        }


def t(x: Tensor, p: Tensor, n: Tensor) -> Tensor:
    near = ((x - p + 1e-6) ** 2).sum(1).sqrt()
    far = ((x - n + 1e-6) ** 2).sum(1).sqrt()
    return functional.relu(near - far + 1).mean()


def mse(x: Tensor, y: Tensor) -> Tensor:
    return ((x - y) ** 2).mean()


DIMS = Dims(audio=20, visual=30, text=300, classes=5, unseen=0)


def double_pair(**options: Any) -> tuple[AVCA, nn.ModuleDict, PlainAVCA, Batch]:
    """The fast and the plain network with the same weights, and a batch, in double precision."""
    torch.manual_seed(0)
    method = AVCA(AVCAOptions.model_validate({**NO_DROPOUT, **options}))
    net = nn.ModuleDict(method.build(DIMS)).double()
    plain = PlainAVCA(DIMS, method.options.batch_norm_momentum).double()
    plain.copy_from(net)
    labels = torch.stack([torch.arange(12) % 5, (torch.arange(12) + 1) % 5], dim=1)
    vectors = simulated_classes(5).vectors.double()
    audio, visual = torch.randn(12, 2, 20).double(), torch.randn(12, 2, 30).double()
    return method, net, plain, Batch(audio, visual, labels, vectors[labels], vectors)


def assert_same_network(net: nn.ModuleDict, plain: PlainAVCA) -> None:
    """Every weight and every running statistic agrees."""
    fast = PlainAVCA(DIMS, 0.1).double()
    fast.copy_from(net)
    for (name, mine), theirs in zip(fast.state_dict().items(), plain.state_dict().values(), strict=True):
        if "num_batches" not in name:
            assert torch.allclose(mine, theirs, rtol=1e-6, atol=1e-9), name


@pytest.mark.parametrize("reference", [False, True])
@pytest.mark.parametrize("momentum", [0.1, 0.99])
def test_three_steps_of_training_are_those_of_the_plain_version(reference: bool, momentum: float) -> None:
    method, net, plain, batch = double_pair(reference_batch_norm=reference, batch_norm_momentum=momentum)
    rate = torch.tensor(1e-3)
    update = method.updates(net, rate)
    optimiser = torch.optim.Adam(
        [p for p in plain.parameters() if p.requires_grad], lr=float(rate), weight_decay=1e-5, betas=(0.9, 0.999)
    )
    start = net["project_visual"][1].running_mean.clone()
    for _ in range(3):
        update(batch)
        optimiser.zero_grad()
        torch.stack(list(plain.parts(batch, cycle=reference).values())).sum().backward()
        optimiser.step()
        if reference:
            plain.project(*plain.encode(batch.audio[:, 0], batch.visual[:, 0]))
            plain.project_text(batch.vectors[:, 0])
    assert_same_network(net, plain)
    assert not torch.allclose(net["project_visual"][1].running_mean, start)


def test_loss_and_gradients_are_those_of_the_plain_version() -> None:
    method, net, plain, batch = double_pair()
    loss = method.loss(net, batch)
    expected = torch.stack(list(plain.parts(batch, cycle=False).values())).sum()
    assert torch.allclose(loss, expected, rtol=1e-12)
    loss.backward()
    expected.backward()
    gradients = PlainAVCA(DIMS, 0.1).double()
    with torch.no_grad():
        for parameter in net.parameters():
            parameter.copy_(parameter.grad)
        for parameter in plain.parameters():
            if parameter.requires_grad:
                parameter.copy_(parameter.grad)
    gradients.copy_from(net)
    for (name, mine), theirs in zip(gradients.named_parameters(), plain.parameters(), strict=True):
        if mine.requires_grad:
            assert torch.allclose(mine, theirs, rtol=1e-8, atol=1e-12), name


def test_the_extra_passes_move_running_statistics_only() -> None:
    _, net, _, batch = double_pair()
    method, extra_net, _, _ = double_pair(reference_batch_norm=True)
    before = {name: p.clone() for name, p in extra_net.named_parameters()}
    aligned = AVCA(AVCAOptions.model_validate(NO_DROPOUT))
    assert torch.equal(aligned.loss(net, batch), method.loss(extra_net, batch))
    method.after_step(extra_net, batch)
    assert all(torch.equal(before[name], p) for name, p in extra_net.named_parameters())
    assert not torch.allclose(net["project_audio"][0].running_mean, extra_net["project_audio"][0].running_mean)


@pytest.mark.parametrize("dropped", LOSSES)
def test_each_loss_can_be_left_out(dropped: str) -> None:
    method, net, plain, batch = double_pair(**{dropped: False})
    parts = plain.parts(batch, cycle=False)
    expected = torch.stack([value for name, value in parts.items() if name != dropped]).sum()
    assert torch.allclose(method.loss(net, batch), expected, rtol=1e-12)


def test_scores_are_distances_in_evaluation() -> None:
    method, net, plain, _ = double_pair()
    method._fitted = DIMS, net
    classes = simulated_classes(4)
    clips = simulated_clips(classes, torch.arange(4), audio=20, visual=30)
    vectors = classes.vectors.double()
    clips = Clips(clips.audio.double(), clips.visual.double())
    plain.eval()
    theta_a, theta_v = plain.project(*plain.encode(clips.audio, clips.visual))
    labels = plain.project_text(vectors)
    d_a, d_v = (((x[:, None] - labels[None]) ** 2).sum(-1).sqrt() for x in (theta_a, theta_v))
    expected = {None: d_v, "visual": d_v, "audio": d_a, "mean": (d_a + d_v) / 2, "minimum": torch.minimum(d_a, d_v)}
    known = type(classes)(classes.names, classes.prompts, vectors, classes.trained)
    for output, distance in expected.items():
        method.options = AVCAOptions.model_validate({**NO_DROPOUT, "output": output})
        assert torch.allclose(method.predict(clips, known), -distance)


@pytest.mark.parametrize(("audio", "visual", "count"), [(512, 512, 1_692_508), (128, 4096, 3_330_908)])
def test_the_number_of_trained_parameters_is_the_cards(audio: int, visual: int, count: int) -> None:
    method = AVCA(AVCAOptions())
    net = nn.ModuleDict(method.build(Dims(audio, visual, text=300, classes=30, unseen=0)))
    method._fitted = DIMS, net
    assert method.parameters() == count
    saved = sum(tensor.numel() for name, tensor in net.state_dict().items() if "running" not in name)
    assert saved == count + 600


PRESETS = {
    # dropout_encoder, dropout_projection, dropout_decoder, batch_norm_momentum, batch_size (card, section 6)
    ("ucf", "main"): (0.2, 0.3, 0.5, 0.1, 256),
    ("ucf", "cls"): (0.2, 0.3, 0.5, 0.99, 256),
    ("activitynet", "main"): (0.2, 0.2, 0.1, 0.99, 256),
    ("activitynet", "cls"): (0.2, 0.2, 0.1, 0.99, 256),
    ("vggsound", "main"): (0.0, 0.0, 0.1, 0.1, 64),
    ("vggsound", "cls"): (0.0, 0.0, 0.0, 0.99, 256),
}


@pytest.mark.parametrize("protocol", ["aligned", "as-published"])
@pytest.mark.parametrize("track", PRESETS)
def test_presets_are_the_cards(track: tuple[str, str], protocol: str) -> None:
    o = AVCAOptions.effective(Track(*track), protocol)
    assert isinstance(o, AVCAOptions)
    values = (o.dropout_encoder, o.dropout_projection, o.dropout_decoder, o.batch_norm_momentum, o.batch_size)
    assert values == PRESETS[track]
    assert (o.learning_rate, o.weight_decay, o.batches_per_epoch, o.epochs, o.margin) == (1e-3, 1e-5, 500, 50, 1.0)
    assert o.reference_batch_norm is (protocol == "as-published")


def small(**options: Any) -> AVCA:
    return AVCA(AVCAOptions.model_validate({"batches_per_epoch": 3, "batch_size": 16, **options}))


AUDIO = {"encode_audio", "project_audio", "rebuild_audio"}
VISUAL = {"encode_visual", "project_visual", "rebuild_visual"}
ATTENTION = {"attention", "positions"}


@pytest.mark.parametrize(
    ("options", "absent", "hears"),
    [
        ({}, set(), True),
        ({"cross_attention": False}, ATTENTION, False),
        ({"cross_attention": False, "output": "mean"}, ATTENTION, True),
        ({"modalities": "visual"}, AUDIO - {"encode_audio"}, True),
        ({"modalities": "audio"}, VISUAL - {"encode_visual"}, True),
        ({"modalities": "visual", "cross_attention": False, "reference_batch_norm": True}, AUDIO | ATTENTION, False),
        ({"modalities": "audio", "cross_attention": False}, VISUAL | ATTENTION, True),
    ],
)
def test_ablations_leave_parts_out(options: dict[str, Any], absent: set[str], hears: bool) -> None:
    train = simulated_training()
    method = fitted(small(**options), train)
    parts = {name.split(".")[0] for name in method.state()} - {"dims"}
    assert parts == (AUDIO | VISUAL | ATTENTION | {"project_text", "decode"}) - absent

    scores = method.predict(train.clips, train.classes)
    assert bool(scores.isfinite().all())
    other = Clips(train.clips.audio.flip(0), train.clips.visual)
    assert hears != torch.allclose(method.predict(other, train.classes), scores)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"modalities": "audio", "output": "visual"}, "needs a branch"),
        ({"modalities": "visual", "output": "mean"}, "needs a branch"),
        (dict.fromkeys(LOSSES, False), "at least one"),
        ({"output": "both"}, "output"),
        ({"dropout_encoder": 1.0}, "dropout_encoder"),
    ],
)
def test_impossible_options_are_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        AVCAOptions.effective(Track("ucf", "main"), "aligned", options)


@pytest.mark.parametrize("protocol", ["aligned", "as-published"])
def test_it_learns_classes_it_saw_and_transfers_to_others(protocol: str) -> None:
    train = simulated_training(classes=30, clips_per_class=15, text=12)
    classes = simulated_classes(36, text=12, trained=30)
    assert torch.equal(classes.vectors[:30], train.classes.vectors)
    options = AVCAOptions.effective(Track("ucf", "demo"), protocol, {"batches_per_epoch": 60, "epochs": 2})
    method = fitted(AVCA(options), train, SimulatedProgress(epochs=2))
    labels = torch.arange(30).repeat(8)
    clips = simulated_clips(classes, labels, seed=1)
    assert (method.predict(clips, train.classes).argmax(1) == labels).float().mean() > 0.5

    unseen = torch.arange(30, 36).repeat(20)
    scores = method.predict(simulated_clips(classes, unseen, seed=2), classes)[:, 30:]
    assert (scores.argmax(1) == unseen - 30).float().mean() > 0.4
