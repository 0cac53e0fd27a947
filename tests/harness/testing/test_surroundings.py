"""Watching code: what is seen, what is allowed, and that everything is put back."""

from __future__ import annotations

import os
import random
import socket
import sqlite3
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from avbench.harness.testing.surroundings import one_thread, watched


def test_connections_are_seen() -> None:
    with watched(0) as watch:
        with pytest.raises(OSError, match=r".+"):
            socket.create_connection(("127.0.0.1", 9), timeout=0.1)
        with pytest.raises(OSError, match=r".+"):
            socket.getaddrinfo("host.invalid", 80)
    assert watch.addresses == ["127.0.0.1", "127.0.0.1:9", "host.invalid"]


def test_sockets_between_processes_of_one_machine_are_allowed() -> None:
    with watched(0) as watch, socket.socket(socket.AF_UNIX) as connection, pytest.raises(OSError, match=r".+"):
        connection.connect("/nowhere")
    assert watch.addresses == []


def test_writes_in_the_working_folder_are_seen_once(tmp_path: Path) -> None:
    with watched(0) as watch:
        Path("a").mkdir()
        for _ in range(2):
            Path("a/b.txt").write_text("b")
        os.rename("a/b.txt", "a/c.txt")
        sqlite3.connect("d.db").close()
        torch.save(torch.zeros(1), "e.pt")
    assert watch.written == ["a", "a/b.txt", "a/c.txt", "d.db", "e.pt"]
    assert not Path("a").exists()


def test_writes_elsewhere_are_seen(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "temporary"))
    (tmp_path / "temporary").mkdir()
    with watched(0) as watch:
        (tmp_path / "x").write_text("x")
        Path(tempfile.mkdtemp(), "y").write_text("y")
        Path(os.devnull).write_text("z")
        (tmp_path / "x").read_text()
    assert watch.written == [str(tmp_path / "x")]


def test_nothing_is_seen_outside(tmp_path: Path) -> None:
    with watched(0) as watch:
        pass
    (tmp_path / "x").write_text("x")
    assert (watch.written, watch.addresses, watch.settings, watch.drew) == ([], [], {}, False)


def test_settings_are_seen_and_put_back(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AVBENCH_SIMULATED", "before")
    here = os.getcwd()
    with watched(0) as watch:
        torch.set_default_dtype(torch.float64)
        torch.set_grad_enabled(False)
        np.seterr(all="ignore")
        os.environ["AVBENCH_SIMULATED"] = "after"
        os.environ["AVBENCH_SIMULATED_NEW"] = "new"
        os.chdir("..")
    assert watch.settings.keys() == {
        "torch.get_default_dtype()",
        "torch.is_grad_enabled()",
        "numpy.geterr()",
        "environment variable AVBENCH_SIMULATED",
        "environment variable AVBENCH_SIMULATED_NEW",
        "working folder",
    }
    assert watch.settings["environment variable AVBENCH_SIMULATED"] == ("before", "after")
    assert torch.get_default_dtype() == torch.float32
    assert torch.is_grad_enabled()
    assert np.geterr()["divide"] == "warn"
    assert os.environ["AVBENCH_SIMULATED"] == "before"
    assert "AVBENCH_SIMULATED_NEW" not in os.environ
    assert os.getcwd() == here


def test_settings_are_put_back_after_an_error() -> None:
    before = torch.are_deterministic_algorithms_enabled()

    def failing() -> None:
        with watched(0):
            torch.use_deterministic_algorithms(not before)
            raise ValueError

    with pytest.raises(ValueError, match=r"^$"):
        failing()
    assert torch.are_deterministic_algorithms_enabled() == before


DRAWS = {"torch": lambda: torch.rand(1), "numpy": np.random.rand, "python": random.random}


@pytest.mark.parametrize("draw", DRAWS.values(), ids=DRAWS)
def test_draws_are_seen_and_taken_back(draw: Callable[[], object]) -> None:
    before = torch.get_rng_state()
    with watched(3) as watch:
        draw()
    assert watch.drew
    assert torch.equal(torch.get_rng_state(), before)


def test_one_thread_is_used_and_given_back() -> None:
    before = torch.get_num_threads()
    with one_thread():
        assert torch.get_num_threads() == 1
    assert torch.get_num_threads() == before


def test_what_a_library_sets_when_it_is_imported_is_no_fault_of_the_method() -> None:
    """scikit-learn sets two environment variables; only the first import in a process does."""
    pytest.importorskip("sklearn")
    code = (
        "from avbench.harness.testing.surroundings import watched\n"
        "with watched(0) as watch:\n    import sklearn.linear_model\n"
        "print(watch.settings, watch.written)"
    )
    environment = {name: value for name, value in os.environ.items() if not name.startswith("KMP_")}
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "{} []"
