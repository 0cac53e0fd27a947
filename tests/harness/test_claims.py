"""Claims on runs: one owner at a time, the dead are relieved, and several commands share the work."""

from __future__ import annotations

import os
import threading
from collections import Counter
from dataclasses import replace
from pathlib import Path

import pytest

from avbench.harness.owner import Owner, me
from avbench.harness.running import claims
from avbench.harness.running.claims import Claims


def dead() -> Owner:
    """A process that has ended."""
    child = os.fork()
    if child == 0:
        os._exit(0)
    os.waitpid(child, 0)
    return replace(me(), pid=child)


def claimed_by(root: Path, owner: str, name: str = "run") -> Path:
    path = root / ".claims" / name
    path.parent.mkdir(exist_ok=True)
    path.write_text(owner)
    return path


def test_a_run_has_one_owner_until_it_is_released(tmp_path: Path) -> None:
    first, second = Claims(tmp_path), Claims(tmp_path)
    claim = first.claim("run")
    assert claim is not None
    assert second.claim("run") is None
    assert second.owner("run") == me()
    assert second.claim("another") is not None
    claim.release()
    assert second.owner("run") is None
    with second.claim("run") or pytest.fail("not free"):
        assert first.claim("run") is None


def test_the_last_claim_takes_its_folder_along(tmp_path: Path) -> None:
    with Claims(tmp_path).claim("run") or pytest.fail("not free"):
        pass
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("content", ["", "no owner", "\0" * 50])
def test_the_dead_and_the_damaged_are_relieved(tmp_path: Path, content: str) -> None:
    for text in (content, str(dead()), str(replace(me(), start=1))):
        claimed_by(tmp_path, text)
        claim = Claims(tmp_path).claim("run")
        assert claim is not None
        claim.release()


def test_one_that_died_while_it_relieved_another_is_relieved(tmp_path: Path) -> None:
    for name in ("run", "run~", "run~~"):
        claimed_by(tmp_path, str(dead()), name)
    claim = Claims(tmp_path).claim("run")
    assert claim is not None
    claim.release()
    assert list(tmp_path.iterdir()) == []


def test_the_claims_of_the_dead_are_swept_and_those_of_the_living_are_not(tmp_path: Path) -> None:
    claimed_by(tmp_path, str(dead()), "a")
    living = claimed_by(tmp_path, str(me()), "b")
    Claims(tmp_path).sweep()
    assert list((tmp_path / ".claims").iterdir()) == [living]


def test_another_machine_lives_as_long_as_its_heart_beats(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = claimed_by(tmp_path, str(replace(me(), machine="0" * 8)))
    assert Claims(tmp_path).claim("run") is None
    past = path.stat().st_mtime - claims.SILENT_SECONDS - 1
    os.utime(path, (past, past))
    monkeypatch.setattr(claims, "HEARTBEAT_SECONDS", 0.01)
    claim = Claims(tmp_path).claim("run")
    assert claim is not None
    os.utime(path, (past, past))
    beaten = threading.Event()
    while path.stat().st_mtime <= past:
        beaten.wait(0.01)
    claim.release()


def test_of_many_that_want_it_one_gets_it(tmp_path: Path) -> None:
    """Also where all see the same dead owner."""
    for _ in range(20):
        claimed_by(tmp_path, str(dead()))
        got: list[bool] = []
        start = threading.Barrier(8)

        def want(got: list[bool] = got, start: threading.Barrier = start) -> None:
            start.wait()
            got.append(Claims(tmp_path).claim("run") is not None)

        threads = [threading.Thread(target=want) for _ in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert Counter(got) == {True: 1, False: 7}
        (tmp_path / ".claims" / "run").unlink()


def test_a_claim_that_nobody_holds_any_more_is_dropped(tmp_path: Path) -> None:
    claims = Claims(tmp_path)
    assert claims.claim("a" * 64)
    claims.sweep()
    assert claims.owner("a" * 64), "its process lives"
    claims.drop(["a" * 64, "b" * 64])
    assert claims.owner("a" * 64) is None
    assert not list(tmp_path.iterdir())
