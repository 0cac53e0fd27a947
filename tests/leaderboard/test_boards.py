from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pytest
from simulated_results import OPTIONS, configuration_of, reconfigured, record_of, sha256, simulated_run

from avbench.harness.records.record import RunRecord
from avbench.harness.tracks import Track
from avbench.leaderboard.averages import average_boards
from avbench.leaderboard.boards import Board, build_boards, reruns_of
from avbench.leaderboard.claims import claim_for, claims
from avbench.leaderboard.frame import FEW_SEEDS
from avbench.leaderboard.recalls import Recalls

UCF = Track("ucf", "main")
VGG = Track("vggsound", "main")


def changed_from_presets(record: RunRecord) -> Mapping[str, Any] | None:
    """Presets are OPTIONS, and those of methods named ``stranger...`` are unknown."""
    c = record.configuration
    return None if c.method.startswith("stranger") else {k: v for k, v in c.options.items() if OPTIONS.get(k, v) != v}


def boards_of(*records: RunRecord, **arguments: Any) -> dict[tuple[str, str, bool], Board]:
    built = build_boards(records, claims(), changed_from_presets, **arguments)
    return {(str(b.track), b.protocol, b.simulated): b for b in built}


def run(*arguments: Any, **keywords: Any) -> RunRecord:
    return simulated_run(*arguments, clips=2, **keywords)[0]


def of(distribution: str, record: RunRecord) -> RunRecord:
    """The record as if that package had brought the method."""
    plugin = record.configuration.plugin.model_copy(update={"distribution": distribution})
    return reconfigured(record, plugin=plugin)


def test_seeds_of_one_configuration_make_one_row() -> None:
    records = [run("avca", UCF, "as-published", seed) for seed in (2, 0, 1)]
    (row,) = boards_of(*records)["ucf/main", "as-published", False].rows
    assert row.seeds == (0, 1, 2)
    hms = [r.outcome.metrics.HM for r in records if r.outcome]
    assert row.metrics["HM"].mean == pytest.approx(sum(hms) / 3)
    assert row.metrics["HM"].deviation == pytest.approx((sum((h - sum(hms) / 3) ** 2 for h in hms) / 2) ** 0.5)
    assert row.metrics["HM"].n == 3
    assert row.seconds == {"cpu": 91.0}


def test_one_run_has_no_deviation() -> None:
    (row,) = boards_of(run("avca", UCF))["ucf/main", "aligned", False].rows
    assert (row.metrics["HM"].deviation, row.metrics["HM"].n) == (None, 1)


def test_anything_but_the_seed_makes_another_row() -> None:
    other = run("avca", UCF, "aligned", 0, options={**OPTIONS, "epochs": 2})
    board = boards_of(run("avca", UCF), run("avca", UCF, seed=1), other)["ucf/main", "aligned", False]
    assert sorted(len(row.records) for row in board.rows) == [1, 2]
    assert {row.label for row in board.rows} == {"avca", "avca (epochs=2)"}


def test_printed_numbers_stand_beside_as_published_runs_of_real_features_only() -> None:
    boards = boards_of(
        run("avca", UCF, "as-published"),
        run("avca", UCF, "aligned"),
        run("avca", Track("ucf", "demo"), "as-published"),
    )
    published = boards["ucf/main", "as-published", False]
    own = claim_for("avca", UCF)[0]
    (row,) = published.rows
    deviation, claim = row.deviations["HM"]
    assert claim == own
    assert deviation == pytest.approx(row.metrics["HM"].mean - 27.15)
    assert "AUSUC" not in row.deviations
    assert {claimed.method for claimed in published.claimed} >= {"avca", "mdii"}
    assert "tcaf" not in {claimed.method for claimed in published.claimed}  # it read features over time
    for key in (("ucf/main", "aligned", False), ("ucf/demo", "as-published", True)):
        assert not boards[key].claimed
        assert not boards[key].rows[0].claims
        assert not boards[key].rows[0].deviations


