"""The whole way from videos to a board, offline: made-up videos of UCF, the encoder without weights, two methods."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import pytest
from click.testing import CliRunner
from genuine_archive import ROOT, needs_archive
from simulated_videos import write_video

from avbench.harness.cli import cli
from avbench.harness.features.manifest import Manifest
from avbench.splits import ARCHIVE_NAMES, PARTS, load_split

CLIPS = 2
"""Of each class in each part, the first of the genuine lists."""
BUDGET = ["-p", "epochs=4", "-p", "batches_per_epoch=20", "-p", "batch_size=64"]


def avbench(*arguments: str) -> str:
    done = CliRunner().invoke(cli, arguments)
    assert done.exit_code == 0, done.stderr + repr(done.exception)
    return done.stdout


def cut_down(target: Path) -> list[tuple[str, str]]:
    """The genuine lists of UCF with a few clips of each class left, and those clips with their classes."""
    split, left = load_split("ucf", "main"), []
    (target / "main_split").mkdir(parents=True)
    genuine = ROOT / "UCF" / "class-split" / "main_split"
    for part in PARTS:
        name = ARCHIVE_NAMES[part]
        (target / "main_split" / f"{name}.txt").write_bytes((genuine / f"{name}.txt").read_bytes())
        with (genuine / f"{name}.csv").open(encoding="utf-8", newline="") as stream:
            rows = list(csv.DictReader(stream))
        kept = []
        for c in split.classes_of(part):
            kept += [row for row in rows if split.find(row["label"]) == c][:CLIPS]
        with (target / "main_split" / f"{name}.csv").open("w", encoding="utf-8", newline="") as stream:
            table = csv.DictWriter(stream, list(rows[0]))
            table.writeheader()
            table.writerows(kept)
        left += [(row["filename"], split.find(row["label"]).name) for row in kept]
    return left


@needs_archive
def test_from_videos_to_a_board(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("av")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("AVBENCH_HOME", str(tmp_path / "home"))
    split = load_split("ucf", "main")
    clips = cut_down(tmp_path / "class-split")
    for take, (video, owner) in enumerate(clips):
        path = tmp_path / "UCF-101" / owner / f"{video}.avi"
        write_video(path, frames=12, sound="mp3", seed=split.find(owner).id, take=take)
    words = ("data", "extract", "UCF-101", "--dataset", "ucf", "--lists", "class-split", "--encoder", "basic")
    shown = avbench(*words, "--name", "basic", "--allow-missing")
    assert "ucf/basic" in shown
    assert "all-MiniLM-L6-v2, shipped with avbench" in shown
    assert json.loads(avbench("data", "verify", "--json")) == {"ucf/basic": []}
    manifest = Manifest.model_validate_json((tmp_path / "home/features/ucf/basic.json").read_text("utf-8"))
    assert manifest.counts == {"train": 60, "val_seen": 60, "val_unseen": 24, "test_seen": 84, "test_unseen": 18}
    described = json.loads(avbench("data", "describe", "ucf/basic", "--json"))
    assert described["encoders_have_met"] == "neither"
    apart = described["separability"]
    assert min(apart["audio"], apart["visual"]) > 3 * apart["chance"], "colours and tones tell the classes apart"

    chosen = ("--method", "avca", "--method", "cjme", "--dataset", "ucf", "--features", "basic")
    records = json.loads(avbench("run", *chosen, "--device", "cpu", "--json", *BUDGET))
    assert len(records) == 2
    for record in records:
        assert (record["simulated"], record["encoders_met"]) == (False, "neither")
        assert record["outcome"]["metrics"]["S"] > 10, "30 classes to choose from and more: chance is 2 to 3"
        assert len(record["warnings"]) == 5, "the lists were cut down"
    assert "2 of 2 records are sound" in avbench("results", "verify")
    avbench("leaderboard", "build")
    board = (tmp_path / "site/boards/ucf/basic/aligned-v1.html").read_text("utf-8")
    assert "incomplete features" in board
    assert "avca (" in board
    assert "cjme (" in board
