"""What every registered method must hold, whoever wrote it: metadata, options, state, scores, determinism."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import replace
from functools import cache
from typing import Any, Literal, get_args, get_origin

import pytest
import torch
from pydantic import ValidationError
from safetensors.torch import load, save
from torch import Tensor, nn

from avbench.harness.data import Classes, Clips, TrainingSet
from avbench.harness.method import Method
from avbench.harness.plugins import plugins
from avbench.harness.protocol import PROTOCOLS
from avbench.harness.testing.simulated import (
    SimulatedProgress,
    fitted,
    moved,
    simulated_classes,
    simulated_clips,
    simulated_training,
)
from avbench.harness.tracks import DEMO, Track
from avbench.methods.training import Batch, BatchMethod, Dims
from avbench.splits import DATASETS

METHODS = {slug: registered.method for slug, registered in plugins().methods.items()}
TRACKS = [Track(dataset, features) for dataset in DATASETS for features in ("main", "cls", DEMO)]
SMALL: dict[str, Any] = {"epochs": 2, "batches_per_epoch": 3, "batch_size": 16}
"""A budget that every method accepts and that ends at once."""

every_method = pytest.mark.parametrize("slug", METHODS)


def made(slug: str, **options: Any) -> Method:
    kind = METHODS[slug]
    return kind(kind.Options.model_validate({**SMALL, **options}))


def shown(train: TrainingSet, method: Method) -> TrainingSet:
    """The training set as the harness shows it to the method: with unseen classes only where they are declared."""
    text = train.classes.vectors.shape[1]
    unseen = simulated_classes(4, text, trained=0, seed=9)
    return replace(train, unseen=unseen if method.info.uses_unseen_names else None)


def fit(slug: str, train: TrainingSet, seed: int = 0, **options: Any) -> Method:
    method = made(slug, **options)
    return fitted(method, shown(train, method), SimulatedProgress(epochs=method.options.epochs, seed=seed))


@cache
def small_training() -> TrainingSet:
    return simulated_training(classes=5, clips_per_class=8)


@cache
def demo_sized() -> TrainingSet:
    """Widths that differ from those of the papers in every place."""
    return simulated_training(classes=5, clips_per_class=8, audio=128, visual=256, text=384)


@cache
def demo_sized_fit(slug: str) -> Method:
    return fit(slug, demo_sized())


def candidates(train: TrainingSet) -> Classes:
    """The trained classes of a training set and three others."""
    text = train.classes.vectors.shape[1]
    others = simulated_classes(3, text, seed=5)
    names = (*train.classes.names, "x", "y", "z")
    return Classes(
        names, names, torch.cat([train.classes.vectors, others.vectors]), torch.arange(len(names)) < len(names) - 3
    )


def answers(method: Method, clips: Clips, classes: Classes) -> dict[str, Tensor]:
    return {"": method.predict(clips, classes), **method.predict_branches(clips, classes)}


def same(one: Mapping[str, Tensor], other: Mapping[str, Tensor]) -> bool:
    return one.keys() == other.keys() and all(torch.equal(one[name], other[name]) for name in one)


@every_method
def test_metadata_is_complete(slug: str) -> None:
    info = METHODS[slug].info
    assert info.slug == slug
    assert re.fullmatch(r"[a-z0-9]+(-[a-z0-9]+)*", slug)
    assert 2000 < info.year < 2100
    for text in (info.title, info.summary, info.citation, *info.notes):
        assert text.strip() == text != ""
        assert "  " not in text
    assert str(info.year) in info.citation
    assert info.summary.endswith(".")
    entry = re.fullmatch(r"@\w+\{[\w-]+,\n(.*)\n\}", info.bibtex, re.DOTALL)
    assert entry is not None
    assert entry[1].count("{") == entry[1].count("}")
    fields = dict(re.findall(r"^  (\w+) *= \{(.*?)\},?$", entry[1], re.DOTALL | re.MULTILINE))
    assert {"title", "author", "year"} < fields.keys()
    assert fields["year"] == str(info.year)
    for author in fields["author"].split(" and "):
        assert "," in author or author.startswith("{"), "authors are written: family name, given names, or {group}"


@every_method
def test_differences_name_their_options(slug: str) -> None:
    kind = METHODS[slug]
    for difference in kind.info.differences:
        assert difference.option is None or difference.option in kind.Options.model_fields
        assert difference.topic
        assert difference.paper
        assert difference.code


@every_method
def test_options_are_described(slug: str) -> None:
    for name, field in METHODS[slug].Options.model_fields.items():
        assert field.description, name
        assert field.description.endswith("."), name


@every_method
@pytest.mark.parametrize("protocol", PROTOCOLS)
@pytest.mark.parametrize("track", TRACKS, ids=str)
def test_presets_are_valid(slug: str, protocol: str, track: Track) -> None:
    kind = METHODS[slug]
    values = kind.Options.preset_values(track, protocol)
    assert values.keys() <= kind.Options.model_fields.keys()
    options = kind.Options.effective(track, protocol).model_dump()
    assert {name: options[name] for name in values} == values


def test_methods_are_listed_without_torch() -> None:
    code = (
        "import sys; from avbench.harness.plugins import plugins; found = plugins(); "
        "assert not found.broken, found.broken; sys.exit('torch' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


@every_method
def test_a_state_becomes_the_same_method(slug: str) -> None:
    method, train = demo_sized_fit(slug), demo_sized()
    classes = candidates(train)
    other = made(slug)
    random_state = torch.get_rng_state()
    other.load_state(load(save(method.state())))
    assert torch.equal(random_state, torch.get_rng_state())
    assert same(answers(other, train.clips, classes), answers(method, train.clips, classes))
    assert same(other.state(), method.state())
    assert other.parameters() == method.parameters() > 0


@every_method
def test_scores_are_finite_and_leave_their_inputs_alone(slug: str) -> None:
    method, train = demo_sized_fit(slug), demo_sized()
    classes = candidates(train)
    inputs = [t.clone() for t in (train.clips.audio, train.clips.visual, classes.vectors)]
    state = {name: tensor.clone() for name, tensor in method.state().items()}
    for scores in answers(method, train.clips, classes).values():
        assert scores.shape == (len(train.clips), len(classes))
        assert scores.dtype == torch.float32
        assert not scores.requires_grad
        assert bool(scores.isfinite().all())
    assert all(
        torch.equal(a, b) for a, b in zip(inputs, (train.clips.audio, train.clips.visual, classes.vectors), strict=True)
    )
    assert same(method.state(), state)


@every_method
@pytest.mark.parametrize("rows", [[7], [30, 2, 17], list(range(39, -1, -1))], ids=["one", "some", "reversed"])
def test_a_clip_is_scored_alone(slug: str, rows: list[int]) -> None:
    method, train = demo_sized_fit(slug), demo_sized()
    classes = candidates(train)
    part = Clips(train.clips.audio[rows], train.clips.visual[rows])
    together = answers(method, train.clips, classes)
    for name, scores in answers(method, part, classes).items():
        torch.testing.assert_close(scores, together[name][rows], rtol=1e-4, atol=1e-4)


@every_method
def test_the_seed_decides_everything(slug: str) -> None:
    train = small_training()
    first, second, third = (fit(slug, train, seed=seed) for seed in (3, 3, 4))
    classes = candidates(train)
    assert same(first.state(), second.state())
    assert same(answers(first, train.clips, classes), answers(second, train.clips, classes))
    assert not same(first.state(), third.state())


@every_method
def test_it_learns(slug: str) -> None:
    """Trained classes are told apart, and unseen ones by their label vectors. Chance is 1/30 and 1/10.

    With the options of the demo, which are those of a method that has little time. A generator needs more steps than a
    test has, and non-negative features: of generative methods only the trained classes are asked for.
    """
    known = simulated_classes(40, text=16)
    labels = torch.arange(30).repeat_interleave(12)
    classes = Classes(known.names[:30], known.prompts[:30], known.vectors[:30], known.trained[:30])
    train = TrainingSet(simulated_clips(known, labels), labels, classes)
    preset = METHODS[slug].Options.preset_values(Track("ucf", DEMO), "aligned")
    method = fit(slug, train, **{**preset, "epochs": 3, "batches_per_epoch": 40, "batch_size": 64})
    for ids, chance in ((torch.arange(30), 1 / 30), (torch.arange(30, 40), 1 / 10)):
        if method.info.generative and ids[0] >= 30:
            continue
        names = tuple(known.names[i] for i in ids)
        search = Classes(names, names, known.vectors[ids], ids < 30)
        truth = torch.arange(len(ids)).repeat_interleave(10)
        scores = method.predict(simulated_clips(search, truth, seed=1), search)
        assert (scores.argmax(1) == truth).float().mean() > 2.5 * chance


@pytest.mark.parametrize("slug", [slug for slug, kind in METHODS.items() if issubclass(kind, BatchMethod)])
def test_a_step_reads_nothing_back_from_the_device(slug: str) -> None:
    """Tensors on ``meta`` have no values: reading one, or mixing in one from another device, raises."""
    method = made(slug)
    assert isinstance(method, BatchMethod)
    dims = Dims(audio=20, visual=30, text=300, classes=5, unseen=4 * method.info.uses_unseen_names)
    net = nn.ModuleDict(method.build(dims)).to("meta")
    size = (8, 2) if method.pairs else (8,)
    with torch.device("meta"):
        audio, visual, vectors, classes = (torch.empty(*s) for s in ((*size, 20), (*size, 30), (*size, 300), (5, 300)))
        batch = Batch(audio, visual, torch.empty(size, dtype=torch.int64), vectors, classes)
    method.loss(net, batch).backward()  # type: ignore[no-untyped-call]
    with torch.no_grad():
        method.after_step(net, batch)


@pytest.mark.cuda
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
@every_method
def test_it_trains_on_cuda(slug: str) -> None:
    """Eight steps an epoch: three plain ones, the capture, replays. The same seed gives the same bits."""
    states = []
    for _ in range(2):
        method = made(slug, batches_per_epoch=8)
        train = moved(shown(small_training(), method), torch.device("cuda"))
        fitted(method, train, SimulatedProgress(epochs=2, device=torch.device("cuda")))
        scores = method.predict(train.clips, train.classes)
        assert scores.is_cuda
        assert bool(scores.isfinite().all())
        states.append(method.state())
    assert same(*states)


OPTIONS = [(slug, name) for slug, kind in METHODS.items() for name in kind.Options.model_fields]


def alternatives(slug: str, name: str, given: Mapping[str, Any]) -> list[Any]:
    """Other valid values of an option."""
    field, value = METHODS[slug].Options.model_fields[name], getattr(made(slug, **given).options, name)
    if isinstance(value, bool):
        others: list[Any] = [not value]
    elif isinstance(value, int):
        others = [value // 2, 2 * value]
    elif isinstance(value, float):
        others = [2 * value, value / 2, value + 0.1, value / 100, 100 * value, *(field.examples or [])]
    else:
        kinds = (field.annotation, *get_args(field.annotation))
        others = [v for kind in kinds if get_origin(kind) is Literal for v in get_args(kind)] + (field.examples or [])
    return [v for v in others if v != value and valid(slug, {**given, name: v})]


def valid(slug: str, given: Mapping[str, Any]) -> bool:
    try:
        made(slug, **given)
    except ValidationError:
        return False
    return True


@cache
def outcome(slug: str, given: tuple[tuple[str, Any], ...]) -> tuple[dict[str, Tensor], Tensor]:
    """State and scores of a small fit."""
    method = fit(slug, small_training(), **dict(given))
    return method.state(), method.predict(small_training().clips, candidates(small_training()))


@pytest.mark.parametrize(("slug", "name"), OPTIONS)
def test_every_option_has_an_effect(slug: str, name: str) -> None:
    """Every choice of a Literal, and some other number, changes the fitted state.

    An option that declares that it does not must change the scores beyond rounding, with the options that it names.
    """
    field = METHODS[slug].Options.model_fields[name]
    declared = field.json_schema_extra if isinstance(field.json_schema_extra, dict) else {}
    given: Any = declared.get("effect_with", {})
    state, scores = outcome(slug, tuple(given.items()))
    effects = []
    for value in alternatives(slug, name, given):
        other_state, other_scores = outcome(slug, (*given.items(), (name, value)))
        if "no_effect" in declared:
            assert declared["no_effect"]
            effects.append(not torch.allclose(scores, other_scores, rtol=0.02, atol=0.02))
        else:
            effects.append(not same(state, other_state))
    assert effects
    assert all(effects) if get_origin(field.annotation) is Literal else any(effects)
