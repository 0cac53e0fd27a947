"""Planning and executing runs: what is to be done, what is done already, and one run from features to record."""

from __future__ import annotations

import errno
import hashlib
import logging
import os
import tempfile
import traceback
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import UTC, datetime
from functools import lru_cache
from pathlib import Path
from time import perf_counter
from typing import TYPE_CHECKING, Any

from pydantic import ValidationError

from avbench.harness.contract.method import Method, MethodInfo
from avbench.harness.contract.options import EpochOptions, Options
from avbench.harness.contract.variants import Variant
from avbench.harness.errors import AvbenchError, MethodError, UsageError
from avbench.harness.evaluation.precision import make_deterministic
from avbench.harness.evaluation.protocol import PROTOCOLS, find_protocol
from avbench.harness.evaluation.two_stages import EpochDone, EpochListener, Result, run_two_stages
from avbench.harness.features.temporal_draft import MEAN, view_of
from avbench.harness.isolation.choice import NONE, Isolation
from avbench.harness.isolation.start import Place, require_possible, started
from avbench.harness.plugins.about import about_of
from avbench.harness.plugins.declared import capabilities_of
from avbench.harness.plugins.observers import Observers
from avbench.harness.plugins.presets import is_of_variant
from avbench.harness.plugins.registry import Registered, plugins
from avbench.harness.plugins.source_hash import code_of, source_hash
from avbench.harness.plugins.sources import feature_manifest, planned_features
from avbench.harness.printable import storable
from avbench.harness.records.planned import PlannedRun
from avbench.harness.records.record import (
    MAX_EPOCHS,
    Configuration,
    Environment,
    Failure,
    Measured,
    Metrics,
    Numerics,
    Outcome,
    Plugin,
    ProtocolVersion,
    RunRecord,
    ValidationEpoch,
    canonical_json,
)
from avbench.harness.records.results import ResultsFolder, pack_evidence
from avbench.harness.records.states import save_state
from avbench.harness.running.environment import environment, forget_peak_memory, peak_memory
from avbench.harness.running.numerics import products
from avbench.harness.tracks import Track
from avbench.splits import load_split

if TYPE_CHECKING:
    import torch
    from torch import Tensor

    from avbench.harness.features.featureset import FeatureSet
    from avbench.harness.features.manifest import Manifest

logger = logging.getLogger("avbench")

DEFAULT = Numerics()


def plan(
    methods: Iterable[str],
    tracks: Iterable[Track],
    protocols: Iterable[str],
    seeds: Sequence[int],
    given: Mapping[str, Any] | None = None,
    variants: Sequence[str] = (),
    numerics: Numerics = DEFAULT,
) -> list[PlannedRun]:
    """Every combination, track by track; without ``variants``, the methods as they are.

    ``given`` options win over those of a variant; where they undo it, its name is left out. Raises :class:`UsageError`
    for unknown names, options or values.
    """
    found, given = plugins(), given or {}
    manifests = {track: feature_manifest(track) for track in tracks}
    registered = [found.method(slug) for slug in methods]
    chosen = [
        (method, found.variant(method.info.slug, name) if name else None)
        for method in registered
        for name in variants or (None,)
    ]
    for name in protocols:
        find_protocol(name)
    for seed in seeds:
        if not 0 <= seed < 2**32:
            raise UsageError(f"seed {seed} is outside 0 to {2**32 - 1}")

    def named(variant: Variant | None, method: Registered, c: Configuration) -> str | None:
        """A variant's name, unless the given options undid all that it sets."""
        return variant.name if variant and is_of_variant(variant, method, c) else None

    runs = (
        PlannedRun(
            c := configuration(
                method,
                track,
                manifest,
                protocol,
                seed,
                {**variant.options_on(track, protocol), **given} if variant else given,
                numerics,
            ),
            named(variant, method, c),
            manifest.simulated,
            manifest.warnings,
            manifest.source,
            manifest.inputs,
            manifest.seen,
        )
        for track, manifest in manifests.items()
        for method, variant in chosen
        for protocol in protocols
        for seed in seeds
    )
    unique: dict[str, PlannedRun] = {}
    for run in runs:  # variants may have equal options
        unique.setdefault(run.configuration.identity, run)
    return list(unique.values())


def refuse_unreadable(info: MethodInfo, track: Track, manifest: Manifest, numerics: Numerics) -> None:
    """Raise :class:`UsageError`, before anything starts, for features that a method cannot read."""
    if info.reads(manifest.inputs):
        if manifest.time is not None and numerics.feature_dtype != "float32":
            raise UsageError(f"{track}: features over time are held as they are stored: import them with --dtype")
        return
    if manifest.time is not None:
        raise UsageError(
            f"method {info.slug!r} reads averaged features, those of {track} are over time; "
            f"its averaged view is the feature set {view_of(track).features}"
        )
    over_time = Track(track.dataset, track.features.removesuffix(MEAN))
    where = f"; try {over_time.features}" if over_time != track else ""
    raise UsageError(f"method {info.slug!r} reads features over time, those of {track} are averaged{where}")


