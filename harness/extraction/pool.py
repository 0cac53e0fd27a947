"""Workers at once: hands out shards, watches the time of each clip, and goes on without a clip that costs a worker."""

from __future__ import annotations

import os
import selectors
import signal
import subprocess
import sys
import tempfile
from collections import deque
from collections.abc import Callable, Sequence
from contextlib import suppress
from time import monotonic

from avbench.harness.errors import AvbenchError, DataError, PluginError, UsageError
from avbench.harness.extraction.messages import TOO_SLOW, News, Setup, ShardTask, SoundlessError

COMMAND = [sys.executable, "-m", "avbench.harness.extraction.worker"]
ONE_THREAD = {f"{library}_NUM_THREADS": "1" for library in ("OMP", "OPENBLAS", "MKL")}
"""The workers are what is done at once; threads of their own would only wait for each other."""
READ_BYTES = 65536
ERRORS: dict[int, type[AvbenchError]] = {UsageError.exit_code: UsageError, DataError.exit_code: DataError}


def work_off(
    setup: Setup, tasks: Sequence[ShardTask], jobs: int, seconds: float, stored: Callable[[ShardTask], None]
) -> None:
    """Have all shards stored by up to ``jobs`` processes. ``seconds``: the longest that one clip may take.

    A clip that takes longer, or that ends its process, is dropped with that reason, and its shard begun again. Raises
    what a worker cannot go on with. No worker outlives the call.
    """
    waiting = deque(tasks)
    selector = selectors.DefaultSelector()
    workers: list[_Worker] = []
    try:
        while waiting or any(worker.task for worker in workers):
            while waiting and len(workers) < jobs and len(workers) < len(tasks):
                workers.append(_Worker(setup, selector))
            for key, _ in selector.select(timeout=_patience(workers)):
                worker: _Worker = key.data
                for news in worker.listen():
                    if news.kind == "error":
                        raise ERRORS.get(news.exit_code, PluginError)(news.text)
                    if news.kind == "soundless":
                        raise SoundlessError(news.text, worker.clip)
                    if news.kind == "clip":
                        worker.begin(news.at, seconds)
                    else:
                        if worker.task:
                            stored(worker.task)
                        worker.give(waiting.popleft() if waiting else None)
            for worker in list(workers):
                if reason := worker.lost(seconds):
                    workers.remove(worker)
                    worker.end()
                    if worker.task:
                        waiting.appendleft(worker.without_clip(reason))
    finally:
        for worker in workers:
            worker.end()
        selector.close()


def _patience(workers: Sequence[_Worker]) -> float | None:
    deadlines = [worker.deadline for worker in workers if worker.deadline is not None]
    return max(0.0, min(deadlines) - monotonic()) if deadlines else None


class _Worker:
    """One process, what it does, and until when."""

    def __init__(self, setup: Setup, selector: selectors.BaseSelector) -> None:
        self.task: ShardTask | None = None
        self.deadline: float | None = None
        self._at = 0
        self._over = False
        self._rest = b""
        self._errors = tempfile.TemporaryFile()  # noqa: SIM115 (closed in `end`)
        self._selector = selector
        self._process = subprocess.Popen(
            COMMAND,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._errors,
            env={**os.environ, **ONE_THREAD},
            start_new_session=True,  # Ctrl-C is for the parent, which then ends its workers
            bufsize=0,
        )
        assert self._process.stdout is not None
        selector.register(self._process.stdout, selectors.EVENT_READ, self)
        self._tell(setup.model_dump_json())

    def listen(self) -> list[News]:
        """The whole lines that have come."""
        assert self._process.stdout is not None
        content = os.read(self._process.stdout.fileno(), READ_BYTES)
        self._over = not content
        *lines, self._rest = (self._rest + content).split(b"\n")
        return [News.model_validate_json(line) for line in lines]

    def give(self, task: ShardTask | None) -> None:
        """The next shard, or none: then the process ends by itself."""
        self.task, self.deadline = task, None
        assert self._process.stdin is not None
        if task is None:
            self._process.stdin.close()
        else:
            self._tell(task.model_dump_json())

    def begin(self, number: int, seconds: float) -> None:
        """A clip of the shard is begun."""
        self._at, self.deadline = number, monotonic() + seconds

    @property
    def clip(self) -> str:
        """Id of the clip at hand."""
        return self.task.clips[self._at].id if self.task else ""

    def lost(self, seconds: float) -> str | None:
        """Why the worker is of no more use; None while it is. Raises :class:`PluginError` where no clip is to blame."""
        if self.deadline is not None and monotonic() >= self.deadline:
            return f"{TOO_SLOW}{seconds:g} s"
        if not self._over:
            return None
        code = self._process.wait()
        if self.task is None:
            if code or not self._closed():
                raise PluginError(f"a worker ended at its start (exit code {code}): {self._last_words()}")
            return "has nothing to do"
        if self.deadline is None:
            raise PluginError(f"a worker ended before its first clip (exit code {code}): {self._last_words()}")
        return f"ends the decoder ({signal.Signals(-code).name if code < 0 else f'exit code {code}'})"

    def without_clip(self, reason: str) -> ShardTask:
        """The shard with the clip at hand given up."""
        assert self.task is not None
        clips = [c if n != self._at else c.model_copy(update={"spoilt": reason}) for n, c in enumerate(self.task.clips)]
        return self.task.model_copy(update={"clips": tuple(clips)})

    def end(self) -> None:
        """Kill the process, if it still runs, and let go of all that belongs to it."""
        self._process.kill()
        self._process.wait()
        for stream in (self._process.stdin, self._process.stdout):
            if stream is not None:
                with suppress(KeyError, ValueError):
                    self._selector.unregister(stream)
                with suppress(OSError):
                    stream.close()
        self._errors.close()

    def _tell(self, line: str) -> None:
        assert self._process.stdin is not None
        with suppress(BrokenPipeError):  # it ended; the loop will see that
            self._process.stdin.write(line.encode() + b"\n")

    def _closed(self) -> bool:
        return self._process.stdin is None or self._process.stdin.closed

    def _last_words(self) -> str:
        self._errors.seek(0, os.SEEK_END)
        self._errors.seek(max(0, self._errors.tell() - 2000))
        lines = self._errors.read().decode("utf-8", "replace").strip().splitlines()
        return lines[-1] if lines else "it said nothing"
