from __future__ import annotations

from pathlib import Path

from simulated_results import reconfigured, simulated_run, store

from avbench.harness.tracks import Track
from avbench.leaderboard.boards import build_boards
from avbench.leaderboard.ranking import rank_rows, recalls_of, recalls_of_run
from avbench.leaderboard.statistics import compare

TRACK = Track("activitynet", "main")


def test_the_same_method_under_two_names_ties_and_a_far_better_one_leads(tmp_path: Path) -> None:
    runs = [simulated_run("strong", TRACK, seed=s, skill=0.8) for s in range(3)]
    weak = [simulated_run("weak", TRACK, seed=s, skill=0.3) for s in range(3)]
    runs += [*weak, *((reconfigured(record, method="copy"), content) for record, content in weak)]
    folder = store(tmp_path, runs)
    (board,) = build_boards([record for record, _ in runs], [], lambda _: {})
    ranked = rank_rows(board.groups[0], lambda record: recalls_of_run(record, folder))
    assert [(r.row.method, str(r.standing)) for r in ranked] == [("strong", "1"), ("copy", "2–3"), ("weak", "2–3")]
    assert ranked[0].standing.p is not None
    assert ranked[0].standing.p < 0.01
    assert ranked[2].standing.p == 1
    for r in ranked:
        for metric, interval in r.intervals.items():
            assert interval.low <= r.row.metrics[metric].mean <= interval.high


def test_the_difference_is_that_of_the_numbers_shown(tmp_path: Path) -> None:
    runs = [simulated_run(m, TRACK, seed=s, skill=0.2 + 0.2 * s) for m in ("one", "two") for s in range(3)]
    folder = store(tmp_path, runs)
    (board,) = build_boards([record for record, _ in runs], [], lambda _: {})
    first, second = board.rows
    found = compare(*(recalls_of(row, lambda record: recalls_of_run(record, folder)) for row in (first, second)))
    for metric, difference in found.items():
        assert abs(difference.points - (second.metrics[metric].mean - first.metrics[metric].mean)) < 1e-9
