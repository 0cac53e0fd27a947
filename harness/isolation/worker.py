"""The worker: one method, in a process that is given what a method may see and nothing else.

``python -m avbench.harness.isolation.worker FD`` serves the judge at the other end of the socket ``FD``. It imports no
more than the method needs: its start is part of the time of every run.
"""

from __future__ import annotations

import os
import resource
import signal
import socket
import sys

from avbench.harness.isolation.messages import FROM_JUDGE, FROM_JUDGE_BYTES, Describe, First
from avbench.harness.isolation.wire import receive

PR_SET_PDEATHSIG = 1


def main() -> None:
    """Serve the judge until it hangs up."""
    if sys.platform == "linux":  # end with the judge, however that is
        _signal_at_end_of_parent(signal.SIGKILL)
    judge = socket.socket(fileno=int(sys.argv[1]))
    begin = FROM_JUDGE.validate_json(receive(judge, FROM_JUDGE_BYTES)[0])
    if sys.platform == "linux" and not begin.sandboxed:  # a sandbox ends as a whole
        guard_group()
    _limit(begin)
    if isinstance(begin, Describe):
        from avbench.harness.isolation.description import describe

        describe(judge, begin)
    from avbench.harness.isolation.service import Service

    Service(judge, begin).serve()


def guard_group() -> None:
    """Leave a process behind that ends this one's group when this one ends: with a judge that is killed, too."""
    worker = os.getpid()
    if os.fork():
        return
    signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())
    _signal_at_end_of_parent(signal.SIGTERM)
    os.closerange(0, 1024)  # the judge's socket and the pipe are the worker's alone
    while os.getppid() == worker:
        signal.sigwait({signal.SIGTERM})
    os.killpg(0, signal.SIGKILL)


def _signal_at_end_of_parent(number: int) -> None:
    import ctypes

    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, number)


def _limit(begin: First) -> None:
    """Bound memory and processes. A CUDA driver reserves more addresses than there is memory: there, data count."""
    of_memory = resource.RLIMIT_AS if begin.device == "cpu" else resource.RLIMIT_DATA
    for what, most in ((of_memory, begin.memory), (resource.RLIMIT_NPROC, begin.processes), (resource.RLIMIT_CORE, 0)):
        _, hard = resource.getrlimit(what)
        bound = most if hard == resource.RLIM_INFINITY else min(most, hard)
        resource.setrlimit(what, (bound, bound))


if __name__ == "__main__":
    main()
