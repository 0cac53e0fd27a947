"""One run from its beginning to its record, whatever comes of it."""

from __future__ import annotations

import errno
import hashlib
import logging
import os
import tempfile
import traceback
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from time import perf_counter
from typing import TYPE_CHECKING, Any

from avbench.harness.contract.method import Method
from avbench.harness.errors import AvbenchError
from avbench.harness.evaluation.precision import make_deterministic
from avbench.harness.evaluation.two_stages import EpochDone, EpochListener, Result
from avbench.harness.isolation.choice import NONE, Isolation
from avbench.harness.isolation.start import require_possible
from avbench.harness.plugins.about import about_of
from avbench.harness.plugins.declared import capabilities_of
from avbench.harness.plugins.observers import Observers
from avbench.harness.plugins.registry import Registered, plugins
from avbench.harness.plugins.source_hash import code_of
from avbench.harness.printable import storable
from avbench.harness.records.planned import PlannedRun
from avbench.harness.records.record import (
    Environment,
    Failure,
    Measured,
    Metrics,
    Outcome,
    RunRecord,
    ValidationEpoch,
)
from avbench.harness.records.results import ResultsFolder, pack_evidence
from avbench.harness.records.states import save_state
from avbench.harness.running.environment import environment, forget_peak_memory, peak_memory

if TYPE_CHECKING:
    import torch
    from torch import Tensor

logger = logging.getLogger("avbench")


class Attempt:
    """A run that has begun: what is known beforehand, who watches it, and its record once it has ended."""

    def __init__(
        self,
        planned: PlannedRun,
        registered: Registered,
        results: ResultsFolder,
        device: torch.device,
        listener: EpochListener,
        observe: Sequence[str],
        *,
        at_once: int = 1,
        isolation: Isolation = NONE,
    ) -> None:
        self.planned, self.results, self.device, self.listener = planned, results, device, listener
        self.state: dict[str, Tensor] = {}
        results.require_room([planned.configuration])
        require_possible(registered, isolation)
        make_deterministic()
        forget_peak_memory(device)
        self.draft = draft_record(planned, registered, environment(device), at_once, isolation)
        self.start = perf_counter()
        self.observers = Observers([plugins().observer(name) for name in observe], device)
        self.observers.started(planned, results.root)

    def again(self) -> Attempt:
        """From the beginning, as if the run began now. Who watches it is told epochs again, not that it starts."""
        forget_peak_memory(self.device)
        self.start = perf_counter()
        self.state.clear()
        return self

    def epoch_done(self, done: EpochDone) -> None:
        self.listener(done)
        self.observers.epoch(done)

    def fitted(self, method: Method) -> None:
        """Called with the method of stage 2 after its test."""
        if self.planned.keeps_state:
            self.state.update(method.state())

    def ended(
        self, result: Result | BaseException, beside: int = 0, *, seeds_at_once: int = 1, compiled: bool = False
    ) -> RunRecord:
        """The stored record. ``beside``: peak memory in bytes of a process beside this one."""
        outcome, failure, evidence, seconds = None, None, None, (0.0, 0.0)
        if isinstance(result, BaseException):
            failure = failure_of(result)
        else:
            try:
                evidence = pack_evidence(result.evidence)
                outcome, seconds = _outcome(result, evidence), result.seconds
            except Exception as error:
                failure, evidence = failure_of(error), None
        peak, unknown = peak_memory(self.device)
        measured = self.draft.measured.model_copy(
            update={
                "seconds_stage_1": round(seconds[0], 3),
                "seconds_stage_2": round(seconds[1], 3),
                "seconds": round(perf_counter() - self.start, 3),
                "peak_memory_bytes": peak + beside,
                "seeds_at_once": seeds_at_once,
                "compiled": compiled,
            }
        )
        known = self.draft.environment
        record = self.draft.model_copy(
            update={
                "environment": known.model_copy(update={"unknown": [*known.unknown, *unknown]}),
                "measured": measured,
                "outcome": outcome,
                "failure": failure,
            }
        )
        _keep(record, evidence, self.results)
        if self.state and record.finished:
            _keep_state(record, self.state, self.results)
        self.observers.finished(record)
        return record