def configuration(
    registered: Registered,
    track: Track,
    manifest: Manifest,
    protocol: str,
    seed: int,
    given: Mapping[str, Any],
    numerics: Numerics,
) -> Configuration:
    """The full configuration of one run, identity included. Raises :class:`UsageError` for what cannot be recorded."""
    info, method = registered.info, registered.method
    try:
        options = method.Options.effective(track, protocol, given)
        code = source_hash(registered)
    except (UsageError, MethodError) as error:
        raise type(error)(f"method {info.slug!r}: {error}") from None
    if epochs_of(options) > MAX_EPOCHS:
        raise UsageError(f"method {info.slug!r}: a record holds the validation of at most {MAX_EPOCHS:,} epochs")
    split = load_split(track.dataset, manifest.partition)
    try:
        planned = Configuration(
            method=info.slug,
            plugin=Plugin(distribution=registered.distribution, version=registered.version, source_hash=code),
            options=options.model_dump(mode="json"),
            dataset=track.dataset,
            features=track.features,
            feature_hash=manifest.content_hash,
            split_fingerprint=split.fingerprint,
            protocol=ProtocolVersion(name=protocol, version=PROTOCOLS[protocol].version),
            seed=seed,
            numerics=numerics,
        )
        canonical_json(planned.model_dump(mode="json")).encode()
        capabilities_of(registered, manifest.inputs)
    except ValueError as error:  # what pydantic and UTF-8 refuse
        place, reason = "", str(error)
        if isinstance(error, ValidationError):
            first = error.errors()[0]
            place, reason = f"{'.'.join(map(str, first['loc']))}: ", first["msg"]
        raise UsageError(
            f"method {info.slug!r} of {registered.distribution}: a run could not be recorded: {place}{reason}"
        ) from None
    refuse_unreadable(info, track, manifest, numerics)
    return planned


def execute(
    planned: PlannedRun,
    results: ResultsFolder,
    device: torch.device,
    listener: EpochListener = lambda _: None,
    observe: Sequence[str] = (),
    pause: Callable[[], None] = lambda: None,
    at_once: int = 1,
    isolation: Isolation = NONE,
) -> RunRecord:
    """Do one run and store its record. What goes wrong in it becomes a stored failure; Ctrl-C stores nothing.

    All that can be refused is asked before the run: raises :class:`AvbenchError` where it could not be stored.
    ``observe``: names of the observers that watch the run. ``pause``: see :func:`run_two_stages`.
    ``at_once``: how many runs share the machine, for the record. ``isolation``: where the method is meanwhile.
    """
    c = planned.configuration
    results.require_room([c])
    registered = plugins().method(c.method)
    require_possible(registered, isolation)
    make_deterministic()
    forget_peak_memory(device)
    draft = draft_record(planned, registered, environment(device), at_once, isolation)
    start = perf_counter()
    observers = Observers([plugins().observer(name) for name in observe], device)
    observers.started(planned, results.root)

    def epoch_done(done: EpochDone) -> None:
        listener(done)
        observers.epoch(done)

    state: dict[str, Tensor] = {}

    def fitted(method: Method) -> None:
        if planned.keeps_state:
            state.update(method.state())

    outcome, failure, evidence, seconds = None, None, None, (0.0, 0.0)
    beside = 0
    try:
        result, beside = _run(registered, c, device, epoch_done, pause, fitted, isolation, results.root)
        evidence = pack_evidence(result.evidence)
        outcome, seconds = _outcome(result, evidence), result.seconds
    except KeyboardInterrupt:
        raise
    except BaseException as error:  # also SystemExit: a method ends its own run, never the others
        failure = failure_of(error)
    peak, unknown = peak_memory(device)
    measured = draft.measured.model_copy(
        update={
            "seconds_stage_1": round(seconds[0], 3),
            "seconds_stage_2": round(seconds[1], 3),
            "seconds": round(perf_counter() - start, 3),
            "peak_memory_bytes": peak + beside,
        }
    )
    where = draft.environment.model_copy(update={"unknown": [*draft.environment.unknown, *unknown]})
    record = draft.model_copy(
        update={"environment": where, "measured": measured, "outcome": outcome, "failure": failure}
    )
    _keep(record, evidence, results)
    if state and record.finished:
        _keep_state(record, state, results)
    observers.finished(record)
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


def _run(
    registered: Registered,
    c: Configuration,
    device: torch.device,
    listener: EpochListener,
    pause: Callable[[], None],
    fitted: Callable[[Method], None],
    isolation: Isolation,
    root: Path,
) -> tuple[Result, int]:
    """What came of the run, and the peak memory in bytes of a process beside this one."""
    if source_hash(registered) != c.plugin.source_hash:
        raise MethodError(f"the code of {c.method} has changed since this run was planned; run the same command again")
    options = registered.method.Options.model_validate(c.options)

    def two_stages(make: Callable[[], Method], features: FeatureSet, place: torch.device) -> Result:
        return run_two_stages(
            make,
            _held(features, place, c.numerics.feature_dtype),
            PROTOCOLS[c.protocol.name],
            epochs=epochs_of(options),
            seed=c.seed,
            listener=listener,
            pause=pause,
            fitted=fitted,
        )

    if not isolation:
        features = planned_features(c.track, c.feature_hash)
        with products(c.numerics, device):
            return two_stages(lambda: registered.method(options), features, device), 0
    import torch

    from avbench.harness.isolation.judge import stand_in

    place = Place(device, torch.get_num_threads(), c.numerics.precision)
    with started(registered, options, place, isolation, root) as worker:
        features = planned_features(c.track, c.feature_hash)
        result = two_stages(stand_in(registered, worker), features, torch.device("cpu"))
        return result, worker.peak_memory_bytes


@lru_cache(maxsize=1)
def _held(features: FeatureSet, device: torch.device, dtype: str) -> FeatureSet:
    """The features in the memory of a device. Runs that follow each other, or take turns, share one copy."""
    import torch

    return features.to(device, getattr(torch, dtype))


def epochs_of(options: Options) -> int:
    """The epochs of stage 1; methods without epochs are scored once."""
    return options.epochs if isinstance(options, EpochOptions) else 1


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


RunListener = Callable[[int, EpochDone], None]
"""Called with the index of the run and its news."""
