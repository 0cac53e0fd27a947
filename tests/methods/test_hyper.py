"""The three hyperbolic methods: AVCA plus the alignment loss, their options and presets."""

from __future__ import annotations

import csv
import json
from importlib.resources import files
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from avbench.harness.errors import UsageError
from avbench.harness.plugins.registry import plugins
from avbench.harness.testing.simulated import fitted, simulated_classes, simulated_training
from avbench.harness.tracks import Track
from avbench.leaderboard.claims import claims
from avbench.methods.avca import AVCA, AVCAOptions
from avbench.methods.families.hyper import Alignment
from avbench.methods.hyper_alignment import HyperAlignment
from avbench.methods.hyper_multiple import HyperMultiple
from avbench.methods.hyper_single import HyperSingle
from avbench.methods.learning.batch import Batch, Dims
from avbench.methods.learning.hyperbolic import Euclidean, Hyperbolic, Sphere, alignment

METHODS: tuple[type[Alignment], ...] = (HyperAlignment, HyperSingle, HyperMultiple)
PREDICTED: tuple[type[Alignment], ...] = (HyperSingle, HyperMultiple)
DIMS = Dims(audio=20, visual=30, text=300, classes=5, unseen=0)
NO_DROPOUT = {"dropout_encoder": 0.0, "dropout_projection": 0.0, "dropout_decoder": 0.0}
TRACKS = [Track(d, f) for d in ("ucf", "activitynet", "vggsound") for f in ("main", "cls")]
BY_SLUG = {method.info.slug: method for method in METHODS}


def built(method: type[Alignment], dims: Dims = DIMS, **options: Any) -> tuple[Alignment, nn.ModuleDict]:
    torch.manual_seed(0)
    learner = method(method.Options.model_validate(options))
    net = nn.ModuleDict(learner.build(dims))
    learner._fitted = dims, net
    return learner, net


def batch(dtype: torch.dtype = torch.float32) -> Batch:
    torch.manual_seed(1)
    labels = torch.stack([torch.arange(12) % 5, (torch.arange(12) + 1) % 5], dim=1)
    vectors = simulated_classes(5).vectors.to(dtype)
    audio, visual = torch.randn(12, 2, 20, dtype=dtype), torch.randn(12, 2, 30, dtype=dtype)
    return Batch(audio, visual, labels, vectors[labels], vectors)


def trained(method: type[Alignment], **options: Any) -> dict[str, Tensor]:
    """The state after a few steps."""
    small = {"batches_per_epoch": 4, "batch_size": 12, **options}
    return fitted(method(method.Options.model_validate(small)), simulated_training()).state()


def test_parameter_counts_are_the_cards() -> None:
    dims = Dims(audio=512, visual=512, text=300, classes=30, unseen=0)
    avca = 1_692_508

    def count(method: type[Alignment], **options: Any) -> int:
        return built(method, dims, **options)[0].parameters() - avca

    assert count(HyperAlignment) == 0
    assert count(HyperSingle) == 601
    for curvatures in (1, 2, 3):
        assert count(HyperMultiple, geometry="+".join("h" * curvatures)) == 601 * curvatures
    assert count(HyperMultiple, geometry="e+s+h") == 601 * 2
    assert count(HyperMultiple, geometry="e+e") == 0
    assert count(HyperSingle, location="attended") == 601
    assert count(HyperSingle, location="projected") == 2 * 64 + 1
    assert count(HyperSingle, train_head=False) == 0
    assert built(HyperSingle, dims, train_head=False)[1]["curvatures"].weight.numel() == 600


@pytest.mark.parametrize(
    ("method", "aligned", "published"),
    [
        (HyperAlignment, (0.2, 0.2, 0.2, 0.2, 0.5, 0.1), (0.15, 0.19, 0.20, 0.22, 0.46, 0.09)),
        (HyperSingle, (0.4,) * 6, (0.34, 0.13, 0.37, 0.11, 0.03, 0.05)),
        (HyperMultiple, (0.4,) * 6, (0.50, 0.43, 0.37, 0.13, 0.36, 0.04)),
    ],
)
def test_presets_are_the_cards(
    method: type[Alignment], aligned: tuple[float, ...], published: tuple[float, ...]
) -> None:
    spaces = (3, 2, 2, 3, 2, 3) if method is HyperMultiple else (1,) * 6
    expected = {"aligned": (aligned, "cosine", True), "as-published": (published, "norm-product", False)}
    for protocol, (curvatures, similarity, train_head) in expected.items():
        for track, curvature, count in zip(TRACKS, curvatures, spaces, strict=True):
            o = method.Options.effective(track, protocol).model_dump()
            assert o["curvature"] == curvature
            assert o["similarity"] == similarity
            assert o["geometry"] == "+".join("h" * count)
            assert o.get("train_head", train_head) == train_head
            assert (o["frobenius"], o["alignment_weight"], o["align_negatives"]) == (False, 1e-3, True)
            assert o["location"] == "encoded"
            avca = AVCAOptions.effective(track, protocol).model_dump()
            assert {name: o[name] for name in avca} == avca


