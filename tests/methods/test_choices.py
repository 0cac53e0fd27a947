"""The studies of open choices: the plan holds what methods have, and nothing wins by the luck of one search."""

from __future__ import annotations

import itertools
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest

from avbench.harness.plugins.registry import plugins
from avbench.harness.tracks import DEMO, Track
from avbench.harness.tuning.score import Interval, Score
from avbench.splits import DATASETS

ROOT = Path(__file__).parents[2]
BENCHMARKS = ROOT / "benchmarks"
PAGE = (ROOT / "docs" / "choices.md").read_text("utf-8")


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


def scores(*hms: float) -> tuple[Score, ...]:
    return tuple(Score("ucf/demo", seed, hm, 1) for seed, hm in enumerate(hms))


@pytest.mark.parametrize(
    ("gain", "fresh", "said"),
    [
        (None, None, "stays"),
        (Interval(1.0, 2.0), None, "stays"),
        (
            Interval(2.0, 1.0),
            Interval(0.5, 1.0),
            "stays, undecided; `gate=scalar` on fresh seeds +0.50 (-0.50 to +1.50)",
        ),
        (Interval(2.0, 1.0), Interval(1.5, 1.0), "`gate=scalar` wins; on fresh seeds +1.50 (+0.50 to +2.50)"),
    ],
)
def test_a_reading_wins_only_where_fresh_seeds_agree(gain: Interval | None, fresh: Interval | None, said: str) -> None:
    import choices

    choice = choices.Choice("attention-fusion", "weights", {"gate": ["dimensions", "scalar"]})
    best = SimpleNamespace(values={"gate": "scalar"})
    preset = SimpleNamespace(preset=True, scores=scores(9, 9, 10))
    confirmation = fresh and SimpleNamespace(gain=fresh)

    def found(*others: float) -> SimpleNamespace:
        trials = [preset, SimpleNamespace(preset=False, scores=scores(*others))]
        return SimpleNamespace(gain=gain, best=best, confirmation=confirmation, preset=preset, trials=trials)

    assert choices.verdict(choice, found(5, 4, 6)) == said
    if said == "stays":
        assert choices.verdict(choice, found(5, 4, 12)) == "stays, undecided"
    if "wins" in said:
        assert choices.verdict(replace(choice, printed=True), found(5, 4, 6)) == f"stays, as printed; {said}"


def table_rows(page: str) -> list[list[str]]:
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in page.splitlines() if line.startswith("|")]


def test_the_page_and_the_notes_tell_of_every_choice() -> None:
    """A choice that is planned but not measured, or measured but not told by ``methods show``, is found here."""
    import choices

    rows = table_rows(PAGE)
    for choice in choices.read_plan().choices:
        info = plugins().method(choice.method).method.info
        notes = [note for note in info.notes if "benchmarks/choices.py" in note]
        assert all(any(option in note for note in notes) for option in choice.space), choice
        for values in itertools.product(*choice.space.values()):
            reading = choice.reading(dict(zip(choice.space, values, strict=True)))
            (row,) = (row for row in rows if row[1].split(" (")[0] == f"`{reading}`")
            preset = row[1].endswith("(preset)")
            assert bool(row[3]) == (not preset), row
            assert bool(row[4]) == preset, row


def test_the_page_tells_of_every_claim() -> None:
    import claims

    rows = table_rows(PAGE)
    for claim in claims.read_claims():
        start = next(i for i, row in enumerate(rows) if row[0] == claim.claim)
        assert [row[1] for row in rows[start : start + 4]] == ["all three", *DATASETS]
        for side in (claim.lower, claim.higher):
            assert not side.variant or plugins().variant(side.method, side.variant)


def test_a_claim_is_judged_over_data_sets_and_on_each() -> None:
    import claims

    claim = claims.Claim("B is above A", claims.Side("a"), claims.Side("b"))
    lower = [Score(track, seed, 10, 1) for track in ("ucf/demo", "vggsound/demo") for seed in range(3)]
    higher = [Score(s.track, s.seed, s.HM + gain, 1) for s, gain in zip(lower, (2, 3, 4, -5, -6, -7), strict=True)]
    assert [(row[1], row[2], row[3], row[5]) for row in claims.rows(claim, lower, higher)] == [
        ("all three", "10.00", "8.50", "no: lower"),
        ("ucf", "10.00", "13.00", "holds"),
        ("vggsound", "10.00", "4.00", "no: lower"),
    ]
    assert claims.verdict(Interval(1.0, None)) == claims.verdict(Interval(1.0, 2.0)) == "not shown"
