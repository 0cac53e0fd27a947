"""What a scheduler sends to all processes of a job ends neither a worker nor the sandbox around it."""

from __future__ import annotations

import signal

import pytest

from avbench.harness.errors import WorkerError
from avbench.harness.isolation.messages import Ready
from avbench.harness.isolation.process import Command, WorkerProcess


@pytest.mark.parametrize("name", ["TERM", "USR2"])
def test_the_judge_alone_answers_signals_of_a_scheduler(name: str) -> None:
    before = signal.pthread_sigmask(signal.SIG_BLOCK, ())
    # a program that leaves signals as it found them, as bubblewrap does
    process = WorkerProcess(Command(["/bin/sh", "-c", f"kill -{name} $$; exit 3"], {}), "simulated", 300.0, None)
    assert signal.pthread_sigmask(signal.SIG_BLOCK, ()) == before
    with pytest.raises(WorkerError, match="exit code 3"):
        process.hear(Ready)
    process.end()
