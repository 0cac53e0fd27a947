"""The studies of open choices: the plan holds what methods have, and nothing wins by the luck of one search."""

from __future__ import annotations

import itertools
from pathlib import Path
from types import SimpleNamespace

import pytest

from avbench.harness.plugins.registry import plugins
from avbench.harness.tracks import DEMO, Track
from avbench.harness.tuning.score import Interval
from avbench.splits import DATASETS

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"


@pytest.fixture(autouse=True)
def _importable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(BENCHMARKS))


def test_every_study_has_the_preset_among_readings_that_the_method_takes() -> None:
    import choices

    plan = choices.read_plan()
    for choice, dataset in itertools.product(plan.choices, DATASETS):
        options = plugins().method(choice.method).method.Options
        preset = options.effective(Track(dataset, DEMO), "aligned")
        for option, readings in choice.space.items():
            assert getattr(preset, option) in readings
            for reading in readings:
                assert options.model_validate({option: reading}).model_dump()[option] == reading
    assert len({choice.name for choice in plan.choices}) == len(plan.choices)


@pytest.mark.parametrize(
    ("gain", "fresh", "said"),
    [
        (None, None, "stays"),
        (Interval(1.0, 2.0), None, "stays"),
        (Interval(2.0, 1.0), Interval(0.5, 1.0), "stays; gate=scalar on fresh seeds +0.50 (-0.50 to +1.50)"),
        (Interval(2.0, 1.0), Interval(1.5, 1.0), "gate=scalar wins; on fresh seeds +1.50 (+0.50 to +2.50)"),
    ],
)
def test_a_reading_wins_only_where_fresh_seeds_agree(gain: Interval | None, fresh: Interval | None, said: str) -> None:
    import choices

    choice = choices.Choice("attention-fusion", "weights", {"gate": ["dimensions", "scalar"]})
    best = SimpleNamespace(values={"gate": "scalar"})
    confirmation = fresh and SimpleNamespace(gain=fresh)
    assert choices.verdict(choice, SimpleNamespace(gain=gain, best=best, confirmation=confirmation)) == said