def draft_record(
    planned: PlannedRun,
    registered: Registered,
    where: Environment,
    at_once: int = 1,
    isolation: Isolation = NONE,
) -> RunRecord:
    """The record of a run that did not take place: with it, all that a record says beforehand has been checked."""
    return RunRecord(
        identity=planned.configuration.identity,
        configuration=planned.configuration,
        code=dict(code_of(registered)),
        variant=planned.variant,
        simulated=planned.simulated,
        capabilities=capabilities_of(registered, planned.inputs),
        about=about_of(registered, _variant_options(planned)),
        encoders_met=planned.encoders_met,
        tuned=planned.tuned,
        warnings=[storable(warning)[:2_000] for warning in planned.warnings],
        features_source=storable(planned.features_source)[:2_000],
        environment=where,
        measured=Measured(
            started=datetime.now(UTC).isoformat(timespec="seconds"), runs_at_once=at_once, isolation=isolation.kind
        ),
        failure=Failure(type="NotRun", message="the run did not take place", traceback=""),
    )


def _variant_options(planned: PlannedRun) -> Mapping[str, Any]:
    """What the variant of a run sets; nothing for a variant that is no more."""
    c = planned.configuration
    known = {v.name: v for v in plugins().variants_of(c.method)}
    return known[planned.variant].options_on(c.track, c.protocol.name) if planned.variant in known else {}


def failure_of(error: BaseException) -> Failure:
    """An exception in a form that any record can hold, whatever its texts are."""
    try:
        message = str(error)
    except Exception as broken:
        message = f"its message cannot be shown ({type(broken).__name__})"
    return Failure(
        type=storable(type(error).__name__)[:2_000],
        message=storable(message)[:20_000],
        traceback=_middle_out(storable("".join(traceback.format_exception(error))), 200_000),
    )


def _middle_out(text: str, limit: int) -> str:
    """Of a long text its beginning and its end: where it was raised, and what."""
    return text if len(text) <= limit else f"{text[: limit // 2 - 5]}\n...\n{text[-limit // 2 :]}"


def _keep(record: RunRecord, evidence: bytes | None, results: ResultsFolder) -> None:
    """Store a record; where its folder refuses it now, among the temporary files, and say so.

    Raises :class:`AvbenchError` where those refuse it too.
    """
    try:
        results.save(record, evidence)
    except OSError as error:
        refused = f"{results.root}: cannot be written to ({error.strerror or error})"
        rescue = Path(tempfile.gettempdir(), f"avbench-rescued-{os.getuid()}")
        try:
            rescue.mkdir(mode=0o700, exist_ok=True)
            if rescue.is_symlink() or rescue.stat().st_uid != os.getuid():
                raise PermissionError(errno.EPERM, os.strerror(errno.EPERM))
            path = ResultsFolder(rescue).save(record, evidence)
        except OSError as again:
            raise AvbenchError(
                f"{refused}, and {rescue} neither ({again.strerror or again}): a trained run is lost; make room"
            ) from None
        logger.warning("%s; the run is kept as %s: once it can be, copy what is in %s there", refused, path, rescue)


def _keep_state(record: RunRecord, state: Mapping[str, Tensor], results: ResultsFolder) -> None:
    """Store a fitted state after its record; where that is impossible, say so: the run itself is kept."""
    try:
        save_state(results, record, state)
    except OSError as error:
        logger.warning("%s: the fitted state cannot be stored (%s)", results.root, error.strerror or error)


def _outcome(result: Result, evidence: bytes) -> Outcome:
    m = result.metrics
    return Outcome(
        metrics=Metrics(S=m.S, U=m.U, HM=m.HM, ZSL=m.ZSL, AUSUC=m.AUSUC),
        offset=result.offset,
        branch_offsets=dict(result.branch_offsets),
        epochs=result.epochs,
        validation=[ValidationEpoch(S=e.S, U=e.U, HM=e.HM, offset=e.offset) for e in result.validation],
        parameters=result.parameters,
        evidence=hashlib.sha256(evidence).hexdigest(),
    )
