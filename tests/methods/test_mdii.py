"""MDII against plain formulas of its card."""

from __future__ import annotations

import math
from decimal import Decimal, localcontext

import pytest
import torch
from torch import Tensor
from torch.nn.functional import kl_div

from avbench.harness.testing.simulated import SimulatedProgress, fitted, simulated_training
from avbench.harness.tracks import Track
from avbench.methods.learning.batch import Batch, Dims
from avbench.methods.mdii import (
    MDII,
    MDIIOptions,
    Posteriors,
    classification_loss,
    log_complement,
    pseudo_mask,
)

SIZES = Dims(audio=512, visual=512, text=300, classes=5, unseen=0)


def posteriors(clips: int = 7, classes: int = 5) -> Posteriors:
    generator = torch.Generator().manual_seed(0)
    a, v = torch.randn(2, clips, classes, dtype=torch.float64, generator=generator).log_softmax(-1)
    return Posteriors(audio=a, visual=v)


def test_mutual_divergence_is_half_the_sum_of_both_directions() -> None:
    p = posteriors()
    both = kl_div(p.audio, p.visual, log_target=True, reduction="batchmean") + kl_div(
        p.visual, p.audio, log_target=True, reduction="batchmean"
    )
    assert p.mutual_divergence().item() == pytest.approx(both.item() / 2)
    assert Posteriors(p.visual, p.audio).mutual_divergence().item() == pytest.approx(p.mutual_divergence().item())
    assert Posteriors(p.audio, p.audio).mutual_divergence().item() == 0


def test_a_held_teacher_gives_the_same_loss_and_the_students_gradient() -> None:
    p = posteriors()
    audio, visual = (x.clone().requires_grad_() for x in p)
    taught = Posteriors(audio, visual).taught()
    assert taught.item() == pytest.approx(p.mutual_divergence().item())
    gradients = torch.autograd.grad(taught, [audio, visual])
    # KL(v || a) has the gradient -v with respect to log a, where v is held, and the other way round; mean over clips
    torch.testing.assert_close(gradients, (-p.visual.exp() / 14, -p.audio.exp() / 14))


def test_the_mixture_is_the_weighted_mean_of_probabilities() -> None:
    p = posteriors()
    for share in (0.5, 0.2):
        expected = share * p.visual.exp() + (1 - share) * p.audio.exp()
        torch.testing.assert_close(p.mixture(share).exp(), expected)
        torch.testing.assert_close(p.mixture(share).exp().sum(1), torch.ones(7, dtype=torch.float64))


def test_classification_loss_by_loops() -> None:
    p, labels = posteriors().mixture(0.5), torch.tensor([0, 1, 2, 3, 4, 0, 1])
    total = 0.0
    for i, y in enumerate(labels.tolist()):
        for c in range(5):
            q = math.exp(p[i, c].item())
            total -= math.log(q) if c == y else math.log(1 - q)
    assert classification_loss(p, labels).item() == pytest.approx(total / 7)


def printed_loss(logits: list[Decimal], label: int) -> Decimal:
    """Eq. 7 of one clip, as it stands."""
    whole = sum(z.exp() for z in logits)
    p = [z.exp() / whole for z in logits]
    return -p[label].ln() - sum((1 - q).ln() for c, q in enumerate(p) if c != label)


@pytest.mark.parametrize("classes", [2, 10])
@pytest.mark.parametrize("gap", [0, 3, 17, 40, 500])
@pytest.mark.parametrize("label", [0, 1])
def test_the_surest_clips_have_the_loss_and_gradient_of_eq_7(gap: int, classes: int, label: int) -> None:
    """Against 300 digits. Class 1 leads by ``gap``, so with label 0 the clip is wrong beyond doubt."""
    plain = [0, gap, *[0] * (classes - 2)]
    logits = torch.tensor([plain], dtype=torch.float32, requires_grad=True)
    log_p = logits.log_softmax(1)
    loss = classification_loss(Posteriors(log_p, log_p).mixture(0.5), torch.tensor([label]))
    (gradient,) = torch.autograd.grad(loss, logits)
    with localcontext(prec=300):
        exact, step = [Decimal(z) for z in plain], Decimal("1e-30")
        assert loss.item() == pytest.approx(float(printed_loss(exact, label)), rel=1e-5, abs=1e-6)
        for c in range(classes):
            up, down = ([z + d * (k == c) for k, z in enumerate(exact)] for d in (step, -step))
            slope = (printed_loss(up, label) - printed_loss(down, label)) / (2 * step)
            assert gradient[0, c].item() == pytest.approx(float(slope), rel=1e-4, abs=1e-6)


