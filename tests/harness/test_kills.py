"""Killed at any file operation: the old state or the new, no finished run lost, no litter after the next command.

Every operation is repeated from the same state, in a child that is killed a little later each time.
"""

from __future__ import annotations

import multiprocessing
import os
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest
import torch
from killed import changes_of, killed_at
from simulated_features import Ridge, simulated_features
from simulated_results import simulated_run, store

from avbench.harness.contract.data import Classes, Clips
from avbench.harness.features.draft import ClipGroup, Draft
from avbench.harness.features.store import Store
from avbench.harness.plugins.registry import LOOSE, Plugins, Registered
from avbench.harness.records.record import RunRecord
from avbench.harness.records.results import ResultsFolder
from avbench.harness.records.submission import accept_submission, write_submission
from avbench.harness.records.verification import check
from avbench.harness.running import jobs, runs, workers
from avbench.harness.running.jobs import execute_all
from avbench.harness.running.runs import plan
from avbench.harness.running.tidy import tidy_up
from avbench.harness.tracks import Track
from avbench.leaderboard.site import build, exchange
from avbench.leaderboard.site.exchange import recover
from avbench.leaderboard.site.files import hashes, read_manifest
from avbench.leaderboard.site.page import File
from avbench.leaderboard.site.publish import publish_site
from avbench.splits import PARTS, load_split

pytestmark = pytest.mark.slow

Say = Callable[[str], None]
TRACK = Track("ucf", "simulated")
UCF = Track("ucf", "main")
STORED = Track("ucf", "tiny")
CPU = torch.device("cpu")


class Shaky(Ridge):
    """A method whose bits differ from one repetition to the next, as on a GPU."""

    info = replace(Ridge.info, slug="shaky")
    shift = 0.0

    def predict(self, clips: Clips, classes: Classes) -> torch.Tensor:
        scores = super().predict(clips, classes)
        return scores + Shaky.shift * torch.linspace(0, 1, scores.shape[1])


@dataclass(frozen=True)
class Case:
    """An operation, the state that it starts from, and what must hold after a kill and the next command."""

    name: str
    prepare: Callable[[Path], None]
    work: Callable[[Path, Say], None]
    judge: Callable[[Path, list[str]], None]
    """Gets the folder and what the work had said before it was killed."""
    at_least: int
    """Kills that it takes to have met every kind of operation."""
    at_most: int = 1000
    """Kills; spread evenly where there are more operations."""


def everything(folder: Path) -> set[str]:
    return {p.relative_to(folder).as_posix() for p in folder.rglob("*") if not p.is_dir()}


def no_litter(place: Path) -> None:
    assert not [path for path in place.rglob("*") if path.name.startswith(".")]


# ---- results


def planned(method: str, seeds: int) -> list[runs.PlannedRun]:
    return plan([method], [TRACK], ["aligned"], range(seeds))


def do(method: str, seeds: int, place: Path, say: Say, *, at_once: int = 1) -> None:
    todo = planned(method, seeds)
    results = tidy_up(ResultsFolder(place / "results"))
    for _, record in execute_all(todo, results, [CPU], at_once, lambda *_: None):
        assert record.finished, record.failure
        say(f"{record.identity} {record.outcome.evidence if record.outcome else ''}")


def sound_results(place: Path, said: list[str]) -> ResultsFolder:
    """Every run that was reported is there, all are sound, and there is nothing else."""
    folder = tidy_up(ResultsFolder(place / "results"))
    expected, found = set(), {}
    for record in folder.records():
        assert isinstance(record, RunRecord), record
        assert check(record, folder) == []
        found[record.identity] = record
        expected |= {p.relative_to(folder.root).as_posix() for p in (folder.path(record.configuration),)}
        expected.add(folder.evidence_path(record).relative_to(folder.root).as_posix())
    for line in said:
        identity, evidence = line.split()
        assert found[identity].outcome is not None
        assert found[identity].outcome.evidence == evidence  # type: ignore[union-attr]
    assert everything(folder.root) == expected
    no_litter(place)
    return folder


def one_run(place: Path) -> None:
    do("shaky", 1, place, lambda _: None)


def after_run(place: Path, said: list[str]) -> None:
    folder = sound_results(place, said)
    assert folder.find(planned("shaky", 1)[0].configuration), "the run of before is lost"


def other_bits(place: Path, say: Say) -> None:
    Shaky.shift = 3.0
    do("shaky", 1, place, say)


def submission(place: Path) -> None:
    new = [simulated_run("avca", UCF, seed=seed, clips=2, simulated=True) for seed in range(2)]
    theirs = store(place.parent / "theirs", new)
    records = [r for r in theirs.records() if isinstance(r, RunRecord)]
    write_submission(place / "s.zip", records, theirs)
    store(place / "results", [simulated_run("ale", UCF, clips=2, simulated=True)])


def accept(place: Path, say: Say) -> None:
    accept_submission(place / "s.zip", tidy_up(ResultsFolder(place / "results")))


def all_or_none(place: Path, said: list[str]) -> None:
    folder = sound_results(place, said)
    assert len(list(folder.records())) in (1, 3)


# ---- store


