"""Variants: their file, their registry, and how they set the options of runs."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from simulated_features import Ridge, simulated_features

from avbench.harness.contract.options import Preset
from avbench.harness.contract.variants import Variant, read_variants
from avbench.harness.errors import MethodError, UsageError
from avbench.harness.plugins.registry import Plugins, Registered
from avbench.harness.records.results import ResultsFolder
from avbench.harness.running import runs
from avbench.harness.running.runs import execute, plan
from avbench.harness.tracks import Track

HEADER = "method,variant,options,paper,table"
STRONG = Variant("ridge", "strength=2", {"strength": 2.0, "epochs": 4}, "a-paper", "table-1")
WEAK = Variant("ridge", "strength=0.5", {"strength": 0.5}, "a-paper", "table-1")
AGAIN = Variant("ridge", "half", {"strength": 0.5}, "a-paper", "table-2")


def test_a_file_of_variants() -> None:
    lines = [HEADER, 'ridge,strength=2,"{""strength"": 2.0, ""epochs"": 4}",a-paper,table-1']
    assert read_variants(lines) == [STRONG]
    assert read_variants([HEADER]) == []


def test_options_of_some_tracks_and_protocols_only() -> None:
    places = '"{""ucf/main as-published"": {""strength"": 3.0}, ""*/cls"": {""epochs"": 2}}"'
    special = f'ridge,half,"{{""strength"": 0.5}}",a-paper,table-1,{places}'
    lines = [f"{HEADER},presets", special, "ridge,plain,{},a-paper,table-1"]
    half, plain = read_variants(lines)
    assert plain.presets == ()
    for track, protocol, expected in (
        ("ucf/main", "aligned", {"strength": 0.5}),
        ("ucf/main", "as-published", {"strength": 3.0}),
        ("ucf/cls", "as-published", {"strength": 0.5, "epochs": 2}),
        ("vggsound/cls", "aligned", {"strength": 0.5, "epochs": 2}),
        ("vggsound/main", "as-published", {"strength": 0.5}),
    ):
        assert half.options_on(Track(*track.split("/")), protocol) == expected
    assert half.options == {"strength": 0.5}


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        (["method,variant", "ridge,strength=2"], "columns must be method, variant"),
        ([], "columns must be"),
        ([HEADER, "ridge,strength=2,{},a-paper"], "line 2"),
        ([HEADER, "ridge,strength=2,{},a-paper,table-1,more"], "line 2"),
        ([HEADER, "ridge,strength=2,{},a-paper,table-1", "ridge,b,{strength=2},a-paper,table-1"], "line 3"),
        ([HEADER, "ridge,strength=2,[],a-paper,table-1"], "line 2"),
        ([f"{HEADER},more", "ridge,strength=2,{},a-paper,table-1,"], "columns must be"),
        ([f"{HEADER},presets", "ridge,strength=2,{},a-paper,table-1,[]"], "line 2"),
        ([f"{HEADER},presets", 'ridge,strength=2,{},a-paper,table-1,"{""ucf"": {}}"'], "line 2: presets .* not 'ucf'"),
        ([f"{HEADER},presets", 'ridge,strength=2,{},a-paper,table-1,"{""ucf/cls"": 1}"'], "line 2"),
    ],
)
def test_a_bad_file_is_refused(lines: list[str], message: str) -> None:
    with pytest.raises(MethodError, match=message):
        read_variants(lines)


@pytest.fixture
def world(monkeypatch: pytest.MonkeyPatch) -> Plugins:
    features = simulated_features()
    methods = {"ridge": Registered(Ridge, "tests", "1.0")}
    found = Plugins(methods=methods, variants=[STRONG, WEAK, AGAIN])
    monkeypatch.setattr(runs, "plugins", lambda: found)
    monkeypatch.setattr(runs, "planned_features", lambda *_: features)
    monkeypatch.setattr(runs, "feature_manifest", lambda _: features.manifest)
    return found


def test_a_misspelt_variant_gets_a_suggestion(world: Plugins) -> None:
    assert world.variants_of("ridge") == (STRONG, WEAK, AGAIN)
    assert world.variant("ridge", "half") is AGAIN
    with pytest.raises(UsageError, match=r"unknown ridge variant 'strenght=2'. Did you mean 'strength=2'\?"):
        world.variant("ridge", "strenght=2")
    with pytest.raises(UsageError, match="Known: none"):
        world.variant("other", "half")


TRACK = Track("ucf", "simulated")


def test_variants_set_options_and_given_ones_win(world: Plugins) -> None:
    one, two = plan(["ridge"], [TRACK], ["aligned"], [0], {"epochs": 2}, ["strength=2", "strength=0.5"])
    assert (one.variant, two.variant) == ("strength=2", "strength=0.5")
    assert [r.configuration.options["strength"] for r in (one, two)] == [2.0, 0.5]
    assert [r.configuration.options["epochs"] for r in (one, two)] == [2, 2]
    assert "strength=2" in str(one)
    (undone,) = plan(["ridge"], [TRACK], ["aligned"], [0], {"strength": 3, "epochs": 9}, ["strength=2"])
    assert (undone.variant, undone.configuration.options["strength"]) == (None, 3.0)
    (plain,) = plan(["ridge"], [TRACK], ["aligned"], [0])
    assert plain.variant is None
    assert plain.configuration.options["strength"] == 1.0
    with pytest.raises(UsageError, match="Did you mean 'half'"):
        plan(["ridge"], [TRACK], ["aligned"], [0], None, ["hafl"])


def test_a_variant_may_have_options_of_its_own_under_a_protocol(world: Plugins) -> None:
    preset = Preset({"strength": 0.1}, "ucf", "simulated", "as-published")
    world.variants.append(Variant("ridge", "own", {"strength": 0.5}, "a-paper", "table-3", (preset,)))
    aligned, published = plan(["ridge"], [TRACK], ["aligned", "as-published"], [0], None, ["own"])
    assert [r.configuration.options["strength"] for r in (aligned, published)] == [0.5, 0.1]
    (given,) = plan(["ridge"], [TRACK], ["as-published"], [0], {"strength": 7.0}, ["own"])
    assert given.configuration.options["strength"] == 7.0


def test_variants_with_equal_options_are_one_run(world: Plugins) -> None:
    planned = plan(["ridge"], [TRACK], ["aligned"], [0, 1], None, ["strength=0.5", "half"])
    assert [(r.variant, r.configuration.seed) for r in planned] == [("strength=0.5", 0), ("strength=0.5", 1)]


def test_the_record_names_the_variant(world: Plugins, tmp_path: Path) -> None:
    (planned,) = plan(["ridge"], [TRACK], ["aligned"], [0], None, ["strength=2"])
    record = execute(planned, ResultsFolder(tmp_path), torch.device("cpu"))
    assert record.finished
    assert record.variant == "strength=2"
    assert record.configuration.options["epochs"] == 4


def test_methods_show_lists_variants_and_what_has_no_effect(capsys: pytest.CaptureFixture[str]) -> None:
    from avbench.harness.cli import cli

    cli.main(["methods", "show", "avca"], standalone_mode=False)
    text = capsys.readouterr().out
    assert "loss=-l_r" in text
    assert "avca-2022 table-4, avca-2022-supp table-3" in text
    assert "No effect on training:" in text
    cli.main(["methods", "show", "avca", "--json"], standalone_mode=False)
    shown = json.loads(capsys.readouterr().out)
    assert {
        "method": "avca",
        "name": "loss=-l_r",
        "options": {"loss_r": False},
        "paper": "avca-2022",
        "table": "table-6",
        "presets": [],
    } in shown["variants"]
    by_name = {option["name"]: option for option in shown["options"]}
    assert by_name["output"]["no_effect"]
    assert by_name["output"]["type"] == "visual | audio | mean | minimum | null"
    assert by_name["margin"]["no_effect"] is None
