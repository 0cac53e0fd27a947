"""Executing many runs: one after the other, in processes, or seeds together on one GPU."""

from __future__ import annotations

import os
import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from avbench.harness.errors import UsageError
from avbench.harness.evaluation.two_stages import EpochDone
from avbench.harness.isolation.choice import NONE, Isolation
from avbench.harness.isolation.strangers import describe_strangers
from avbench.harness.plugins.registry import plugins
from avbench.harness.records.planned import PlannedRun
from avbench.harness.records.record import Compile, Failure, RunRecord
from avbench.harness.records.results import ResultsFolder
from avbench.harness.running.attempt import draft_record
from avbench.harness.running.claims import Claim
from avbench.harness.running.compiling import why_alone
from avbench.harness.running.environment import device_name, environment
from avbench.harness.running.estimates import Estimates
from avbench.harness.running.runs import RunListener, execute, execute_together
from avbench.harness.running.shared import Among, SharedWork

if TYPE_CHECKING:
    import torch

SEEDS_AT_ONCE = 32
"""Runs that train in one step at most: memory grows with them, and beyond this a GPU has no time left to fill."""
LOOK_SECONDS = 0.5
"""Between two looks at what other commands have done."""

_has_run = False
"""Whether a run took place in this process."""


def choose_device(name: str) -> torch.device:
    """``auto`` (CUDA when there is one), ``cpu``, ``cuda`` or ``cuda:<i>``. Raises :class:`UsageError` for others."""
    import torch

    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "cpu"
    try:
        device = torch.device(name)
    except RuntimeError:
        raise UsageError(f"unknown device {name!r}; use auto, cpu, cuda or cuda:<number>") from None
    if device.type not in ("cpu", "cuda"):
        raise UsageError(f"device {name!r} is not supported; use auto, cpu, cuda or cuda:<number>")
    if device.type == "cuda":
        if not torch.cuda.is_available():
            raise UsageError("this machine, or this build of torch, has no CUDA device; use --device cpu")
        if (device.index or 0) >= torch.cuda.device_count():
            raise UsageError(f"there is no {name}; this machine has {torch.cuda.device_count()} CUDA device(s)")
    return device


def choose_devices(names: str) -> tuple[torch.device, ...]:
    """One as :func:`choose_device` gives it, several as ``cuda:0,1,2``, or ``all`` CUDA devices.

    Raises :class:`UsageError` for what is not there, and for a device that is named twice.
    """
    import torch

    if names == "all":
        names = ",".join(f"cuda:{number}" for number in range(torch.cuda.device_count())) or "cuda"
    texts = [part.strip() for part in names.split(",")]
    devices = tuple(choose_device(f"cuda:{text}" if text.isdigit() and texts[1:] else text) for text in texts)
    if len(set(devices)) < len(devices):
        raise UsageError(f"--device {names} names a device twice")
    return devices


def execute_all(
    runs: Sequence[PlannedRun],
    results: ResultsFolder,
    devices: Sequence[torch.device],
    jobs: int,
    listener: RunListener,
    observe: Sequence[str] = (),
    before: Sequence[RunRecord | None] | None = None,
    waiting: Callable[[Sequence[int]], None] = lambda _: None,
    isolation: Isolation = NONE,
    order: Sequence[int] | None = None,
    to_the_end: bool = True,
    in_step: bool | None = None,
) -> Iterator[tuple[int, RunRecord]]:
    """Execute runs and give each record, with the index of its run, as soon as it is stored.

    ``jobs``: runs at once on each device. On several devices each has processes of its own, and the runs that take
    longest, by earlier ones, begin first. ``order``: the indices of the runs in another order in which to begin them.

    Each run of a package's method has a process in which no run was before: whatever its code keeps in memory ends with
    it, so that test clips of one run cannot reach the training of the next. avbench's own methods are known to keep
    nothing and share processes, which saves starting torch anew.

    Other commands on the same folder share the work: what one of them does is waited for, and its record is given too.
    ``observe``: names of the observers that watch each run, in the process that executes it. ``before``: the
    records that were there when it was decided to do the runs, whatever they are; by default, those that are there now.
    ``waiting`` is told, once, which runs only other commands still do; without ``to_the_end`` those are left to them.
    ``isolation``: where methods are meanwhile; each then has a process of its own in any case.
    ``in_step``: whether runs that differ in the seed only train together where their method can; by default on one CUDA
    device, where the others follow one after the other.
    Raises :class:`AvbenchError` where a run could not be stored, before it.
    """
    global _has_run
    results.require_room(run.configuration for run in runs)
    device, many = devices[0], jobs * len(devices)
    if before is None:
        before = [results.find(r.configuration) for r in runs]
    if order is None and len(devices) > 1:
        order = Estimates.of(results).longest_first(runs, device_name(device))
    shared = SharedWork(runs, results, before, order)
    alone = len(runs) == 1 and not _has_run

    def may_share(run: PlannedRun) -> bool:
        return alone or bool(isolation) or _may_share(run)

    def may_not_share(run: PlannedRun) -> bool:
        return not may_share(run)

    in_step = (device.type == "cuda" and len(devices) == 1) if in_step is None else in_step
    told = False
    while shared.open:
        left = len(shared.open)
        own = sum(map(may_share, shared.open.values()))
        _has_run = _has_run or own > 0
        if in_step and not isolation:
            yield from _in_step(shared, may_share, results, device, listener, observe)
            own = sum(map(may_share, shared.open.values()))
        if many == 1 or own == 1 or (own and device.type == "cuda" and len(devices) == 1 and not isolation):
            yield from _one_by_one(shared, may_share, results, device, listener, observe, isolation)
        elif own:
            count = min(many, own)
            yield from _in_processes(
                shared, may_share, results, devices, count, listener, observe, isolation, once=False
            )
        if foreign := sum(map(may_not_share, shared.open.values())):
            count = min(many, foreign)
            yield from _in_processes(
                shared, may_not_share, results, devices, count, listener, observe, isolation, once=True
            )
        yield from shared.collect()
        if len(shared.open) == left:
            if not told:
                waiting(list(shared.open))
                told = True
            if not to_the_end:
                return
            time.sleep(LOOK_SECONDS)


