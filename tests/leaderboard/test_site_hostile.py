"""Records from hostile strangers: none stops the build, none reaches a page raw, each is listed with a reason."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from simulated_results import OPTIONS, altered, configuration_of, reconfigured, record_of, sha256, simulated_run, store
from simulated_site import Document

from avbench.harness.cli import cli
from avbench.harness.records.marks import CONFLICT
from avbench.harness.records.record import Environment, Failure, Measured, RunRecord
from avbench.harness.records.results import ResultsFolder
from avbench.harness.tracks import Track
from avbench.leaderboard.site import build_site
from avbench.leaderboard.site.files import hashes
from avbench.leaderboard.site.model import NEVER, Site, started

UCF = Track("ucf", "main")
MARKUP = "<script>alert(1)</script><img src=x onerror=alert(2)>\"'></title></table>{{ 7 * 7 }}\x1b[31m\u202e\x00"
LONG = "A" * 10_000


def build(root: Path) -> tuple[Site, dict[str, str]]:
    site = build_site(ResultsFolder(root / "results"), root / "out")
    return site, {p.relative_to(root / "out").as_posix(): p.read_text("utf-8") for p in (root / "out").rglob("*.html")}


def write_raw(root: Path, record: RunRecord, evidence: bytes, **changes: Any) -> Path:
    """A record file as a stranger writes it: fields replaced by dotted path, nothing validated."""
    data = json.loads(record.to_json())
    for name, value in changes.items():
        *parents, last = name.split("__")
        place = data
        for parent in parents:
            place = place[parent]
        place[last] = value
    path = ResultsFolder(root / "results").path(record.configuration)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(data))
    path.with_suffix(".safetensors").write_bytes(evidence)
    return path


def test_markup_in_every_text_field_is_text(tmp_path: Path) -> None:
    evil = simulated_run("evil", UCF, options={MARKUP: MARKUP, **OPTIONS})
    record = evil[0].model_copy(
        update={
            "variant": MARKUP,
            "warnings": [MARKUP],
            "environment": Environment(
                avbench=MARKUP,
                python=f"3.11 {MARKUP}",
                torch=f"2.13.0 {MARKUP}",
                platform=MARKUP,
                device=MARKUP,
                threads=1,
                git_commit=MARKUP,
                git_dirty=True,
            ),
            "measured": Measured(started="2024-05-01T12:00:00Z", seconds=1.0),
        }
    )
    plugin = record.configuration.plugin.model_copy(update={"version": MARKUP})
    record = reconfigured(record, plugin=plugin)
    failed = record_of(
        configuration_of("evil", UCF, "aligned", 5),
        failure=Failure(type=MARKUP, message=MARKUP, traceback=MARKUP),
    )
    store(tmp_path / "results", [(record, evil[1])]).save(failed, None)
    site, pages = build(tmp_path)
    assert [r.identity for r in site.gate.sound] == [record.identity]
    run = pages[f"runs/{record.identity[:20]}.html"]
    assert "&lt;script&gt;alert(1)" in run
    for path, text in pages.items():
        assert "<script>alert" not in text, path
        assert "<img" not in text, path
        assert not {"\x1b", "\u202e", "\x00"} & set(text), path
        assert "49" not in text.partition("{{")[2][:20], path
        Document(text)  # tags still nest
    for path in (p for p in (tmp_path / "out").rglob("*") if p.suffix in (".svg", ".xml")):
        assert "<script" not in path.read_text("utf-8"), path
        assert "<img" not in path.read_text("utf-8"), path


def test_long_texts_are_cut(tmp_path: Path) -> None:
    evil = simulated_run("evil", UCF, options={LONG: LONG, **OPTIONS})
    path = write_raw(tmp_path, *simulated_run("longname", UCF), configuration__method=LONG)
    store(tmp_path / "results", [evil])
    site, pages = build(tmp_path)
    assert len(site.gate.sound) == 1
    assert [r.where for r in site.gate.rejected] == [path.relative_to(tmp_path / "results").as_posix()]
    for name, text in pages.items():
        assert "A" * 2_000 not in text, name


ABOUT = {"title": "T", "summary": "", "citation": ""}
HALF = {"values": {"x": ["\ud800"]}}
BROKEN: dict[str, tuple[dict[str, Any], str]] = {
    "nan": ({"outcome__metrics__HM": float("nan")}, "NaN is not a number"),
    "negative": ({"outcome__metrics__S": -3.0}, "greater than or equal to 0"),
    "over 100": ({"outcome__metrics__U": 101.0}, "less than or equal to 100"),
    "unknown field": ({"bonus": 1}, "Extra inputs"),
    "other identity": ({"identity": "0" * 64}, "identity does not follow"),
    "newer schema": ({"schema_version": 99}, "newer than"),
    "absurd time": ({"measured__seconds": 1e300}, "less than or equal to"),
    "absurd size": ({"outcome__parameters": 10**30}, "less than or equal to"),
    "half a character": ({"variant": "\ud800"}, "half a character"),
    "half a character in an option": ({"configuration__options": {"x": "\ud800"}}, "half a character"),
    "half a character in a preset": (
        {"about": {**ABOUT, "presets": [{"values": {"x": ["\ud800"]}}]}},
        "half a character",
    ),
    "half a character in a name": ({"about": {**ABOUT, "variant": {"\ud800": 1}}}, "half a character"),
    "path trick": ({"configuration__method": "../../../evil"}, "pattern"),
    "text for a number": ({"configuration__seed": "drop table"}, "integer"),
}


@pytest.mark.parametrize("case", BROKEN)
def test_broken_records_are_listed(case: str, tmp_path: Path) -> None:
    changes, reason = BROKEN[case]
    write_raw(tmp_path, *simulated_run("evil", UCF, clips=2), **changes)
    store(tmp_path / "results", [simulated_run("good", UCF)])
    site, pages = build(tmp_path)
    assert [r.configuration.method for r in site.gate.sound] == ["good"]
    (rejected,) = site.gate.rejected
    assert reason in rejected.reasons[0]
    assert str(tmp_path) not in pages["rejected.html"]
    assert sorted(p.name for p in tmp_path.iterdir()) == ["out", "results"]


def dishonest(case: str) -> tuple[RunRecord, bytes]:
    record, evidence = simulated_run("evil", UCF)
    assert record.outcome is not None
    metrics = record.outcome.metrics
    changed = {
        "better number": altered(record, metrics=metrics.model_copy(update={"ZSL": metrics.ZSL + 1})),
        "offset of the test set": altered(record, offset=record.outcome.offset + 0.5),
        "unknown split": reconfigured(record, split_fingerprint="0" * 64),
        "unknown protocol": reconfigured(
            record, protocol=record.configuration.protocol.model_copy(update={"name": "mine"})
        ),
        "other version": reconfigured(record, protocol=record.configuration.protocol.model_copy(update={"version": 7})),
        "unknown data set": reconfigured(record, dataset="imagenet"),
        "evidence of another run": altered(record, evidence=sha256("other")),
    }
    return changed[case], evidence


@pytest.mark.parametrize(
    ("case", "reason"),
    [
        ("better number", "ZSL is stated as"),
        ("offset of the test set", "offset is"),
        ("unknown split", "unknown split"),
        ("unknown protocol", "unknown protocol 'mine'"),
        ("other version", "has version 1, the record 7"),
        ("unknown data set", "unknown split"),
        ("evidence of another run", "hash differs"),
    ],
)
def test_dishonest_records_are_listed(case: str, reason: str, tmp_path: Path) -> None:
    store(tmp_path / "results", [dishonest(case), simulated_run("good", UCF)])
    site, pages = build(tmp_path)
    (rejected,) = site.gate.rejected
    assert reason in " ".join(rejected.reasons)
    assert reason.partition("'")[0] in pages["rejected.html"]
    assert str(tmp_path) not in pages["rejected.html"]
    assert not [path for path in pages if path.startswith("runs/") and "evil" in pages[path]]
    assert not [path for path in hashes(tmp_path / "out") if "imagenet" in path or "mine" in path]


def test_missing_and_huge_evidence_and_links(tmp_path: Path) -> None:
    folder = store(tmp_path / "results", [simulated_run(m, UCF) for m in ("gone", "huge", "link", "good")])
    files = {r.configuration.method: folder.evidence_path(r) for r in folder.records() if isinstance(r, RunRecord)}
    files["gone"].unlink()
    os.truncate(files["huge"], 200 * 2**20)
    files["link"].unlink()
    files["link"].symlink_to("/dev/zero")
    big = tmp_path / "results" / "big.json"
    big.touch()
    os.truncate(big, 200 * 2**20)
    (tmp_path / "results" / "zero.json").symlink_to("/dev/zero")
    site, _ = build(tmp_path)
    assert [r.configuration.method for r in site.gate.sound] == ["good"]
    reasons = {r.where.partition("/")[0] if "/" not in r.where else r.method: r.reasons[0] for r in site.gate.rejected}
    assert "is missing" in reasons["gone"]
    assert "larger than" in reasons["huge"]
    assert "not a regular file" in reasons["link"]
    assert "larger than" in reasons["big.json"]
    assert "not a regular file" in reasons["zero.json"]


def test_a_copy_of_anothers_run_stands_and_says_so(tmp_path: Path) -> None:
    record, evidence = simulated_run("honest", UCF)
    copy = reconfigured(record, method="copycat")
    store(tmp_path / "results", [(record, evidence), (copy, evidence)])
    site, pages = build(tmp_path)
    assert site.gate.marks == {
        record.identity: ("identical to copycat",),
        copy.identity: ("identical to honest",),
    }
    for mark in ("identical to copycat", "identical to honest"):
        assert mark in pages["boards/ucf/main/aligned-v1.html"]


def test_duplicate_identity_elsewhere_is_no_second_run(tmp_path: Path) -> None:
    folder = store(tmp_path / "results", [simulated_run("good", UCF)])
    (record,) = [r for r in folder.records() if isinstance(r, RunRecord)]
    shutil.copytree(folder.path(record.configuration).parent, tmp_path / "results" / "again")
    site, _ = build(tmp_path)
    assert len(site.gate.sound) == 1
    assert "does not lie where its configuration belongs" in site.gate.rejected[0].reasons[0]


def test_other_clips_under_the_same_features_are_marked_and_not_tested(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Rows on other clips cannot be tested against each other. Junk, whatever its date, puts out no genuine run."""
    track = Track("ucf", "mine")
    runs = [simulated_run(f"m{i}", track, clips=4, simulated=True) for i in range(3)]
    early = Measured(started="2020-06-01T12:00:00Z", seconds=60.0)
    runs += [simulated_run("m0", track, seed=s, clips=4, simulated=True) for s in (1, 2)]
    runs += [simulated_run("odd", track, seed=s, clips=5, simulated=True, measured=early) for s in range(3)]
    store(tmp_path / "results", runs)
    site, pages = build(tmp_path)
    assert not site.gate.rejected
    (board,) = (ranked for ranked in site.boards if ranked.board.track == track)
    (group,) = board.groups
    assert len(group.rows) == 4
    for ranked in group.rows:
        assert any(mark.startswith(CONFLICT) for mark in ranked.row.marks)
        assert not ranked.standing.enough
        assert not ranked.intervals
    assert any(CONFLICT in text for name, text in pages.items() if not name.startswith("runs/"))
    assert "demo/compare/ucf/mine.html" not in pages  # nothing there may be compared
    assert "demo/compare/ucf/mine.html" not in pages["demo.html"]
    monkeypatch.setattr("avbench.leaderboard.site.build_site", lambda *_, **__: site)
    told = CliRunner().invoke(cli, ["leaderboard", "build", "--results", str(tmp_path / "results")]).stderr.splitlines()
    assert len(told) == 1
    assert told[0].startswith("in conflict: ucf/mine, features ")
    assert "5 runs (" in told[0]
    assert all(run[0].identity[:8] in told[0] for run in runs)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("2024-05-01T12:00:00Z", "2024-05-01T12:00:00Z"),
        ("2024-05-01T14:00:00+02:00", "2024-05-01T12:00:00Z"),
        ("0001-01-01T00:00:00+14:00", NEVER),
        ("yesterday", NEVER),
        ("9999-12-31T23:59:59-14:00", NEVER),
    ],
)
def test_dates_of_strangers(text: str, expected: str) -> None:
    record = record_of(configuration_of("m", UCF, "aligned", 0), measured=Measured(started=text))
    assert started(record) == expected
