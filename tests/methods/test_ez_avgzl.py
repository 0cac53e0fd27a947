"""EZ-AVGZL: what its loss and scores are made of, its presets, and the ablations of its paper."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from avbench.harness.cli import cli
from avbench.harness.contract.data import Classes, Clips, TrainingSet
from avbench.harness.errors import MethodError
from avbench.harness.plugins.registry import plugins
from avbench.harness.testing.simulated import SimulatedProgress, fitted, moved, simulated_classes, simulated_training
from avbench.harness.tracks import Track
from avbench.methods import ez_avgzl
from avbench.methods.ez_avgzl import EZAVGZL, EZAVGZLOptions
from avbench.methods.learning.batch import Batch, Dims
from avbench.methods.learning.class_embeddings import nearest_distance

DIMS = Dims(audio=20, visual=30, text=300, classes=5, unseen=3)
SMALL: dict[str, Any] = {"batches_per_epoch": 2, "batch_size": 8, "layers": 1, "heads": 2, "head_width": 8}
NO_DROPOUT: dict[str, Any] = dict.fromkeys(
    ("dropout_encoder", "dropout_token", "dropout_transformer", "dropout_output", "dropout_label"), 0.0
)


def built(**options: Any) -> tuple[EZAVGZL, nn.ModuleDict, Batch]:
    """A small method, its network and a batch, in double precision; its class vectors are not those of the batch."""
    torch.manual_seed(0)
    method = EZAVGZL(EZAVGZLOptions.model_validate({**SMALL, **NO_DROPOUT, **options}))
    net = nn.ModuleDict(method.build(DIMS)).double()
    net["classes"].get_buffer("vectors").copy_(simulated_classes(8, seed=1).vectors)
    vectors = simulated_classes(5).vectors.double()
    labels = torch.tensor([0, 1, 2, 0, 0, 4, 2])
    batch = Batch(torch.rand(7, 20).double(), torch.rand(7, 30).double(), labels, vectors[labels], vectors)
    return method, net, batch


def similarities(net: nn.ModuleDict, batch: Batch) -> Tensor:
    """Of each clip and each training class, one pair at a time, (B, C)."""
    tokens, _ = net["fusion"](batch.audio, batch.visual)
    vectors = net["classes"].get_buffer("vectors")
    rows = [[net["similarity"](clip[None], w[None])[0, 0] for w in vectors[:5]] for clip in tokens]
    return torch.stack([torch.stack(row) for row in rows])


@pytest.mark.parametrize("similarity", ["cross-attention", "cosine", "linear", "mlp"])
@pytest.mark.parametrize("temperature", [1.0, 0.5])
def test_the_loss_contrasts_with_every_training_class(similarity: str, temperature: float) -> None:
    method, net, batch = built(similarity=similarity, temperature=temperature)
    s = similarities(net, batch) / temperature
    terms = [-(s[i, y] - s[i].exp().sum().log()) for i, y in enumerate(batch.labels.tolist())]
    torch.testing.assert_close(method.loss(net, batch), sum(terms) / 7)


def test_the_printed_loss_contrasts_with_the_clips_of_the_batch() -> None:
    method, net, batch = built(contrast="batch")
    s, labels = similarities(net, batch), batch.labels.tolist()
    terms = []
    for i, y in enumerate(labels):
        terms.append(-(s[i, y].exp() / sum(s[i, k].exp() for k in labels)).log())
    loss = method.loss(net, batch)
    torch.testing.assert_close(loss, sum(terms) / 7)
    loss.backward()  # type: ignore[no-untyped-call]
    assert all(bool(p.grad.isfinite().all()) for p in net.parameters() if p.grad is not None)


def test_other_widths_of_text_are_mapped() -> None:
    method = EZAVGZL(EZAVGZLOptions.model_validate(SMALL))
    assert sum(p.numel() for p in method.build(DIMS)["query"].parameters()) == 0
    assert sum(p.numel() for p in method.build(replace(DIMS, text=384))["query"].parameters()) == 384 * 300 + 300


@pytest.mark.parametrize(
    ("similarity", "count"),
    [
        # norms of query and tokens; query, key and value maps; output map; norm and feed-forward; norm and score
        ("cross-attention", 4 * 300 + 3 * 300 * 512 + 512 * 300 + 300 + 600 + 38_528 + 38_700 + 600 + 300),
        ("cosine", 0),
        ("linear", 300 * 300),
        ("mlp", 600 * 300 + 300 + 300 + 1),
    ],
)
def test_parameters_by_hand(similarity: str, count: int) -> None:
    parts = EZAVGZL(EZAVGZLOptions.model_validate({"similarity": similarity})).build(Dims(128, 4096, 300, 30, 12))
    of_fusion = 7_269_972 - 64 - 2 * 19_392 - 2 * 20_100 + 19_392 + 20_100  # TCaF's network on UCF cls ...
    of_fusion -= 188_096 + 188_804  # ... without its projections
    assert sum(p.numel() for part in parts.values() for p in part.parameters()) == of_fusion + count


def training() -> TrainingSet:
    """Six training classes and four unseen ones; label vectors as near to each other as those of words."""
    known = simulated_classes(10)
    names = tuple(f"class {c}" for c in range(10))
    vectors = torch.nn.functional.normalize(known.vectors + known.vectors.mean(0) * 4, dim=1)
    train = simulated_training(classes=6, clips_per_class=8)
    return replace(
        train,
        classes=Classes(names[:6], names[:6], vectors[:6], torch.ones(6, dtype=torch.bool)),
        unseen=Classes(names[6:], names[6:], vectors[6:], torch.zeros(4, dtype=torch.bool)),
    )


def all_classes(train: TrainingSet) -> Classes:
    assert train.unseen is not None
    names = train.classes.names + train.unseen.names
    vectors = torch.cat([train.classes.vectors, train.unseen.vectors])
    return Classes(names, names, vectors, torch.arange(len(names)) < len(train.classes))


def optimised(train: TrainingSet, **options: Any) -> Tensor:
    method = fitted(EZAVGZL(EZAVGZLOptions.model_validate({**SMALL, **options})), train)
    return method.state()["classes.vectors"]


def test_all_classes_of_the_stage_move_apart_before_training() -> None:
    train = training()
    text = all_classes(train).vectors
    assert torch.equal(optimised(train, class_optimisation=False), torch.nn.functional.normalize(text, dim=1))
    assert nearest_distance(optimised(train)) == pytest.approx(1.25 * nearest_distance(text).item(), rel=0.02)
    own = optimised(train, optimise_unseen=False)
    assert nearest_distance(own[:6]) == pytest.approx(1.25 * nearest_distance(text[:6]).item(), rel=0.02)
    torch.testing.assert_close(own[6:], text[6:])


def test_proximity_without_separation_is_no_optimisation(capsys: pytest.CaptureFixture[str]) -> None:
    """Eq. 2 has its minimum where it starts; the page of the method says so."""
    train = training()
    unmoved = optimised(train, class_optimisation=False)
    torch.testing.assert_close(optimised(train, alpha=0.0), unmoved, rtol=0, atol=1e-4)
    cli.main(["methods", "show", "ez-avgzl"], standalone_mode=False)
    assert "eq. 2 has its minimum" in capsys.readouterr().out


def test_training_leaves_the_class_embeddings_alone() -> None:
    train = training()
    assert torch.equal(optimised(train, batches_per_epoch=1), optimised(train, batches_per_epoch=6))


def test_classes_are_known_by_name_whatever_their_order_and_mark() -> None:
    """Validation in the second stage asks for classes that were unseen in the first and are trained now."""
    train = training()
    method = fitted(EZAVGZL(EZAVGZLOptions.model_validate(SMALL)), train)
    every = all_classes(train)
    scores = method.predict(train.clips, every)
    order = [9, 2, 0, 7]
    names = tuple(every.names[i] for i in order)
    some = Classes(names, names, every.vectors[order], torch.ones(4, dtype=torch.bool))
    torch.testing.assert_close(method.predict(train.clips, some), scores[:, order], rtol=1e-4, atol=1e-5)
    other_names = Classes(("x", "y", "z", "u"), names, every.vectors[order], some.trained)
    assert not torch.allclose(method.predict(train.clips, other_names), scores[:, order], rtol=1e-4, atol=1e-5)


def test_an_unknown_class_enters_with_its_own_vector() -> None:
    train = training()
    method = fitted(EZAVGZL(EZAVGZLOptions.model_validate({**SMALL, "class_optimisation": False})), train)
    every = all_classes(train)
    renamed = tuple(f"other {name}" for name in every.names)
    strangers = Classes(renamed, renamed, 3 * every.vectors, every.trained)
    torch.testing.assert_close(method.predict(train.clips, strangers), method.predict(train.clips, every))


def test_scores_in_parts_are_those_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    train = training()
    method = fitted(EZAVGZL(EZAVGZLOptions.model_validate(SMALL)), train)
    every = all_classes(train)
    at_once = method.predict(train.clips, every)
    for pairs in (1, 35):
        monkeypatch.setattr(ez_avgzl, "PAIRS", pairs)
        torch.testing.assert_close(method.predict(train.clips, every), at_once, rtol=1e-4, atol=1e-5)


def test_temperature_divides_the_scores() -> None:
    method, net, batch = built()
    classes = simulated_classes(8, seed=1)
    known = Classes(classes.names, classes.prompts, classes.vectors.double(), classes.trained)
    clips, net = Clips(batch.audio, batch.visual), net.eval()
    half = EZAVGZL(EZAVGZLOptions.model_validate({**SMALL, **NO_DROPOUT, "temperature": 2.0}))
    torch.testing.assert_close(2 * half.scores(net, clips, known), method.scores(net, clips, known))


def test_without_alignment_it_is_tcaf_on_the_class_embeddings() -> None:
    train = training()
    method = fitted(EZAVGZL(EZAVGZLOptions.model_validate({**SMALL, "alignment": False})), train)
    parts = {name.partition(".")[0] for name in method.state()}
    tcaf = {"project_clip", "rebuild_clip", "project_label", "rebuild_label"}
    assert parts == {"dims", "classes", "fusion"} | tcaf
    scores = method.predict(train.clips, all_classes(train))
    assert bool((scores <= 0).all())
    with pytest.raises(MethodError, match="does not fit"):
        EZAVGZL(EZAVGZLOptions.model_validate(SMALL)).load_state(method.state())


PRESETS = {
    # TCaF's: layers, hidden width, dropouts of encoder, token, transformer, output and label
    ("ucf", "main"): (5, 256, 0.4, 0.2, 0.3, 0.2, 0.1),
    ("ucf", "cls"): (6, 512, 0.3, 0.2, 0.3, 0.1, 0.1),
    ("activitynet", "main"): (8, 128, 0.2, 0.2, 0.3, 0.1, 0.1),
    ("activitynet", "cls"): (6, 512, 0.3, 0.2, 0.4, 0.1, 0.1),
    ("vggsound", "main"): (8, 128, 0.2, 0.2, 0.5, 0.2, 0.2),
    ("vggsound", "cls"): (8, 512, 0.2, 0.1, 0.5, 0.2, 0.1),
}


@pytest.mark.cuda
def test_ranking_on_cuda_draws_on_its_own_and_is_captured() -> None:
    train = moved(training(), torch.device("cuda"))
    states = []
    for options in ({"semantics": "ranking", "ranking_triples": 40}, {}):
        method = EZAVGZL(EZAVGZLOptions.model_validate({**SMALL, "batches_per_epoch": 6, **options}))
        fitted(method, train, SimulatedProgress(device=torch.device("cuda")))
        states.append((torch.get_rng_state(), torch.cuda.get_rng_state()))
    assert all(torch.equal(*pair) for pair in zip(*states, strict=True))


@pytest.mark.parametrize("protocol", ["aligned", "as-published"])
@pytest.mark.parametrize("track", PRESETS)
def test_presets_are_the_cards(track: tuple[str, str], protocol: str) -> None:
    o = EZAVGZLOptions.effective(Track(*track), protocol)
    assert isinstance(o, EZAVGZLOptions)
    dropouts = (o.dropout_encoder, o.dropout_token, o.dropout_transformer, o.dropout_output, o.dropout_label)
    assert (o.layers, o.hidden_encoder, *dropouts) == PRESETS[track]
    assert (o.batch_size, o.batches_per_epoch, o.epochs) == (64, 300, 50)
    assert (o.learning_rate, o.weight_decay, o.heads, o.head_width, o.temperature) == (1e-4, 1e-5, 8, 64, 1.0)
    assert (o.semantics, o.class_distance, o.alpha, o.margin, o.growth) == ("proximity", "cosine", 0.5, 1.0, 1.25)


def test_variants_of_the_paper() -> None:
    """Tables 4 to 7, 9 and 10. What the headline uses is spelt out where a table varies it."""
    off, ranking = {"class_optimisation": False}, {"semantics": "ranking"}
    expected: dict[str, dict[str, Any]] = {
        "ceo=off": off,
        "ceo=off;avla=off": {**off, "alignment": False},
        "ceo=on;avla=off": {"alignment": False},
        "ceo=off;avla=on": off,
        "sem=none;sep=off": off,
        "sem=prox;sep=off": {"alpha": 0},
        "sem=none;sep=on": {"alpha": 1},
        "sem=prox;sep=on": {"semantics": "proximity"},
        "sem=rank;sep=on": ranking,
    }
    for similarity in ("cosine", "linear", "mlp", "cross-attention"):
        expected[f"similarity={similarity}"] = {"similarity": similarity}
    for alpha, margin in (("0.5", "1"), ("0.1", "1"), ("0.9", "1"), ("0.5", "0"), ("0.5", "0.5")):
        expected[f"alpha={alpha};margin={margin}"] = {**ranking, "alpha": float(alpha), "margin": float(margin)}
    for distance in ("cosine", "l2", "l1"):
        expected[f"distance={distance}"] = {**ranking, "class_distance": distance}
    assert {v.name: v.options for v in plugins().variants_of("ez-avgzl")} == expected


def test_rows_taken_over_from_tcaf_have_its_settings() -> None:
    """Tables 4 and 7 repeat TCaF's row of VGGSound cls: its losses, learning rate and constant schedule."""
    for name in ("ceo=off;avla=off", "ceo=off"):
        variant = plugins().variant("ez-avgzl", name)
        for track, rate, alignment in (
            (Track("vggsound", "cls"), 6e-5, False),
            (Track("vggsound", "imagebind"), 1e-4, name == "ceo=off"),
        ):
            o = EZAVGZLOptions.effective(track, "as-published", variant.options_on(track, "as-published"))
            assert isinstance(o, EZAVGZLOptions)
            assert (o.learning_rate, o.alignment, o.class_optimisation) == (rate, alignment, False)