def _may_share(run: PlannedRun) -> bool:
    """Whether a run may take place in a process where others did: those of avbench's own methods, and those of classes
    that only this process has."""
    registered = plugins().method(run.configuration.method)
    return registered.built_in or registered.loose


def _one_by_one(
    shared: SharedWork,
    among: Among,
    results: ResultsFolder,
    device: torch.device,
    listener: RunListener,
    observe: Sequence[str],
    isolation: Isolation,
) -> Iterator[tuple[int, RunRecord]]:
    for index, claim in shared.ready(among):
        with claim:
            run = shared.open[index]
            record = execute(run, results, device, partial(listener, index), observe, isolation=isolation)
        shared.done(index)
        yield index, record


def _in_step(
    shared: SharedWork,
    among: Among,
    results: ResultsFolder,
    device: torch.device,
    listener: RunListener,
    observe: Sequence[str],
) -> Iterator[tuple[int, RunRecord]]:
    """Runs that differ in the seed only, together in each step."""
    alike: dict[tuple[str, str | None, Compile], list[str]] = defaultdict(list)
    for run in filter(among, shared.open.values()):
        if not why_alone(run):
            alike[run.configuration.row, run.variant, run.compile].append(run.configuration.identity)
    for identities in alike.values():
        for chosen in (identities[i : i + SEEDS_AT_ONCE] for i in range(0, len(identities), SEEDS_AT_ONCE)):
            with ExitStack() as claims:
                indices = []
                for index, claim in shared.ready(lambda run: run.configuration.identity in chosen):  # noqa: B023
                    claims.enter_context(claim)
                    indices.append(index)
                runs = [shared.open[index] for index in indices]
                listeners = [partial(listener, index) for index in indices]
                records = execute_together(runs, results, device, listeners, observe) if len(runs) > 1 else []
            for index, record in zip(indices, records, strict=bool(records)):
                shared.done(index)
                yield index, record


def _in_processes(
    shared: SharedWork,
    among: Among,
    results: ResultsFolder,
    devices: Sequence[torch.device],
    jobs: int,
    listener: RunListener,
    observe: Sequence[str],
    isolation: Isolation,
    *,
    once: bool,
) -> Iterator[tuple[int, RunRecord]]:
    """Runs in ``jobs`` processes at once, dealt to the devices. ``once``: a new process for each run."""
    import torch

    from avbench.harness.running.workers import Died, work_through

    claims: dict[int, Claim] = {}

    def todo() -> Iterator[tuple[int, PlannedRun]]:
        for index, claim in shared.ready(among):
            claims[index] = claim
            yield index, shared.open[index]

    threads = torch.get_num_threads() if jobs == 1 else max(1, (os.cpu_count() or 1) // jobs)
    places = [devices[place % len(devices)] for place in range(jobs)]
    works = [partial(_work, results.root, str(place), observe, jobs, isolation) for place in places]
    try:
        for index, news in work_through(todo(), works, threads, once=once):
            if isinstance(news, EpochDone):
                listener(index, news)
                continue
            if isinstance(news, Died):
                place = places[news.place]
                news = shared.found(index) or _buried(shared.open[index], results, place, jobs, isolation, news.reason)
            claims.pop(index).release()
            shared.done(index)
            yield index, news
    finally:
        for claim in claims.values():
            claim.release()


def _work(
    root: Path,
    device: str,
    observe: Sequence[str],
    at_once: int,
    isolation: Isolation,
    run: PlannedRun,
    listener: Callable[[EpochDone], None],
) -> RunRecord:
    import torch

    describe_strangers(isolation, root)
    return execute(
        run, ResultsFolder(root), torch.device(device), listener, observe, at_once=at_once, isolation=isolation
    )


def _buried(
    run: PlannedRun, results: ResultsFolder, device: torch.device, at_once: int, isolation: Isolation, reason: str
) -> RunRecord:
    """The stored failure of a run whose process died."""
    registered = plugins().method(run.configuration.method)
    draft = draft_record(run, registered, environment(device), at_once, isolation)
    record = draft.model_copy(update={"failure": Failure(type="WorkerDied", message=reason, traceback="")})
    results.save(record, None)
    return record