def test_a_clip_that_is_wrong_beyond_doubt_still_teaches() -> None:
    """Clipped at 1e-7, its gradient was exactly 0."""
    logits = torch.zeros(1, 10)
    logits[0, 3] = 17.0
    logits.requires_grad_()
    classification_loss(logits.log_softmax(1), torch.tensor([0])).backward()  # type: ignore[no-untyped-call]
    assert logits.grad is not None
    assert logits.grad[0, [0, 3]].tolist() == pytest.approx([-1 - 1 / 9, 2.0], rel=1e-4)


def test_the_complement_of_any_posterior() -> None:
    p = torch.tensor([[0.5, 0.5, 0.0], [1.0, 1e-30, 0.0], [0.2, 0.3, 0.5], [1 - 1e-12, 1e-12, 0.0]]).double()
    log_p = p.log().clamp_min(-200).float().requires_grad_()
    found = log_complement(log_p)
    expected = [[0.5, 0.5, 1.0], [1e-30, 1.0, 1.0], [0.8, 0.7, 0.5], [1e-12, 1.0, 1.0]]
    torch.testing.assert_close(found, torch.tensor(expected).double().log().float(), rtol=1e-5, atol=1e-6)
    found.sum().backward()  # type: ignore[no-untyped-call]
    assert log_p.grad is not None
    assert bool(log_p.grad.isfinite().all())


def test_one_training_class_gives_no_loss() -> None:
    logits = torch.zeros(3, 1, requires_grad=True)
    classification_loss(logits.log_softmax(1), torch.zeros(3, dtype=torch.int64)).backward()  # type: ignore[no-untyped-call]
    assert logits.grad is not None
    assert logits.grad.tolist() == [[0.0]] * 3


@pytest.mark.parametrize(("share", "kept"), [(0.0, 512), (0.1, 461), (0.2, 410)])
def test_pseudo_masks_keep_the_cards_number_of_features(share: float, kept: int) -> None:
    g, x = torch.randn(2, 6, 512, generator=torch.Generator().manual_seed(1))
    for saliency in ("absolute", "signed", "times-input"):
        mask = pseudo_mask(g, x, share, saliency)
        assert mask.sum(1).tolist() == [kept] * 6
        assert torch.equal(mask, pseudo_mask(3 * g, x, share, saliency))


def test_pseudo_masks_keep_the_most_salient() -> None:
    g, x = torch.tensor([[-3.0, 2.0, 1.0, 0.5]]), torch.tensor([[0.1, 1.0, 1.0, 9.0]])
    assert pseudo_mask(g, x, 0.5, "absolute").tolist() == [[1, 1, 0, 0]]
    assert pseudo_mask(g, x, 0.5, "signed").tolist() == [[0, 1, 1, 0]]
    assert pseudo_mask(g, x, 0.5, "times-input").tolist() == [[0, 1, 0, 1]]


def test_features_that_are_level_share_their_fate() -> None:
    g = torch.tensor([[2.0, 1.0, 1.0, 1.0, 0.0], [0.0, 0.0, 0.0, 0.0, 0.0], [5.0, 4.0, 3.0, 2.0, 1.0]])
    expected = [[1, 1, 1, 1, 0], [1, 1, 1, 1, 1], [1, 1, 0, 0, 0]]
    assert pseudo_mask(g, torch.ones(3, 5), 0.6, "absolute").tolist() == expected
    order = torch.tensor([3, 1, 4, 0, 2])
    assert torch.equal(
        pseudo_mask(g[:, order], torch.ones(3, 5), 0.6, "absolute"), torch.tensor(expected).float()[:, order]
    )
    assert not pseudo_mask(g, torch.ones(3, 5), 0.95, "absolute").any()  # rounds to no feature


