"""Damage to any file: a thousand random flips, cuts and extensions are found or harmless, and none is a traceback.

"Found" by what uses the file: the search for finished runs that ``run`` makes, the gate that ``verify``, ``accept`` and
the build share, the loading of features, and ``data verify``. "Harmless": what is read is what was written.
"""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from simulated_reproductions import differing
from simulated_results import simulated_run, store

from avbench.harness.errors import AvbenchError, DataError
from avbench.harness.features.draft import ClipGroup, Draft
from avbench.harness.features.store import Store
from avbench.harness.plugins.sources import load_features
from avbench.harness.records.finding import nothing_declared
from avbench.harness.records.gate import judge_folder
from avbench.harness.records.planned import PlannedRun
from avbench.harness.records.record import RunRecord
from avbench.harness.records.results import ResultsFolder
from avbench.harness.records.submission import accept_submission, write_submission
from avbench.harness.records.verification import check
from avbench.harness.running.session import known_of
from avbench.harness.tracks import Track
from avbench.splits import PARTS, SplitClass, load_split

pytestmark = pytest.mark.slow

EACH = 220
"""Damages of each of the six kinds of file."""
TRACK = Track("ucf", "tiny")
RUN = simulated_run("avca", Track("ucf", "main"), clips=2, simulated=True)


def damaged(content: bytes, dice: random.Random) -> tuple[str, bytes]:
    """Content with one to four bits flipped, cut short, or extended."""
    kind = dice.choice(("flip", "flip", "flip", "cut", "extend"))
    if kind == "cut":
        return kind, content[: dice.randrange(len(content))]
    if kind == "extend":
        return kind, content + dice.randbytes(dice.choice((1, 10, 1000)))
    changed = bytearray(content)
    for _ in range(dice.randint(1, 4)):  # half of them where the structure is
        place = dice.randrange(min(len(changed), 600)) if dice.random() < 0.5 else dice.randrange(len(changed))
        changed[place] ^= 1 << dice.randrange(8)
    return kind, bytes(changed)


def damage(path: Path, use: Callable[[], str], seed: int) -> Counter[str]:
    """Damage a file again and again and say what came of it; ``use`` gives "found" or "harmless"."""
    content, dice, outcomes = path.read_bytes(), random.Random(seed), Counter[str]()
    for number in range(EACH):
        kind, changed = damaged(content, dice)
        if changed == content:
            changed = content + b"\0"
        path.write_bytes(changed)
        try:
            outcomes[use()] += 1
        except BaseException as error:
            error.add_note(f"{path.name}: damage {number} ({kind})")
            raise
    path.write_bytes(content)
    assert use() == "harmless"
    return outcomes


def results_used(folder: ResultsFolder) -> Callable[[], str]:
    """What ``run`` and ``verify`` make of a folder with one run. They must agree."""
    record = RUN[0]
    planned = PlannedRun(record.configuration)

    def use() -> str:
        (known,) = known_of([planned], folder)  # run
        found = known.record if known.stands else None
        (there,) = folder.records()  # verify
        sound = isinstance(there, RunRecord) and not check(there, folder)
        assert sound == (found is not None)
        if found is None:
            return "found"
        assert found == there
        assert metrics(found) == pytest.approx(metrics(record), abs=1e-6)
        assert found.configuration == record.configuration
        return "harmless"

    return use


def metrics(record: RunRecord) -> dict[str, float]:
    assert record.outcome is not None
    return record.outcome.metrics.model_dump()


def test_records(tmp_path: Path) -> None:
    folder = store(tmp_path, [RUN])
    outcomes = damage(folder.path(RUN[0].configuration), results_used(folder), 1)
    print(f"\nrecord: {dict(outcomes)}")


def test_evidence(tmp_path: Path) -> None:
    folder = store(tmp_path, [RUN])
    outcomes = damage(folder.evidence_path(RUN[0]), results_used(folder), 2)
    print(f"\nevidence: {dict(outcomes)}")
    assert set(outcomes) == {"found"}


def test_packs(tmp_path: Path) -> None:
    folder, pack = store(tmp_path / "theirs", [RUN]), tmp_path / "s.zip"
    write_submission(pack, [RUN[0]], folder)
    number = iter(range(10**6))

    def use() -> str:
        ours = ResultsFolder(tmp_path / f"ours{next(number)}")
        try:
            accept_submission(pack, ours)
        except AvbenchError:
            assert not ours.root.exists()
            return "found"
        (there,) = ours.records()
        assert isinstance(there, RunRecord)
        assert (there, check(there, ours)) == (RUN[0], [])
        return "harmless"

    print(f"\npack: {dict(damage(pack, use, 3))}")


def test_reproductions(tmp_path: Path) -> None:
    folder, whole = store(tmp_path, [RUN]), differing(RUN[0], 1)
    path = folder.save_reproduction(RUN[0], whole)

    def use() -> str:
        verdicts = judge_folder(folder, [RUN[0]], nothing_declared)
        found = verdicts.reproductions.get(RUN[0].identity)
        assert not verdicts.reasons[RUN[0].identity]
        assert bool(verdicts.refused) == (found is None)
        assert found in (None, whole)
        return "harmless" if found else "found"

    assert set(damage(path, use, 6)) == {"found"}


@pytest.fixture
def features(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Store:
    monkeypatch.setenv("AVBENCH_HOME", str(tmp_path))
    split, generator = load_split("ucf", "main"), np.random.default_rng(0)

    def group(part: str, owner: SplitClass) -> ClipGroup:
        audio, visual = (generator.standard_normal((1, 3)).astype(np.float32) for _ in range(2))
        return ClipGroup(part, owner, (f"{part}-{owner.id}",), lambda: (audio, visual))

    groups = tuple(group(part, owner) for part in PARTS for owner in split.classes_of(part))
    vectors = generator.standard_normal((len(split.classes), 4)).astype(np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    Store().save(Draft(TRACK, split, "tests", 3, 3, vectors, groups, ("one clip per class",)))
    return Store()


def features_used(store: Store) -> Callable[[], str]:
    """What ``run`` and ``data verify`` make of a stored feature set. What verify finds, run must not train on."""
    before = store.load(TRACK)
    audio, usual = before.audio.clone(), store.verify(TRACK)

    def use() -> str:
        load_features.cache_clear()
        new = set(store.verify(TRACK)) - set(usual)
        try:
            loaded = load_features(TRACK)
        except DataError:
            assert new, "run refuses what verify takes"
            return "found"
        assert not any("hash" in problem for problem in new), "run takes what verify refuses"
        assert loaded.manifest.content_hash == before.manifest.content_hash
        assert bool((loaded.audio == audio).all())
        return "found" if new else "harmless"

    return use


def test_manifests(features: Store) -> None:
    print(f"\nmanifest: {dict(damage(features._path(TRACK), features_used(features), 4))}")


def test_data(features: Store) -> None:
    (path,) = features._files(TRACK)
    print(f"\ndata: {dict(damage(path, features_used(features), 5))}")


def test_a_thousand() -> None:
    assert 6 * EACH >= 1_000
