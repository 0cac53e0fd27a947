"""Spaces of options: the grammar, what is refused, and what follows from an option's own bounds."""

from __future__ import annotations

from typing import Any, Literal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import Field

from avbench.harness.contract.options import EpochOptions, Options
from avbench.harness.errors import UsageError
from avbench.harness.plugins.registry import plugins
from avbench.harness.tracks import Track
from avbench.harness.tuning.spaces import Among, Range, Space, grid, spaces


class Some(EpochOptions):
    rate: float = Field(0.5, gt=0, lt=1, description="Between its bounds.")
    weight: float = Field(2.0, ge=0, le=1e6, description="Of a scale of its own.")
    nothing: float = Field(0.0, ge=0, le=50, description="Its bounds tell no scale.")
    layers: int = Field(6, ge=1, le=64, description="A whole number.")
    kind: Literal["one", "two"] | None = Field(None, description="A choice.")
    switch: bool = Field(True, description="A switch.")


def parsed(*texts: str, **fixed: Any) -> dict[str, Space]:
    return spaces(Some, [Some()], texts, fixed)


@pytest.mark.parametrize(
    ("text", "space"),
    [
        ("learning_rate=log:1e-5..1e-2", Range(1e-5, 1e-2, log=True)),
        ("rate=.25..0.5", Range(0.25, 0.5)),
        ("layers=1..8", Range(1, 8, whole=True)),
        ("layers=log:int:1..8", Range(1, 8, log=True, whole=True)),
        ("weight=int:1..8", Range(1, 8, whole=True)),
        ("rate=0.1, 0.5,0.1", Among((0.1, 0.5))),
        ("weight=0,1", Among((0.0, 1.0))),
        ("kind=one,null", Among(("one", None))),
        ("switch=true,false", Among((True, False))),
        ("rate", Range(0.01, 0.99)),
        ("weight", Range(0.067, 60.0, log=True)),
        ("layers", Range(1, 64, whole=True)),
        ("kind", Among(("one", "two", None))),
        ("switch", Among((False, True))),
        ("weight_decay", Range(1e-7, 1e-2, log=True)),
    ],
)
def test_a_space_is_read(text: str, space: Space) -> None:
    name = text.partition("=")[0]
    found = parsed(text)[name]
    assert found == space
    assert parsed(f"{name}={found}")[name] == found, "its text is read as the same space"


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("learning_rat=1..2", "Did you mean 'learning_rate'?"),
        ("learning_rate=1..20", "less than or equal to 10 (got 20.0)"),
        ("rate=0..0.5", "greater than 0"),
        ("rate=0.5,1", "less than 1"),
        ("layers=16,128", "less than or equal to 64"),
        ("learning_rate=log:0..1", "starts above 0"),
        ("learning_rate=1e-2..1e-3", "goes down; write 0.001..0.01"),
        ("learning_rate=1..1", "one value"),
        ("rate=0.5", "one value"),
        ("rate=", "valid number"),
        ("rate=a..b", "'a' is no number"),
        ("rate=0.1..", "'' is no number"),
        ("rate=0.1..nan", "not finite"),
        ("weight=1..inf", "not finite"),
        ("layers=1..2.5", "no whole number"),
        ("layers=1,2.5", "valid integer"),
        ("rate=log:0.1,0.2", "LOW..HIGH"),
        ("rate=true,0.1", "valid number"),
        ("switch=0,1", "valid boolean"),
        ("kind=one,tow", "'one' or 'two'"),
        ("kind=1..2", "'one' or 'two'"),
        ("kind=[1],[2]", "only numbers, texts"),
        ("nothing", "no space of its own"),
    ],
)
def test_what_is_refused(text: str, reason: str) -> None:
    with pytest.raises(UsageError) as refused:
        parsed(text)
    assert reason in str(refused.value)


def test_an_option_is_searched_once_and_not_fixed_too() -> None:
    with pytest.raises(UsageError, match="given twice"):
        parsed("rate", "rate=0.1,0.2")
    with pytest.raises(UsageError, match="leave out one"):
        parsed("rate", rate=0.3)


def test_without_any_the_fractional_numbers_are_searched_that_are_free() -> None:
    assert list(parsed()) == ["learning_rate", "weight_decay", "rate", "weight"]
    assert list(parsed(rate=0.3)) == ["learning_rate", "weight_decay", "weight"]

    class Whole(Options):
        layers: int = Field(6, ge=1, le=64, description="A whole number.")

    with pytest.raises(UsageError, match="give some with --space"):
        spaces(Whole, [Whole()], [], {})


def test_a_scale_reaches_around_the_presets_of_all_tracks() -> None:
    both = [Some(weight=1.0), Some(weight=10.0)]
    assert spaces(Some, both, ["weight"], {})["weight"] == Range(0.033, 300.0, log=True)


@pytest.mark.parametrize("slug", sorted(plugins().methods))
def test_every_method_has_spaces_of_its_own_that_hold_its_presets(slug: str) -> None:
    kind = plugins().method(slug).method.Options
    for track in (Track("ucf", "main"), Track("vggsound", "cls"), Track("ucf", "demo")):
        usual = kind.effective(track, "aligned")
        found = spaces(kind, [usual], [], {})
        assert found
        for name, space in found.items():
            value = getattr(usual, name)
            assert value in space or value == 0, (name, str(space), value)


def test_a_grid_is_every_combination() -> None:
    found = grid(parsed("layers=1..2", "kind=one,null"))
    assert found == [{"layers": n, "kind": k} for n in (1, 2) for k in ("one", None)]
    with pytest.raises(UsageError, match="no end of values"):
        grid(parsed("rate=0.1..0.2"))
    with pytest.raises(UsageError, match="102,400 points"):
        grid(parsed("layers=1..64", "batch_size=2..1601"))


@settings(max_examples=50, deadline=None)
@given(st.text(max_size=30))
def test_any_text_is_a_space_or_a_usage_error(text: str) -> None:
    try:
        found = parsed(f"weight={text}")["weight"]
    except UsageError:
        return
    assert parsed(f"weight={found}")["weight"] == found
