"""Methods that do their worker harm; a run of each is to become a stored failure."""

from __future__ import annotations

import os
import time
from dataclasses import replace

import torch
from simulated_features import Ridge
from simulated_worker import wires
from torch import Tensor

from avbench.harness.contract.data import Classes, Clips, TrainingSet
from avbench.harness.contract.method import Method, Progress
from avbench.harness.isolation.wire import LENGTH


def say(content: bytes) -> None:
    """Speak to the judge in place of the worker."""
    for fd in wires():
        os.write(fd, content)


class Honest(Ridge):
    """Does nothing wrong."""

    info = replace(Ridge.info, slug="honest")


class Shapes(Ridge):
    info = replace(Ridge.info, slug="shapes")

    def predict(self, clips: Clips, classes: Classes) -> Tensor:
        return torch.zeros(3, 3)


class NotANumber(Ridge):
    info = replace(Ridge.info, slug="nan")

    def predict(self, clips: Clips, classes: Classes) -> Tensor:
        return torch.full((len(clips), len(classes)), torch.nan)


class InFit(Ridge):
    """Base of those that are hostile before they learn anything."""

    def fit(self, train: TrainingSet, progress: Progress) -> None:
        self.harm()
        super().fit(train, progress)

    def harm(self) -> None:
        raise NotImplementedError


class Exits(InFit):
    info = replace(Ridge.info, slug="exits")

    def harm(self) -> None:
        os.write(1, b"so long\n")
        os._exit(3)


class Quits(InFit):
    info = replace(Ridge.info, slug="quits")

    def harm(self) -> None:
        raise SystemExit("enough")


class Chatty(InFit):
    info = replace(Ridge.info, slug="chatty")

    def harm(self) -> None:
        while True:
            os.write(1, b"blah " * 10_000)


class Silent(InFit):
    info = replace(Ridge.info, slug="silent")

    def harm(self) -> None:
        time.sleep(600)


class Slow(Ridge):
    """Says something now and then, and never ends."""

    info = replace(Ridge.info, slug="slow")

    def fit(self, train: TrainingSet, progress: Progress) -> None:
        super().fit(train, progress)
        while True:
            time.sleep(0.05)
            os.write(1, b".")


class Forks(InFit):
    info = replace(Ridge.info, slug="forks")

    def harm(self) -> None:
        for _ in range(20):
            if not os.fork():
                time.sleep(600)
        time.sleep(600)


class Announces(InFit):
    info = replace(Ridge.info, slug="announces")

    def harm(self) -> None:
        say(LENGTH.pack(10 * 2**30))
        time.sleep(600)


class Babbles(InFit):
    info = replace(Ridge.info, slug="babbles")

    def harm(self) -> None:
        say(LENGTH.pack(100_000) + b"[" * 100_000)
        time.sleep(600)


class Lies(InFit):
    info = replace(Ridge.info, slug="lies")

    def harm(self) -> None:
        content = b'{"say": "counted", "parameters": 1, "peak_memory_bytes": 1}'
        say(LENGTH.pack(len(content)) + content)
        time.sleep(600)


class Skips(Ridge):
    """Says that it has written scores, and has not."""

    info = replace(Ridge.info, slug="skips")

    def predict(self, clips: Clips, classes: Classes) -> Tensor:
        for name in os.listdir("/proc/self/fd"):
            if os.path.exists(f"/proc/self/fd/{name}") and "memfd:avbench" in os.readlink(f"/proc/self/fd/{name}"):
                os.ftruncate(int(name), 8)
        content = b'{"say": "scored", "branches": [""]}'
        say(LENGTH.pack(len(content)) + content)
        time.sleep(600)
        return super().predict(clips, classes)


class Screams(InFit):
    info = replace(Ridge.info, slug="screams")

    def harm(self) -> None:
        raise RuntimeError("a" * 10_000_000)


class Greedy(InFit):
    """Takes more memory than it may."""

    info = replace(Ridge.info, slug="greedy")

    def harm(self) -> None:
        torch.ones(2**30)


def avbench_methods() -> list[type[Method]]:
    found: list[type[Method]] = [Honest, Shapes, NotANumber, Exits, Quits, Chatty, Silent, Slow, Forks, Announces]
    return [*found, Babbles, Lies, Skips, Screams, Greedy]