@pytest.mark.parametrize("location", ["encoded", "attended", "projected"])
@pytest.mark.parametrize("align_negatives", [False, True])
@pytest.mark.parametrize("frobenius", [False, True])
def test_the_loss_is_avcas_plus_the_weighted_alignment_of_each_half(
    location: str, align_negatives: bool, frobenius: bool
) -> None:
    options = {"location": location, "align_negatives": align_negatives, "frobenius": frobenius}
    method, net = built(
        HyperAlignment, **NO_DROPOUT, **options, alignment_weight=3.0, similarity="norm-product", curvature=1e-4
    )
    net, pairs = net.double(), batch(torch.float64)
    features = getattr(method.embed(net, pairs.audio, pairs.visual), location)
    halves = [
        alignment(features["visual"][:, i], features["audio"][:, i], Hyperbolic(1e-4), "norm-product", frobenius)
        for i in range(1 + align_negatives)
    ]
    assert min(halves) > 1e-8
    added = method.loss(net, pairs) - AVCA(AVCAOptions.model_validate(NO_DROPOUT)).loss(net, pairs)
    torch.testing.assert_close(added, 3 * torch.stack(halves).sum(), rtol=1e-6, atol=0)


def test_curvature_is_predicted_per_clip_from_video_then_audio() -> None:
    method, net = built(HyperMultiple, geometry="h+h+s", curvature=0.7, similarity="norm-product", **NO_DROPOUT)
    head, pairs = net["curvatures"], batch()
    clips = method.embed(net, pairs.audio, pairs.visual)
    losses = []
    for half in (0, 1):
        visual, audio = (clips.encoded[x][:, half] for x in ("visual", "audio"))
        k = 0.7 * torch.sigmoid(torch.cat([visual, audio], dim=1) @ head.weight.T + head.bias)
        assert k.shape == (12, 3)
        assert k.std(0).min() > 1e-3
        spaces = [Hyperbolic(k[:, :1]), Hyperbolic(k[:, 1:2]), Sphere(k[:, 2:])]
        losses += [alignment(visual, audio, space, "norm-product", False) / 3 for space in spaces]
    torch.testing.assert_close(method.alignment_loss(net, clips), torch.stack(losses).sum())
    assert all(0 < k.mean() < 0.7 for k in method.curvatures(net, clips.encoded["visual"], clips.encoded["audio"]))


@pytest.mark.parametrize("similarity", ["cosine", "norm-product", "distance"])
def test_a_saturated_head_keeps_curvature_positive(similarity: str) -> None:
    method, net = built(HyperMultiple, similarity=similarity)
    net["curvatures"].bias.data.copy_(torch.tensor([-1e4, 1e4]))
    pairs = batch()
    clips = method.embed(net, pairs.audio, pairs.visual)
    flat, limit = method.curvatures(net, clips.encoded["visual"], clips.encoded["audio"])
    assert torch.equal(flat, torch.full_like(flat, 1e-6))
    assert torch.equal(limit, torch.full_like(limit, 0.4))
    method.loss(net, pairs).backward()
    assert all(p.grad.isfinite().all() for p in net.parameters() if p.grad is not None)


def test_a_mixture_is_the_mean_over_its_spaces() -> None:
    method, net = built(HyperAlignment, geometry="e+s+h", similarity="distance", curvature=0.3)
    pairs = batch()
    clips = method.embed(net, pairs.audio, pairs.visual)
    spaces = (Euclidean(), Sphere(0.3), Hyperbolic(0.3))
    losses = [
        alignment(clips.encoded["visual"][:, half], clips.encoded["audio"][:, half], space, "distance", False)
        for half in (0, 1)
        for space in spaces
    ]
    torch.testing.assert_close(method.alignment_loss(net, clips), torch.stack(losses).sum() / 3)