def draft(seed: int) -> Draft:
    split, generator = load_split("ucf", "main"), np.random.default_rng(seed)
    vectors = generator.standard_normal((len(split.classes), 4)).astype(np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)

    def group(part: str, owner: object, name: str) -> ClipGroup:
        audio, visual = (generator.standard_normal((1, 3)).astype(np.float32) for _ in range(2))
        return ClipGroup(part, owner, (name,), lambda: (audio, visual))  # type: ignore[arg-type]

    groups = tuple(group(part, c, f"{part}-{c.id}") for part in PARTS for c in split.classes_of(part))
    return Draft(STORED, split, "tests", 3, 3, vectors, groups, ("one clip per class",))


def installed(place: Path) -> None:
    Store(place / "store").save(draft(0))


def add(place: Path, say: Say) -> None:
    say(Store(place / "store").save(draft(1), replace=True).content_hash)


def remove(place: Path, say: Say) -> None:
    Store(place / "store").remove(STORED)
    say("removed")


def sound_store(place: Path, said: list[str]) -> None:
    features = Store(place / "store")
    features.tidy()
    no_litter(place)
    if STORED in features.tracks():
        assert said != ["removed"]
        found = features.load(STORED).manifest.content_hash
        assert not said or said == [found]
        assert not any("content hash" in problem for problem in features.verify(STORED))
    assert len(everything(features.root)) == 2 * len(features.tracks())


# ---- site


def made(content: str) -> Callable[..., Iterator[File]]:
    return lambda *_: iter([File("index.html", content), File("a/b.html", content)])


def site_of(content: str, place: Path) -> None:
    build._everything = made(content)  # type: ignore[assignment]
    build.build_site(ResultsFolder(place / "results"), place / "site", processes=1)


def old_site(place: Path) -> None:
    site_of("old", place)


def rebuild(place: Path, say: Say) -> None:
    site_of("new", place)
    say("new")


def rebuild_by_two_renames(place: Path, say: Say) -> None:
    exchange._exchanged = lambda *_: False
    rebuild(place, say)


def whole_site(place: Path, said: list[str]) -> None:
    recover(place / "site")
    assert hashes(place / "site") == read_manifest(place / "site").files
    assert (place / "site" / "index.html").read_text() in ([*said] or ["old", "new"])
    assert set(os.listdir(place)) <= {"site", "tmp"}
    no_litter(place)


def published(place: Path) -> None:
    old_site(place)
    subprocess.run(["git", "init", "--quiet", "--bare", str(place / "remote.git")], check=True)
    publish_site(place / "site", str(place / "remote.git"))
    site_of("new", place)


def publish(place: Path, say: Say) -> None:
    publish_site(place / "site", str(place / "remote.git"))
    say("new")


def whole_branch(place: Path, said: list[str]) -> None:
    shown = subprocess.run(
        ["git", "show", "gh-pages:index.html"], cwd=place / "remote.git", capture_output=True, text=True, check=True
    )
    assert shown.stdout in ([*said] or ["old", "new"])
    tidy_up(ResultsFolder(place / "results"))
    assert not list((place / "tmp").iterdir())


CASES = (
    Case("run", one_run, lambda p, say: do("shaky", 3, p, say), after_run, at_least=60),
    Case("run --fresh", one_run, other_bits, after_run, at_least=20),
    Case("run --jobs 2", one_run, lambda p, say: do("shaky", 3, p, say, at_once=2), after_run, at_least=20, at_most=20),
    Case("accept", submission, accept, all_or_none, at_least=60),
    Case("add or import", lambda _: None, add, sound_store, at_least=12),
    Case("add --force", installed, add, sound_store, at_least=12),
    Case("remove", installed, remove, sound_store, at_least=5),
    Case("build", old_site, rebuild, whole_site, at_least=8),
    Case("build by two renames", old_site, rebuild_by_two_renames, whole_site, at_least=8),
    Case("publish", published, publish, whole_branch, at_least=10, at_most=15),
)


@pytest.fixture(autouse=True)
def simulated_world(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    features = simulated_features()
    world = Plugins(methods={"shaky": Registered(Shaky, LOOSE, "1.0")})
    for module in (runs, jobs):
        monkeypatch.setattr(module, "plugins", lambda: world)
    monkeypatch.setattr(runs, "planned_features", lambda *_: features)
    monkeypatch.setattr(runs, "feature_manifest", lambda _: features.manifest)
    monkeypatch.setattr(os, "fsync", lambda _: None)
    monkeypatch.setattr(build, "_everything", build._everything)
    context = multiprocessing.get_context("fork")  # workers that know the simulated world, and start at once
    monkeypatch.setattr(workers.multiprocessing, "get_context", lambda _: context)


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_killed_at_every_file_operation(case: Case, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ready, place = tmp_path / "ready", tmp_path / "place"
    (ready / "tmp").mkdir(parents=True)
    case.prepare(ready)
    monkeypatch.setattr(tempfile, "tempdir", str(place / "tmp"))

    def again(say: Say) -> None:
        case.work(place, say)

    shutil.copytree(ready, place)
    total = changes_of(again, place)
    numbers = sorted({round(n) for n in np.linspace(1, total, min(total, case.at_most))})
    for number in numbers:
        shutil.rmtree(place)
        shutil.copytree(ready, place)
        said = killed_at(number, again, place)
        try:
            case.judge(place, said)
        except BaseException as error:
            error.add_note(f"killed before file operation {number} of {total}")
            raise
    print(f"\n{case.name}: {len(numbers)} kills")
    assert len(numbers) >= case.at_least
