"""The named variants of the papers' ablations: all can be run, and none is missing."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest

from avbench.harness.contract.variants import Variant
from avbench.harness.evaluation.protocol import PROTOCOLS
from avbench.harness.plugins.registry import plugins
from avbench.harness.tracks import Track
from avbench.leaderboard.claims import Claim, claims
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
            given = variant.options_on(track, protocol)
            options = kind.effective(track, protocol, given).model_dump(mode="json")
            assert {name: options[name] for name in given} == given


def run_options(claim: Claim, protocol: str) -> Mapping[str, Any]:
    """The options that a printed row is run with; an unset ``output`` of AVCA stands for the visual one."""
    kind = PLUGINS.method(claim.method).method.Options
    given = PLUGINS.variant(claim.method, claim.variant).options_on(claim.track, protocol) if claim.variant else {}
    options = kind.effective(claim.track, protocol, given).model_dump(mode="json")
    return {**options, "output": options.get("output") or "visual"}


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_rows_printed_with_the_same_numbers_are_run_with_the_same_options(protocol: str) -> None:
    """A paper that prints one run in two tables, perhaps under two names, had one configuration."""
    printed: dict[tuple[Any, ...], list[Claim]] = {}
    for claim in claims():
        if claim.method in PLUGINS.methods and claim.track in TRACKS and None not in (claim.HM, claim.ZSL):
            printed.setdefault((claim.track, claim.HM, claim.ZSL), []).append(claim)
    groups = [group for group in printed.values() if len({(c.method, c.variant) for c in group}) > 1]
    assert len(groups) >= 15
    for group in groups:
        first = run_options(group[0], protocol)
        for claim in group[1:]:
            assert run_options(claim, protocol) == first, (claim.method, claim.variant, str(claim.track))


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