def batch(clips: int = 8) -> Batch:
    generator = torch.Generator().manual_seed(2)
    vectors = torch.randn(5, 300, generator=generator)
    labels = torch.arange(clips) % 5
    audio, visual = torch.rand(2, clips, 512, generator=generator)
    return Batch(audio, visual, labels, vectors[labels], vectors)


def network(**options: object) -> tuple[MDII, torch.nn.ModuleDict]:
    torch.manual_seed(0)
    zero = {"dropout_attention": 0, "dropout_embedding": 0}
    method = MDII(MDIIOptions.model_validate({**zero, **options}))
    return method, torch.nn.ModuleDict(method.build(SIZES)).train()


@pytest.mark.parametrize("gradient_of", ["raw", "masked"])
def test_the_whole_loss_from_its_parts(gradient_of: str) -> None:
    """The gradient of L_CLS with respect to the raw features goes through the masks too."""
    method, net = network(gradient_of=gradient_of)
    b = batch()
    raw = {"audio": b.audio.clone().requires_grad_(), "visual": b.visual.clone().requires_grad_()}
    masks = method.masks(net, raw)
    masked = {x: features * masks[x] for x, features in raw.items()}
    for features in masked.values():
        features.retain_grad()
    p = method.posteriors(net, masked, b.classes)
    cls = classification_loss(p.mixture(0.5), b.labels)
    cls.backward(retain_graph=True)  # type: ignore[no-untyped-call]
    expected = cls + p.mutual_divergence()
    for x, mask in masks.items():
        gradient = {"raw": raw, "masked": masked}[gradient_of][x].grad
        assert gradient is not None
        for i in range(len(mask)):
            target = torch.zeros(512)
            target[gradient[i].abs().argsort(descending=True)[:461]] = 1
            expected = expected + 0.5 * (mask[i] - target).norm() / len(mask)
    assert method.loss(net, b).item() == pytest.approx(expected.item(), rel=1e-5)


def test_the_mask_loss_trains_the_mask_networks_only() -> None:
    def gradients(weight: float) -> dict[str, Tensor]:
        method, net = network(mask_weight=weight)
        method.loss(net, batch()).backward()  # type: ignore[no-untyped-call]
        return {name: p.grad for name, p in net.named_parameters() if p.grad is not None}

    light, heavy = gradients(0.1), gradients(5.0)
    changed = {name.partition(".")[0] for name in light if not torch.allclose(light[name], heavy[name], atol=1e-7)}
    assert changed == {"mask_audio", "mask_visual"}


@pytest.mark.parametrize("gradient_of", ["raw", "masked"])
def test_a_clip_without_gradient_has_no_mask_to_imitate(gradient_of: str) -> None:
    """Its features cannot be ranked: whatever is kept would be arbitrary."""
    method, net = network(gradient_of=gradient_of, mask_weight=5.0)
    with torch.no_grad():
        for x in ("audio", "visual"):
            net[f"enter_{x}"].weight.zero_()  # nothing of the features reaches the loss
    method.loss(net, batch()).backward()  # type: ignore[no-untyped-call]
    grads = [p.grad for x in ("audio", "visual") for p in net[f"mask_{x}"].parameters()]
    assert not any(bool(g.any()) for g in grads if g is not None)


def test_masks_without_a_loss_of_their_own_can_be_run() -> None:
    """The other reading of table 3: masks are there, L_M is not."""
    given = {"mask_weight": 0, "distillation_weight": 0}
    options = MDIIOptions.effective(Track("ucf", "main"), "as-published", given)
    assert isinstance(options, MDIIOptions)
    assert options.masks
    method, net = network(**given)
    b = batch()
    raw = {"audio": b.audio, "visual": b.visual}
    masked = {x: f * m for (x, f), m in zip(raw.items(), method.masks(net, raw).values(), strict=True)}
    expected = classification_loss(method.posteriors(net, masked, b.classes).mixture(0.5), b.labels)
    loss = method.loss(net, b)
    assert loss.item() == pytest.approx(expected.item(), rel=1e-6)
    loss.backward()  # type: ignore[no-untyped-call]
    assert bool(net["mask_audio"][0].weight.grad.any())