@pytest.mark.parametrize("location", ["encoded", "attended", "projected"])
def test_under_cosine_all_three_methods_are_one(location: str) -> None:
    """Loss and gradients of every geometry and curvature, fixed or predicted, are those of Euclidean alignment."""
    pairs = batch()

    def gradients(method: type[Alignment], **options: Any) -> dict[str, Tensor]:
        learner, net = built(method, location=location, alignment_weight=1e3, **NO_DROPOUT, **options)
        loss = learner.loss(net, pairs)
        loss.backward()
        grads = {name: p.grad for name, p in net.named_parameters() if p.grad is not None}
        return {"loss": loss.detach(), **{n: g for n, g in grads.items() if not n.startswith("curvatures")}}

    expected = gradients(HyperAlignment, geometry="e")
    without = gradients(HyperAlignment, geometry="e", similarity="norm-product")
    assert not torch.allclose(expected["encode_audio.0.linear.weight"], without["encode_audio.0.linear.weight"], 1e-2)
    scale = max(g.abs().max().item() for name, g in expected.items() if name != "loss")
    for method, options in (
        *((HyperAlignment, {"curvature": k}) for k in (1e-6, 0.01, 0.2, 1.0)),
        (HyperAlignment, {"geometry": "s", "curvature": 1.0}),
        (HyperAlignment, {"geometry": "h+s"}),
        (HyperSingle, {}),
        (HyperSingle, {"curvature": 100.0}),
        (HyperMultiple, {"geometry": "h+e+s"}),
    ):
        found = gradients(method, **options)
        assert found.keys() == expected.keys()
        for name, value in found.items():
            torch.testing.assert_close(value, expected[name], rtol=1e-4, atol=1e-5 * scale)


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("similarity", ["cosine", "norm-product", "distance"])
def test_training_stays_finite_and_learns(method: type[Alignment], similarity: str) -> None:
    train = simulated_training()
    options = {"batches_per_epoch": 40, "batch_size": 32, "similarity": similarity, "alignment_weight": 1.0}
    learner = fitted(method(method.Options.model_validate(options)), train)
    assert all(tensor.isfinite().all() for tensor in learner.state().values())
    scores = learner.predict(train.clips, train.classes)
    assert (scores.argmax(1) == train.labels).float().mean() > 0.6


@pytest.mark.parametrize("similarity", ["norm-product", "distance"])
def test_without_cosine_geometry_and_curvature_change_the_fit(similarity: str) -> None:
    first = "encode_audio.0.linear.weight"
    base = trained(HyperAlignment, similarity=similarity)[first]
    for options in ({"geometry": "e"}, {"geometry": "s"}, {"geometry": "h+s"}, {"curvature": 0.01}):
        assert not torch.allclose(trained(HyperAlignment, similarity=similarity, **options)[first], base, atol=1e-5)


@pytest.mark.parametrize("method", PREDICTED)
def test_an_untrained_head_stays_as_drawn(method: type[Alignment]) -> None:
    options = {"similarity": "norm-product", "geometry": "e+s", "alignment_weight": 1.0}
    fixed, moved = trained(method, train_head=False, **options), trained(method, **options)
    torch.manual_seed(0)
    start = method(method.Options.model_validate(options)).build(Dims(32, 48, 300, 6, 0))["curvatures"].state_dict()
    for name, value in start.items():
        assert torch.equal(fixed[f"curvatures.{name}"], value)
        assert not torch.allclose(moved[f"curvatures.{name}"], value, atol=1e-4)


@pytest.mark.parametrize("method", METHODS)
def test_what_has_no_effect_is_declared(method: type[Alignment]) -> None:
    properties = method.Options.model_json_schema()["properties"]
    own = properties.keys() - AVCAOptions.model_fields.keys()
    declared = {name for name in own if "no_effect" in properties[name]}
    assert declared == {"geometry", "curvature", "train_head"} & properties.keys()
    assert any("no curvature can matter" in note for note in method.info.notes)
    assert all(d.option in (None, *properties) for d in method.info.differences)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"geometry": "h+x"}, "pattern"),
        ({"geometry": ""}, "pattern"),
        ({"curvature": 0.0}, "curvature"),
        ({"similarity": "dot"}, "similarity"),
        ({"modalities": "audio", "location": "projected"}, "compares both"),
        ({"modalities": "visual", "cross_attention": False}, "compares both"),
        ({"loss_t": False, "loss_rec": False, "loss_ct": False, "loss_w": False, "loss_r": False}, "at least one"),
    ],
)
def test_impossible_options_are_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        HyperMultiple.Options.effective(Track("ucf", "main"), "aligned", options)


