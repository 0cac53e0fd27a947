"""A worker's process, as its judge has it: started, spoken with, and ended with all that it has started."""

from __future__ import annotations

import os
import selectors
import signal
import socket
import subprocess
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import TypeVar

from pydantic import ValidationError

from avbench.harness.errors import MethodError, WorkerError
from avbench.harness.isolation.messages import FROM_WORKER, FROM_WORKER_BYTES, Failed, First, Message
from avbench.harness.isolation.wire import LENGTH, WireError, length_of, send
from avbench.harness.printable import printable

Said = TypeVar("Said", bound=Message)

TAIL = 4_000
"""Bytes that are kept of what a worker prints."""
END_SECONDS = 5.0
ANSWERED_BY_JUDGE = (signal.SIGTERM, signal.SIGUSR2)
"""What a scheduler sends to all processes of a job: neither a worker nor its sandbox ends by them."""
_PIECE = 2**16


@dataclass(frozen=True)
class Command:
    """How a worker is started; the number of its socket is added at the end."""

    words: Sequence[str]
    environment: Mapping[str, str]


@contextmanager
def worker(command: Command, begin: First, silence: float, seconds: float | None) -> Iterator[WorkerProcess]:
    """A worker that has been told what to load. It ends with the block, and so do the processes of its group.

    ``silence``: seconds that it may take for one answer; ``seconds``: for all. Raises :class:`WorkerError` where it
    cannot be started.
    """
    process = WorkerProcess(command, begin.slug, silence, seconds)
    try:
        process.tell(begin)
        yield process
    finally:
        process.end()


class WorkerProcess:
    """One worker. Nothing that it says is believed to be more than it is: typed, bounded messages."""

    def __init__(self, command: Command, slug: str, silence: float, seconds: float | None) -> None:
        self.peak_memory_bytes = 0
        self._slug = slug
        self._silence = silence
        self._last = None if seconds is None else time.monotonic() + seconds
        self._seconds = seconds
        self._buffer = bytearray()
        self._tail = b""
        self._socket, theirs = socket.socketpair()
        self._socket.settimeout(silence)
        with theirs:
            kept = signal.pthread_sigmask(signal.SIG_BLOCK, ANSWERED_BY_JUDGE)  # what is started has them blocked, too
            try:
                self._process = subprocess.Popen(
                    [*command.words, str(theirs.fileno())],
                    env=dict(command.environment),
                    stdin=subprocess.DEVNULL,
                    stdout=subprocess.PIPE,
                    stderr=subprocess.STDOUT,
                    pass_fds=[theirs.fileno()],
                    start_new_session=True,  # Ctrl-C is for the judge
                )
            except OSError as error:
                self._socket.close()
                raise WorkerError(f"the worker of {slug} cannot be started: {error}") from None
            finally:
                signal.pthread_sigmask(signal.SIG_SETMASK, kept)
        assert self._process.stdout is not None
        self._output = self._process.stdout
        os.set_blocking(self._output.fileno(), False)
        self._selector = selectors.DefaultSelector()
        self._selector.register(self._socket, selectors.EVENT_READ)
        self._selector.register(self._output, selectors.EVENT_READ)

    def tell(self, message: Message, files: Sequence[int] = ()) -> None:
        """Send a message. Where nobody takes it, the next answer that is waited for tells why."""
        with suppress(OSError):
            send(self._socket, message, files)

    def hear(self, *kinds: type[Said]) -> Said:
        """Wait for one of these messages. Raises :class:`MethodError` where the method failed, :class:`WorkerError`
        where the worker died, was silent for too long or said something else."""
        content = self._received()
        try:
            said = FROM_WORKER.validate_json(content)
        except ValidationError as error:
            raise self._lost(f"said what is no message ({error.errors()[0]['msg']})") from None
        if isinstance(said, Failed):
            failure = MethodError(said.message)
            failure.add_note(f"In the worker:\n{said.traceback}")
            raise failure
        if not isinstance(said, kinds):
            wanted = " or ".join(kind.__name__ for kind in kinds)
            raise self._lost(f"said {type(said).__name__} where {wanted} was due")
        return said

    def end(self) -> None:
        """End the process and its group, by force: it has nothing that anyone needs."""
        self._socket.close()
        with suppress(OSError):
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()
        self._selector.close()
        self._output.close()

    def _received(self) -> bytes:
        until = time.monotonic() + self._silence
        length = None
        while length is None or len(self._buffer) < LENGTH.size + length:
            self._wait(until)
            if length is None and len(self._buffer) >= LENGTH.size:
                try:
                    length = length_of(bytes(self._buffer[: LENGTH.size]), FROM_WORKER_BYTES)
                except WireError as error:
                    raise self._lost(f"is not to be believed: {error}") from None
        content = bytes(self._buffer[LENGTH.size : LENGTH.size + length])
        del self._buffer[: LENGTH.size + length]
        return content

    def _wait(self, until: float) -> None:
        """Take what there is of messages and of output, or wait for some."""
        if self._last is not None and time.monotonic() > self._last:
            raise self._lost(f"has not done its run in {self._seconds:g} s")
        if time.monotonic() > until:
            raise self._lost(f"was silent for {self._silence:g} s")
        ends = [until, *([] if self._last is None else [self._last])]
        for key, _ in self._selector.select(max(0.0, min(ends) - time.monotonic()) + 0.001):
            if key.fileobj is self._output:
                self._print()
                continue
            try:
                piece = self._socket.recv(_PIECE)
            except OSError:
                piece = b""
            if not piece:
                raise self._lost(self._why())
            self._buffer += piece

    def _print(self) -> None:
        """Keep the end of what it prints."""
        try:
            piece = os.read(self._output.fileno(), _PIECE)
        except BlockingIOError:
            return
        if not piece:
            self._selector.unregister(self._output)
        self._tail = (self._tail + piece)[-TAIL:]

    def _why(self) -> str:
        try:
            status = self._process.wait(END_SECONDS)
        except subprocess.TimeoutExpired:
            return "hung up"
        if status in (-signal.SIGKILL, 128 + signal.SIGKILL):
            return "was killed: out of memory, or by the method"
        return f"ended with {f'signal {-status}' if status < 0 else f'exit code {status}'} in the middle of its run"

    def _lost(self, why: str) -> WorkerError:
        with suppress(OSError, ValueError):
            for _ in range(TAIL):
                if not (piece := os.read(self._output.fileno(), _PIECE)):
                    break
                self._tail = (self._tail + piece)[-TAIL:]
        said = printable(self._tail.decode("utf-8", "replace").strip(), TAIL)
        return WorkerError(f"the worker of {self._slug} {why}" + (f"; it printed last: {said}" if said else ""))
