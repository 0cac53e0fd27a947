"""``data describe``: separability against the slow way, near-duplicates that were planted, a figure of equal bytes."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner
from simulated_arrays import array_files

from avbench.harness.cli import cli
from avbench.harness.features import describe as description
from avbench.harness.features.demo import demo
from avbench.harness.features.describe import describe, leave_one_out


def test_leave_one_out_by_the_slow_way(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(description, "ROWS_AT_ONCE", 7)
    generator = np.random.default_rng(0)
    owners = np.repeat([3, 5, 9, 11], [6, 2, 9, 1])
    values = (generator.standard_normal((len(owners), 5)) + 0.5 * owners[:, None]).astype(np.float32)
    right: dict[int, list[bool]] = {3: [], 5: [], 9: []}
    for row, owner in enumerate(owners):
        if owner == 11:
            continue  # a class of one clip has no other
        others = np.arange(len(owners)) != row
        means = {c: values[others & (owners == c)].mean(axis=0) for c in (3, 5, 9, 11)}
        nearest = min(means, key=lambda c: float(np.sum((values[row] - means[c]) ** 2)))
        right[int(owner)].append(nearest == owner)
    expected = 100 * np.mean([np.mean(answers) for answers in right.values()])
    assert 0 < expected < 100
    assert leave_one_out(values, owners) == pytest.approx(expected)


def test_one_clip_a_class_says_nothing() -> None:
    assert leave_one_out(np.eye(3, dtype=np.float32), np.arange(3)) is None


def test_the_nearest_clip_by_the_slow_way(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(description, "ROWS_AT_ONCE", 50)
    features = demo("ucf")
    found = describe(features, most=10_000)
    learnt = {"val_seen": features.rows["train"], "test_unseen": slice(0, features.rows["val_unseen"].stop)}
    units = []
    for values in (features.audio.numpy(), features.visual.numpy()):
        known = values[: features.rows["val_unseen"].stop].astype(np.float64)
        deviation = known.std(axis=0)
        scaled = (values - known.mean(axis=0)) / np.where(deviation > 0, deviation, 1)
        units.append(scaled / np.linalg.norm(scaled, axis=1, keepdims=True))
    pairs = {pair.row: pair for pair in found.pairs}
    for part, gallery in learnt.items():
        for n, row in enumerate(range(features.rows[part].start, features.rows[part].stop)):
            cosines = [[float(u[row] @ u[other]) for other in range(gallery.start, gallery.stop)] for u in units]
            assert found.similarity[part]["audio"][n] == pytest.approx(max(cosines[0]), abs=1e-5)
            both = np.mean(cosines, axis=0)
            assert found.similarity[part]["both"][n] == pytest.approx(both.max(), abs=1e-5)
            assert both[pairs[row].nearest] == pytest.approx(both.max(), abs=1e-5)
            if n == 20:
                break


def test_planted_copies_are_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Copies of training clips among the unseen ones under test: their share is told, and the pairs come first."""
    monkeypatch.setenv("AVBENCH_HOME", str(tmp_path / "home"))
    files = array_files(tmp_path / "arrays")
    lines = files.clips.read_text("utf-8").splitlines()[1:]
    rows = {line.split(",")[0]: number for number, line in enumerate(lines)}
    copies = [(rows[video], n) for n, video in enumerate(sorted(v for v in rows if v.startswith("test_unseen"))[:5])]
    sources = sorted(v for v in rows if v.startswith("train"))
    for path in (files.audio, files.visual):
        values = np.load(path)
        for row, n in copies:
            values[row] = values[rows[sources[n]]] * 1.0001
        np.save(path, values)
    words = ["data", "add", "own", "--dataset", "ucf", *files.arguments(), "--allow-missing"]
    assert CliRunner().invoke(cli, words).exit_code == 0
    words = ["data", "describe", "ucf/own", "--near", "0.9999", "--figure"]
    shown = CliRunner().invoke(cli, [*words, str(tmp_path / "a.svg"), "--json"])
    assert shown.exit_code == 0, shown.output
    content = json.loads(shown.stdout)
    parts = {line["part"]: line for line in content["parts"]}
    assert parts["test_unseen"]["near both %"] == pytest.approx(100 * 5 / 27)
    assert parts["test_seen"]["near both %"] == 0
    assert "near both %" not in parts["train"]
    assert content["encoders_have_met"] == "not declared"
    assert content["steps"] == {}
    assert {pair["part"] for pair in content["pairs"]} == {"test_unseen"}
    for pair in content["pairs"]:
        assert pair["clip"].startswith("test_unseen-")
        assert pair["nearest learnt from"].startswith("train-")
    again = CliRunner().invoke(cli, [*words, str(tmp_path / "b.svg")])
    assert "test_unseen" in again.stdout
    assert (tmp_path / "a.svg").read_bytes() == (tmp_path / "b.svg").read_bytes()
    assert b"cosine to the nearest clip" in (tmp_path / "a.svg").read_bytes()


def test_other_figures_are_refused(tmp_path: Path) -> None:
    from avbench.harness.errors import UsageError

    refused = CliRunner().invoke(cli, ["data", "describe", "ucf/demo", "--figure", str(tmp_path / "a.exe")])
    assert isinstance(refused.exception, UsageError)
    assert not list(tmp_path.iterdir())
