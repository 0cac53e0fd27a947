"""The named variants of the papers' ablations: all can be run, and none is missing."""

from __future__ import annotations

import pytest

from avbench.harness.contract.variants import Variant
from avbench.harness.evaluation.protocol import PROTOCOLS
from avbench.harness.plugins.registry import plugins
from avbench.harness.tracks import Track
from avbench.leaderboard.claims import claims
from avbench.splits import DATASETS

PLUGINS = plugins()
TRACKS = {Track(dataset, features) for dataset in DATASETS for features in ("main", "cls")}

NOT_COVERED: dict[tuple[str, str], str] = {}
"""Printed variants (method, name) that no options reach, and why."""


def places(variant: Variant) -> set[Track]:
    """The tracks on which a variant was printed; all where it stands in no table of the published numbers."""
    where = variant.method, variant.name, variant.paper, variant.table
    return {c.track for c in claims() if (c.method, c.variant, c.paper, c.table) == where} & TRACKS or TRACKS


@pytest.mark.parametrize("variant", PLUGINS.variants, ids=lambda v: f"{v.method} {v.name} {v.paper} {v.table}")
def test_a_variant_is_valid_on_its_tracks(variant: Variant) -> None:
    kind = PLUGINS.method(variant.method).method.Options
    for track in places(variant):
        for protocol in PROTOCOLS:
            options = kind.effective(track, protocol, variant.options).model_dump(mode="json")
            assert {name: options[name] for name in variant.options} == variant.options


def test_every_printed_variant_is_covered() -> None:
    printed = {(c.method, c.variant, c.paper, c.table) for c in claims() if c.method in PLUGINS.methods and c.variant}
    named = {(v.method, v.name, v.paper, v.table) for v in PLUGINS.variants}
    missing = {where for where in printed - named if where[:2] not in NOT_COVERED}
    assert not missing
    for where, reason in NOT_COVERED.items():
        assert reason
        assert where not in {(v.method, v.name) for v in PLUGINS.variants}
        assert where in {p[:2] for p in printed}


def test_a_place_has_a_variant_once() -> None:
    named = [(v.method, v.name, v.paper, v.table) for v in PLUGINS.variants]
    assert len(set(named)) == len(named)


def test_variants_of_avca() -> None:
    """As the paper words them: what is left out of the model or of the loss, and what scores."""
    options = {v.name: dict(v.options) for v in PLUGINS.variants_of("avca")}
    for modality in ("visual", "audio"):
        assert options[f"branch={modality}"] == {"modalities": modality}
        assert options[f"modality={modality}"] == {"modalities": modality, "cross_attention": False}
    assert options["attention=none"] == {"cross_attention": False, "output": "mean"}
    for loss in ("t", "rec", "ct", "w", "r"):
        assert options[f"loss=-l_{loss}"] == {f"loss_{loss}": False}
    assert options["loss=l_c"] == {"loss_t": False, "loss_r": False}  # l = l_t + l_c + l_r (eq. 4)
    outputs = {"theta-a": "audio", "theta-v": "visual", "mean": "mean", "min": "minimum"}
    for name, output in outputs.items():
        assert options[f"output={name}"] == {"output": output}
    assert len(options) == 15
