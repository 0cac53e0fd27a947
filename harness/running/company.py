"""Several runs in one process, taking turns, so that a GPU always has work of one of them.

Each run has a thread, a stream and random generators of its own, and only the thread whose turn it is computes
anything. It hands over at the end of each epoch, before it waits for the device: the epochs of the others are then on
their streams already. A run is to give the same bits alone or in company (tests/harness/test_company.py).
"""

from __future__ import annotations

import queue
import random
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from typing import Any, Generic, TypeVar

import numpy as np
import torch

Result = TypeVar("Result")
Pause = Callable[[], None]
"""What a run calls when it is about to wait for the device."""


class _Stopped(KeyboardInterrupt):
    """Ends a thread whose company was broken off: an interrupt, no failure of its run."""


@dataclass(frozen=True)
class _RandomState:
    """The global random generators, as one run has them."""

    python: Any
    numpy: Any
    cpu: torch.Tensor
    cuda: torch.Generator | None
    """The state object itself, which a captured graph of the run refers to: not a copy."""

    @classmethod
    def current(cls, device: torch.device) -> _RandomState:
        cuda = _generator(device).graphsafe_get_state() if device.type == "cuda" else None
        return cls(random.getstate(), np.random.get_state(), torch.get_rng_state(), cuda)

    def restore(self, device: torch.device) -> None:
        random.setstate(self.python)
        np.random.set_state(self.numpy)
        torch.set_rng_state(self.cpu)
        if self.cuda is not None:
            _generator(device).graphsafe_set_state(self.cuda)


def _generator(device: torch.device) -> torch.Generator:
    index = torch.cuda.current_device() if device.index is None else device.index
    found: torch.Generator = torch.cuda.default_generators[index]
    return found


@dataclass
class Company(Generic[Result]):
    """Calls ``calls`` in turn on one device, ``size`` of them at once. Each gets a :data:`Pause`.

    What is global and belongs to a run must be set by the call after each pause; random generators are kept apart here.
    """

    device: torch.device
    size: int
    threads: int = field(default_factory=torch.get_num_threads)
    """Threads of one operation on the CPU: a setting that new Python threads do not take over."""
    _waiting: deque[threading.Semaphore] = field(default_factory=deque)
    _stopped: bool = False

    def results(self, calls: Iterable[Callable[[Pause], Result]]) -> Iterator[tuple[int, Result]]:
        """The index and the result of each call, as soon as it is there. An exception of a call breaks all off.

        The next call is asked for when it is to begin.
        """
        todo = iter(enumerate(calls))
        done: queue.SimpleQueue[tuple[int, Result] | BaseException | None] = queue.SimpleQueue()
        members = self.size
        for _ in range(members):
            turn = threading.Semaphore(0)
            self._waiting.append(turn)
            threading.Thread(target=self._work, args=(turn, todo, done), daemon=True).start()
        if self.device.type == "cuda":
            torch.cuda.synchronize(self.device)  # what all share is there before other streams read it
        before = _RandomState.current(self.device)
        self._next()
        try:
            while members:
                news = done.get()
                if news is None:
                    members -= 1
                elif isinstance(news, BaseException):
                    raise news
                else:
                    yield news
        finally:
            self._stopped = True
            while members:  # each ends at its next pause
                members -= done.get() is None
            before.restore(self.device)

    def _work(
        self,
        turn: threading.Semaphore,
        todo: Iterator[tuple[int, Callable[[Pause], Result]]],
        done: queue.SimpleQueue[tuple[int, Result] | BaseException | None],
    ) -> None:
        turn.acquire()
        try:
            torch.set_num_threads(self.threads)
            with self._place():
                for index, call in todo:
                    if self._stopped:
                        break
                    done.put((index, call(self._pause)))
        except _Stopped:
            pass
        except BaseException as error:
            self._stopped = True
            done.put(error)
        finally:
            self._next()
            done.put(None)

    def _place(self) -> AbstractContextManager[object]:
        """A stream and a generator state of its own, for a thread whose turn it is."""
        if self.device.type != "cuda":
            return nullcontext()
        generator = _generator(self.device)
        generator.graphsafe_set_state(generator.clone_state())
        return torch.cuda.stream(torch.cuda.Stream(self.device))  # type: ignore[no-untyped-call]

    def _pause(self) -> None:
        state = _RandomState.current(self.device)
        turn = threading.Semaphore(0)
        self._waiting.append(turn)
        self._next()
        turn.acquire()
        if self._stopped:
            raise _Stopped
        state.restore(self.device)

    def _next(self) -> None:
        if self._waiting:
            self._waiting.popleft().release()