@pytest.mark.parametrize("kind", ["changed option", "unknown presets"])
def test_only_preset_options_are_compared(kind: str) -> None:
    options = {**OPTIONS, "epochs": 2} if kind == "changed option" else OPTIONS
    record = run("avca" if kind == "changed option" else "stranger", UCF, "as-published", options=options)
    (row,) = boards_of(record)["ucf/main", "as-published", False].rows
    assert row.claims == ()


def test_simulated_features_under_a_real_name_never_reach_a_real_board() -> None:
    boards = boards_of(run("avca", UCF, "as-published", simulated=True))
    assert boards["ucf/main", "as-published", False].rows == ()
    assert len(boards["ucf/main", "as-published", True].rows) == 1
    assert boards["ucf/main", "as-published", True].claimed == ()


def test_a_demo_record_that_denies_being_simulated_stays_simulated() -> None:
    boards = boards_of(run("avca", Track("ucf", "demo"), simulated=False))
    assert set(boards) >= {("ucf/demo", "aligned", True)}
    assert ("ucf/demo", "aligned", False) not in boards


def test_features_of_a_user_are_not_held_against_printed_numbers() -> None:
    """Case B6: a track of one's own with the name of a published feature set."""
    track = Track("ucf", "clipclap")
    record = of("avbench", run("clipclap", track, "as-published"))
    key = ("ucf/clipclap", "as-published", False)
    (row,) = boards_of(record)[key].rows
    assert "features not verified" in row.marks
    assert (row.claims, row.comparable) == ((), False)
    trusted = frozenset({(track, record.configuration.feature_hash)})
    (row,) = boards_of(record, trusted=trusted)[key].rows
    assert "features not verified" not in row.marks
    assert row.claims == claim_for("clipclap", track)
    made_up = boards_of(record.model_copy(update={"simulated": True}))
    assert made_up[key].rows == ()
    assert made_up["ucf/clipclap", "as-published", True].rows[0].marks[0] == "simulated"


def test_a_namesake_of_a_published_method_is_not_held_against_it() -> None:
    record = of("avbench", run("tcaf", Track("ucf", "cls"), "as-published"))
    assert boards_of(record)["ucf/cls", "as-published", False].rows[0].claims == claim_for("tcaf", Track("ucf", "cls"))
    (row,) = boards_of(of("evil", record))["ucf/cls", "as-published", False].rows
    assert (row.method_key, row.claims, row.comparable) == ("tcaf~evil", (), False)


def test_failed_runs_have_no_row() -> None:
    failed = record_of(configuration_of("avca", UCF, "aligned", 0))
    assert ("ucf/main", "aligned", False) not in boards_of(failed)


def test_tracks_without_runs_still_have_their_claims() -> None:
    boards = boards_of()
    assert boards["vggsound/clap-xclip", "as-published", False].claimed
    assert all(b.protocol == "as-published" and not b.rows and not b.simulated for b in boards.values())


def test_printings_that_agree_share_a_row_and_misprints_stand_apart() -> None:
    claimed = [row for row in boards_of()["ucf/main", "as-published", False].claimed if row.method == "cjme"]
    assert [(row.values["HM"], row.papers) for row in claimed] == [
        (12.48, ("avca-2022", "hyper-2023")),
        (1.48, ("mdii-2023",)),
    ]
    assert not claimed[0].anomalies
    assert {a.id for a in claimed[1].anomalies["HM"]} == {"H1", "X1"}
    assert set(claimed[1].anomalies) == {"HM"}


def test_partial_printings_complete_each_other_but_reruns_of_others_do_not() -> None:
    claimed = [row for row in boards_of()["ucf/cls-temporal", "as-published", False].claimed if row.method == "tcaf"]
    full, *theirs = claimed
    assert full.papers == ("tcaf-2022", "ez-avgzl-2024")
    assert full.values == {"S": 67.14, "U": 40.83, "HM": 50.78, "ZSL": 44.64}
    assert [row.origin for row in theirs] == ["re-run", "re-run"]