@pytest.mark.parametrize(
    ("tail", "norms", "dropout"),
    [("linear", 1, None), ("batch-norm-relu", 2, 0.0), ("batch-norm-relu-dropout", 2, 0.3)],
)
def test_tails_of_the_embeddings(tail: str, norms: int, dropout: float | None) -> None:
    _, net = network(tail=tail, dropout_embedding=0.3)
    for part in ("embed_audio", "embed_visual", "embed_text"):
        first, last = net[part]
        assert first.dropout == 0.3
        assert [hasattr(layer, "running_mean") for layer in (first, last)].count(True) == norms
        assert getattr(last, "dropout", None) == dropout
        assert bool((net[part].eval()(torch.randn(9, 300)) < 0).any()) == (norms == 1)


def test_the_page_tells_what_the_tail_does_and_on_which_data() -> None:
    note, _ = (note for note in MDII.info.notes if "batch-norm-relu-dropout" in note)
    assert "simulated demo features" in note
    assert "Validation HM" in note
    assert {d.option for d in MDII.info.differences} >= {"tail", "mask_weight"}


def test_without_masks_the_features_enter_as_they_are() -> None:
    method, net = network(masks=False)
    assert not [name for name in net if name.startswith("mask")]
    method.loss(net, batch()).backward()  # type: ignore[no-untyped-call]


def test_parameters_by_hand() -> None:
    masks = 2 * (512 * 512 + 512 + 512 * 512 + 512)
    entrances = 2 * (512 * 300 + 300) + 2 * 300
    attention = 400_264  # AVCA's card
    embedding = 300 * 512 + 512 + 2 * 512 + 512 * 64 + 64
    for tail, more in (("linear", 0), ("batch-norm-relu", 2 * 64), ("batch-norm-relu-dropout", 2 * 64)):
        _, net = network(tail=tail)
        assert sum(p.numel() for p in net.parameters()) == masks + entrances + attention + 3 * (embedding + more)


def test_restricting_the_candidates_changes_the_mixture() -> None:
    """Scores depend on which classes enter the softmax; both scales rank a clip's classes alike."""
    train = simulated_training(classes=5, clips_per_class=6)
    options = MDIIOptions(epochs=1, batches_per_epoch=2, batch_size=8)
    method = fitted(MDII(options), train, SimulatedProgress(epochs=1))
    scores = method.predict(train.clips, train.classes)
    torch.testing.assert_close(scores.exp().sum(1), torch.ones(len(scores)))
    plain = MDII(options.model_copy(update={"score": "probability"}))
    plain.load_state(method.state())
    torch.testing.assert_close(plain.predict(train.clips, train.classes), scores.exp())


PRESETS = {
    # masked_share, dropout_attention, dropout_embedding (card, section 4)
    "ucf": (0.1, 0.2, 0.3),
    "activitynet": (0.1, 0.2, 0.2),
    "vggsound": (0.2, 0.0, 0.0),
}


@pytest.mark.parametrize("features", ["main", "cls"])
@pytest.mark.parametrize("protocol", ["aligned", "as-published"])
@pytest.mark.parametrize("dataset", PRESETS)
def test_presets_are_the_cards(dataset: str, protocol: str, features: str) -> None:
    o = MDIIOptions.effective(Track(dataset, features), protocol)
    assert isinstance(o, MDIIOptions)
    assert (o.masked_share, o.dropout_attention, o.dropout_embedding) == PRESETS[dataset]
    assert (o.learning_rate, o.weight_decay, o.batch_size, o.batches_per_epoch, o.epochs) == (1e-3, 1e-5, 256, 500, 50)
    assert (o.distillation_weight, o.mask_weight, o.visual_share, o.temperature) == (1.0, 0.5, 0.5, 1.0)
    assert o.tail == "linear"
