"""Planning and executing runs: what is to be done, what is done already, and one run from features to record."""

from __future__ import annotations

import hashlib
import os
import traceback
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import UTC, datetime
from functools import lru_cache
from time import perf_counter
from typing import TYPE_CHECKING, Any

from avbench.harness.contract.options import EpochOptions, Options
from avbench.harness.errors import UsageError
from avbench.harness.evaluation.protocol import PROTOCOLS, find_protocol
from avbench.harness.evaluation.two_stages import EpochDone, EpochListener, Result, run_two_stages
from avbench.harness.plugins.observers import Observers
from avbench.harness.plugins.registry import Registered, plugins
from avbench.harness.plugins.source_hash import loose_hash, source_hash
from avbench.harness.plugins.sources import feature_manifest, load_features
from avbench.harness.records.planned import PlannedRun
from avbench.harness.records.record import (
    Capabilities,
    Configuration,
    Failure,
    Measured,
    Metrics,
    Numerics,
    Outcome,
    Plugin,
    ProtocolVersion,
    RunRecord,
    ValidationEpoch,
)
from avbench.harness.records.results import ResultsFolder, pack_evidence
from avbench.harness.running.environment import environment, forget_peak_memory, peak_memory_bytes
from avbench.harness.running.numerics import products
from avbench.harness.tracks import Track
from avbench.splits import load_split

if TYPE_CHECKING:
    import torch

    from avbench.harness.features.featureset import FeatureSet


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

    ``given`` options win over those of a variant. Raises :class:`UsageError` for unknown names, options or values.
    """
    found, given = plugins(), given or {}
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
    runs = (
        PlannedRun(
            configuration(
                method,
                track,
                protocol,
                seed,
                {**variant.options_on(track, protocol), **given} if variant else given,
                numerics,
            ),
            variant.name if variant else None,
        )
        for track in tracks
        for method, variant in chosen
        for protocol in protocols
        for seed in seeds
    )
    unique: dict[str, PlannedRun] = {}
    for run in runs:  # variants may have equal options
        unique.setdefault(run.configuration.identity, run)
    return list(unique.values())


def configuration(
    registered: Registered,
    track: Track,
    protocol: str,
    seed: int,
    given: Mapping[str, Any],
    numerics: Numerics,
) -> Configuration:
    """The full configuration of one run, identity included."""
    info, method = registered.info, registered.method
    manifest = feature_manifest(track)
    try:
        options = method.Options.effective(track, protocol, given)
    except UsageError as error:
        raise UsageError(f"method {info.slug!r}: {error}") from None
    return Configuration(
        method=info.slug,
        plugin=Plugin(
            distribution=registered.distribution,
            version=registered.version,
            source_hash=loose_hash(method) if registered.loose else source_hash(method.__module__),
        ),
        options=options.model_dump(mode="json"),
        dataset=track.dataset,
        features=track.features,
        feature_hash=manifest.content_hash,
        split_fingerprint=load_split(track.dataset, manifest.partition).fingerprint,
        protocol=ProtocolVersion(name=protocol, version=PROTOCOLS[protocol].version),
        seed=seed,
        numerics=numerics,
    )


def execute(
    planned: PlannedRun,
    results: ResultsFolder,
    device: torch.device,
    listener: EpochListener = lambda _: None,
    observe: Sequence[str] = (),
    pause: Callable[[], None] = lambda: None,
    at_once: int = 1,
) -> RunRecord:
    """Do one run and store its record. An exception becomes a stored failure; Ctrl-C stores nothing.

    ``observe``: names of the observers that watch the run. ``pause``: see :func:`run_two_stages`.
    ``at_once``: how many runs share the machine, for the record.
    """
    _make_deterministic()
    forget_peak_memory(device)
    c = planned.configuration
    registered = plugins().method(c.method)
    started, start = datetime.now(UTC).isoformat(timespec="seconds"), perf_counter()
    outcome, failure, evidence, seconds = None, None, None, (0.0, 0.0)
    observers = Observers([plugins().observer(name)() for name in observe], device)
    observers.started(planned, results.root)

    def epoch_done(done: EpochDone) -> None:
        listener(done)
        observers.epoch(done)

    try:
        result = _run(registered, c, device, epoch_done, pause)
        evidence = pack_evidence(result.evidence)
        outcome, seconds = _outcome(result, evidence), result.seconds
    except Exception as error:
        failure = Failure(
            type=type(error).__name__, message=str(error)[:20_000], traceback=traceback.format_exc()[-200_000:]
        )
    manifest = feature_manifest(c.track)
    record = RunRecord(
        identity=c.identity,
        configuration=c,
        variant=planned.variant,
        simulated=manifest.simulated,
        capabilities=Capabilities(
            inputs=registered.info.inputs,
            uses_unseen_names=registered.info.uses_unseen_names,
            generative=registered.info.generative,
            calibrated_stacking=registered.info.calibrated_stacking,
        ),
        encoders_met=manifest.seen,
        warnings=list(manifest.warnings),
        environment=environment(device),
        measured=Measured(
            started=started,
            seconds_stage_1=round(seconds[0], 3),
            seconds_stage_2=round(seconds[1], 3),
            seconds=round(perf_counter() - start, 3),
            peak_memory_bytes=peak_memory_bytes(device),
            runs_at_once=at_once,
        ),
        outcome=outcome,
        failure=failure,
    )
    results.save(record, evidence)
    observers.finished(record)
    return record


def _run(
    registered: Registered, c: Configuration, device: torch.device, listener: EpochListener, pause: Callable[[], None]
) -> Result:
    options = registered.method.Options.model_validate(c.options)
    with products(c.numerics, device):
        return run_two_stages(
            lambda: registered.method(options),
            _held(load_features(c.track), device, c.numerics.feature_dtype),
            PROTOCOLS[c.protocol.name],
            epochs=_epochs(options),
            seed=c.seed,
            listener=listener,
            pause=pause,
        )


@lru_cache(maxsize=1)
def _held(features: FeatureSet, device: torch.device, dtype: str) -> FeatureSet:
    """The features in the memory of a device. Runs that follow each other, or take turns, share one copy."""
    import torch

    return features.to(device, getattr(torch, dtype))


def _epochs(options: Options) -> int:
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


def _make_deterministic() -> None:
    """Same seed, same machine, same bits: deterministic kernels where torch has them."""
    import torch

    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    torch.use_deterministic_algorithms(True, warn_only=True)
    torch.utils.deterministic.fill_uninitialized_memory = False  # type: ignore[attr-defined]


RunListener = Callable[[int, EpochDone], None]
"""Called with the index of the run and its news."""