def test_claims_and_rows_are_ordered_by_hm() -> None:
    boards = boards_of(run("weak", VGG, skill=0.1), run("strong", VGG, skill=0.8), run("fair", VGG, skill=0.5))
    assert [row.method for row in boards["vggsound/main", "aligned", False].rows] == ["strong", "fair", "weak"]
    for board in boards_of().values():
        hms = [row.values.get("HM", -1) for row in board.claimed]
        assert hms == sorted(hms, reverse=True)


def test_other_contents_of_the_features_are_groups_apart() -> None:
    genuine = sha256("genuine")
    records = [run("avca", UCF, seed=s, feature_hash=sha256("altered")) for s in (0, 1)]
    records.append(run("avca", UCF, feature_hash=genuine))
    by_size = boards_of(*records)["ucf/main", "aligned", False].groups
    assert [g.feature_hash for g in by_size] == [sha256("altered"), genuine]
    assert not any(g.verified for g in by_size)
    by_trust = boards_of(*records, trusted=frozenset({(UCF, genuine)}))["ucf/main", "aligned", False].groups
    assert [(g.feature_hash, g.verified) for g in by_trust] == [(genuine, True), (sha256("altered"), False)]


def test_reruns_beside_a_printed_row() -> None:
    # seen from the variant, as from the presets, nothing is changed: then the row is what the paper printed
    variant = run("avca", UCF, "as-published", options={**OPTIONS, "weight_decay": 0.5}, variant="modality=audio")
    shorter = run("avca", UCF, "as-published", options={**OPTIONS, "epochs": 3}, variant="modality=audio")
    records = [run("avca", UCF, "as-published"), run("avca", UCF), variant, shorter]

    def beyond(record: RunRecord) -> Mapping[str, Any] | None:
        return {} if record == variant else changed_from_presets(record)

    boards = build_boards(records, claims(), beyond)
    ablation = next(c for c in claims() if c.variant == "modality=audio" and c.track == UCF)
    assert [row.records[0] for row in reruns_of(ablation, boards)] == [variant]
    labels = {row.label for board in boards if board.protocol == "as-published" for row in board.rows}
    assert labels == {"avca", "avca (modality=audio)", "avca (modality=audio, epochs=3)"}
    (row,) = reruns_of(claim_for("avca", UCF)[0], boards)
    assert row.first.configuration.protocol.name == "as-published"
    assert row.first.variant is None


def recalls(_record: RunRecord) -> Recalls:
    return Recalls(np.full((1, 3), 40.0), np.full((1, 3), 20.0), np.full((1, 3), 30.0))


def test_averages_need_every_track_and_one_protocol() -> None:
    records = [
        run("avca", UCF),
        run("avca", VGG),
        run("cjme", UCF),
        run("cjme", VGG, "as-published"),
        run("avca", Track("ucf", "cls")),
    ]
    found = {(a.features, a.protocol): a for a in average_boards(boards_of(*records).values(), recalls)}
    both = found["main", "aligned"]
    assert both.tracks == (UCF, VGG)
    averages = {a.method: a.metrics for a in both.averages}
    assert averages["cjme"] is None
    values = [r.outcome.metrics.HM for r in records[:2] if r.outcome]
    assert averages["avca"] is not None
    assert averages["avca"]["HM"] == pytest.approx(sum(values) / 2)
    assert {a.interval for a in both.averages} == {None}  # one seed tells nothing
    assert found["cls", "aligned"].tracks == (Track("ucf", "cls"),)


def test_an_average_says_on_which_data_set_a_mark_holds() -> None:
    records = [run("avca", UCF), run("avca", VGG)]
    boards = build_boards(records, (), lambda _: {}, marks={records[0].identity: ("identical to cjme",)})
    (one,) = (average for board in average_boards(boards, recalls) for average in board.averages)
    assert "on ucf: identical to cjme" in one.marks
    assert FEW_SEEDS in one.marks  # holds on both
