"""What a worker started ends with it, also where its judge was killed and could end nothing."""

from __future__ import annotations

import subprocess
import sys
import time

import pytest
from simulated_worker import alive

WORKER = """
import os, signal, time
from avbench.harness.isolation.worker import guard_group
guard_group()
if not os.fork():
    time.sleep(600)
os.kill(os.getpid(), signal.SIGKILL)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere no process is told of the end of its parent")
def test_what_a_worker_forked_ends_with_it() -> None:
    worker = subprocess.Popen([sys.executable, "-c", WORKER], start_new_session=True)
    assert worker.wait(300) == -9
    until = time.monotonic() + 300
    while alive(worker.pid) and time.monotonic() < until:
        time.sleep(0.05)
    assert not alive(worker.pid)