def test_one_trained_branch_can_still_be_aligned() -> None:
    for location in ("encoded", "attended"):
        state = trained(HyperSingle, modalities="visual", location=location)
        assert "project_audio.0.linear.weight" not in state
        assert all(tensor.isfinite().all() for tensor in state.values())


def rows_of_variants() -> list[dict[str, str]]:
    with files("avbench.methods").joinpath("variants.csv").open(encoding="utf-8", newline="") as lines:
        return [row for row in csv.DictReader(lines) if row["method"] in BY_SLUG]


def test_every_variant_of_the_paper_can_be_run() -> None:
    rows = rows_of_variants()
    named = {(row["method"], row["variant"], row["paper"], row["table"]) for row in rows}
    assert len(named) == len(rows) == 25
    printed = {(c.method, c.variant, c.paper, c.table) for c in claims() if c.method in BY_SLUG and c.variant}
    assert printed == named
    for row in rows:
        effective = BY_SLUG[row["method"]].Options.effective(Track("ucf", "cls"), "aligned", json.loads(row["options"]))
        what, value = row["variant"].split("=")
        options = effective.model_dump()
        if what == "curvature":
            number = float(value)
            assert options["geometry"] == ("h" if number < 0 else "s" if number > 0 else "e")
            assert number == 0 or options["curvature"] == abs(number)
        elif what == "aligned":
            assert {"phi": "encoded", "phi-att": "attended", "theta": "projected"}[value] == options["location"]
        elif what == "curvatures":
            assert options["geometry"] == "+".join("h" * int(value))
        else:
            assert options[what] == value


@pytest.mark.parametrize("protocol", ["aligned", "as-published"])
@pytest.mark.parametrize("track", TRACKS, ids=str)
def test_one_curvature_is_hyper_single_and_the_printed_default_is_itself(track: Track, protocol: str) -> None:
    """Table 5 prints Hyper-single's numbers for one curvature, table 3 those of the headline for curvature -0.2."""

    def effective(slug: str, variant: str | None = None) -> dict[str, Any]:
        given = plugins().variant(slug, variant).options_on(track, protocol) if variant else {}
        return BY_SLUG[slug].Options.effective(track, protocol, given).model_dump()

    assert effective("hyper-multiple", "curvatures=1") == effective("hyper-single")
    if str(track) in ("ucf/cls", "activitynet/cls"):
        assert effective("hyper-alignment", "curvature=-0.2") == effective("hyper-alignment")
        assert effective("hyper-alignment", "curvature=-0.4")["curvature"] == 0.4


def test_the_pages_count_the_values_of_the_readme() -> None:
    values = [
        method.Options.effective(track, "as-published").model_dump()["curvature"]
        for method in METHODS
        for track in TRACKS
    ]
    for method in METHODS:
        (selection,) = (d for d in method.info.differences if d.topic == "selection of the curvature")
        assert selection.code.startswith(f"{len(values)} values of two decimals")
    assert all(value == round(value, 2) for value in values)
    (limit,) = (d for d in HyperSingle.info.differences if d.topic == "limit of predicted curvatures")
    assert limit.code.endswith(f"from {min(values[6:]):.2f} to {max(values[6:]):.2f}")


@pytest.mark.cuda
@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("similarity", ["cosine", "norm-product", "distance"])
def test_the_loss_can_be_captured(method: type[Alignment], similarity: str) -> None:
    from avbench.methods.learning.steps import RepeatedStep

    learner, net = built(method, similarity=similarity, geometry="h+e+s", **NO_DROPOUT)
    net.cuda()
    pairs = batch()
    on_device = Batch(*(getattr(pairs, name).cuda() for name in ("audio", "visual", "labels", "vectors", "classes")))
    update = learner.updates(net, torch.tensor(1e-3, device="cuda"))
    step = RepeatedStep(lambda: update(on_device), torch.device("cuda", 0))
    for _ in range(6):
        step()
    assert step.graph is not None
    assert all(p.isfinite().all() for p in net.parameters())
