from __future__ import annotations

from pathlib import Path

from simulated_results import reconfigured, simulated_run, store

from avbench.harness.tracks import Track
from avbench.leaderboard.boards import build_boards
from avbench.leaderboard.ranking import rank_rows, recalls_of_run

TRACK = Track("activitynet", "main")


def test_the_same_method_under_two_names_ties_and_a_far_better_one_leads(tmp_path: Path) -> None:
    runs = [simulated_run("strong", TRACK, seed=s, skill=0.8) for s in (0, 1)]
    runs.append(simulated_run("weak", TRACK, skill=0.3))
    record, content = runs[-1]
    runs.append((reconfigured(record, method="copy"), content))
    folder = store(tmp_path, runs)
    (board,) = build_boards([record for record, _ in runs], [], lambda _: {})
    ranked = rank_rows(board.groups[0], lambda record: recalls_of_run(record, folder))
    assert [(r.row.method, r.standing.rank) for r in ranked] == [("strong", 1), ("copy", 2), ("weak", 2)]
    assert ranked[1].standing.p_above is not None
    assert ranked[1].standing.p_above < 0.01
    assert ranked[2].standing.p_above == 1
    for r in ranked:
        for metric, interval in r.intervals.items():
            assert interval.low <= r.row.metrics[metric].mean <= interval.high
