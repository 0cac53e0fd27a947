"""Planning and executing runs: what is to be done, what is done already, and one run from features to record."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from pydantic import ValidationError

from avbench.harness.contract.method import Method, MethodInfo
from avbench.harness.contract.options import EpochOptions, Options
from avbench.harness.contract.variants import Variant
from avbench.harness.errors import MethodError, UsageError
from avbench.harness.evaluation.compiler import Compiler, tell_uncompiled
from avbench.harness.evaluation.protocol import PROTOCOLS, find_protocol
from avbench.harness.evaluation.two_stages import EpochDone, EpochListener, Result, run_together, run_two_stages
from avbench.harness.features.temporal_draft import MEAN, view_of
from avbench.harness.isolation.choice import NONE, Isolation
from avbench.harness.isolation.start import Computing, started
from avbench.harness.plugins.declared import capabilities_of
from avbench.harness.plugins.presets import is_of_variant
from avbench.harness.plugins.registry import Registered, plugins
from avbench.harness.plugins.source_hash import source_hash
from avbench.harness.plugins.sources import feature_manifest, planned_features
from avbench.harness.records.planned import PlannedRun
from avbench.harness.records.record import (
    MAX_EPOCHS,
    Configuration,
    Numerics,
    Plugin,
    ProtocolVersion,
    RunRecord,
    canonical_json,
)
from avbench.harness.records.results import ResultsFolder
from avbench.harness.running.attempt import Attempt
from avbench.harness.running.compiling import compiler_of
from avbench.harness.running.numerics import products
from avbench.harness.running.room import free_memory, out_of_memory
from avbench.harness.tracks import Track
from avbench.splits import load_split

if TYPE_CHECKING:
    import torch

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
    at_once: int = 1,
    isolation: Isolation = NONE,
) -> RunRecord:
    """Do one run and store its record. What goes wrong in it becomes a stored failure; Ctrl-C stores nothing.

    All that can be refused is asked before the run: raises :class:`AvbenchError` where it could not be stored.
    ``observe``: names of the observers that watch the run. ``at_once``: how many runs share the
    machine, for the record. ``isolation``: where the method is meanwhile.
    """
    registered = plugins().method(planned.configuration.method)
    attempt = Attempt(planned, registered, results, device, listener, observe, at_once=at_once, isolation=isolation)
    if not isolation:
        return _ended([attempt], registered)[0]
    try:
        result, beside = _isolated(attempt, registered, isolation)
    except KeyboardInterrupt:
        raise
    except BaseException as error:
        return attempt.ended(error)
    return attempt.ended(result, beside)


def execute_together(
    planned: Sequence[PlannedRun],
    results: ResultsFolder,
    device: torch.device,
    listeners: Sequence[EpochListener],
    observe: Sequence[str] = (),
) -> list[RunRecord]:
    """Do runs that differ in the seed only, in one step each, and store their records. See :func:`execute`.

    Where the memory of the device is too small for all, each half of them is done by itself, from the beginning.
    """
    registered = plugins().method(planned[0].configuration.method)
    attempts = [
        Attempt(run, registered, results, device, listener, observe)
        for run, listener in zip(planned, listeners, strict=True)
    ]
    return _ended(attempts, registered)


def _ended(attempts: Sequence[Attempt], registered: Registered) -> list[RunRecord]:
    """The records of runs that differ in the seed only. Those that memory was too short for are done once more."""
    many, device = len(attempts), attempts[0].device
    outcomes, compiled = _outcomes(attempts, registered)
    short = [index for index, outcome in enumerate(outcomes) if many > 1 and out_of_memory(outcome)]
    ended = {
        index: attempts[index].ended(outcome, seeds_at_once=many, compiled=compiled)
        for index, outcome in enumerate(outcomes)
        if index not in short
    }
    del outcomes  # and what the frames of their tracebacks hold
    if short:
        free_memory(device)
        logger.warning(
            "%s: no memory for %d seeds in one step; fewer at once, from the beginning", attempts[0].planned, many
        )
    middle = len(short) // 2 if len(short) == many else 0
    for part in filter(None, (short[:middle], short[middle:])):
        ended.update(zip(part, _ended([attempts[index].again() for index in part], registered), strict=True))
    return [ended[index] for index in range(many)]


def _outcomes(attempts: Sequence[Attempt], registered: Registered) -> tuple[Sequence[Result | BaseException], bool]:
    """What came of each run, and whether its steps were compiled. What cannot be is begun again without."""
    planned = [attempt.planned for attempt in attempts]
    c, device = planned[0].configuration, attempts[0].device

    def trained(compiler: Compiler | None) -> Sequence[Result | BaseException]:
        options = _options(registered, c)
        with products(c.numerics, device):
            features = _held(planned_features(c.track, c.feature_hash), device, c.numerics.feature_dtype)
            if len(attempts) == 1 and compiler is None:  # the step of a run alone
                return [_two_stages(lambda: registered.method(options), features, attempts[0], options)]
            return run_together(
                lambda: registered.method(options),
                features,
                PROTOCOLS[c.protocol.name],
                epochs=epochs_of(options),
                seeds=[run.configuration.seed for run in planned],
                listeners=[attempt.epoch_done for attempt in attempts],
                fitted=[attempt.fitted for attempt in attempts],
                compiler=compiler,
            )

    try:
        compiler = compiler_of(planned, device)
        if compiler is not None:
            outcomes = trained(compiler)
            compiler.note(outcomes)
            if not compiler.failure:
                return outcomes, True
            del outcomes  # and the memory that the frames of their tracebacks hold
            free_memory(device)
            tell_uncompiled(compiler.failure)
            for attempt in attempts:
                attempt.again()
        return trained(None), False
    except KeyboardInterrupt:
        raise
    except BaseException as error:  # also SystemExit: a method ends its own runs, never the others
        return [error] * len(attempts), False


def _isolated(attempt: Attempt, registered: Registered, isolation: Isolation) -> tuple[Result, int]:
    """What came of a run whose method has a process of its own, and the peak memory in bytes of that."""
    import torch

    from avbench.harness.isolation.judge import stand_in

    c = attempt.planned.configuration
    options = _options(registered, c)
    compiler_of([attempt.planned], attempt.device, isolation)  # says that there is none, where one is wished for
    computing = Computing(attempt.device, torch.get_num_threads(), c.numerics.precision)
    with started(registered, options, computing, isolation, attempt.results.root) as worker:
        features = _held(planned_features(c.track, c.feature_hash), torch.device("cpu"), c.numerics.feature_dtype)
        return _two_stages(stand_in(registered, worker), features, attempt, options), worker.peak_memory_bytes


def _two_stages(make: Callable[[], Method], features: FeatureSet, attempt: Attempt, options: Options) -> Result:
    c = attempt.planned.configuration
    return run_two_stages(
        make,
        features,
        PROTOCOLS[c.protocol.name],
        epochs=epochs_of(options),
        seed=c.seed,
        listener=attempt.epoch_done,
        fitted=attempt.fitted,
    )


def _options(registered: Registered, c: Configuration) -> Options:
    """The options of a run. Raises :class:`MethodError` where the method's code is not what it was when planned."""
    if source_hash(registered) != c.plugin.source_hash:
        raise MethodError(f"the code of {c.method} has changed since this run was planned; run the same command again")
    return registered.method.Options.model_validate(c.options)


@lru_cache(maxsize=1)
def _held(features: FeatureSet, device: torch.device, dtype: str) -> FeatureSet:
    """The features in the memory of a device. Runs that follow each other, or take turns, share one copy."""
    import torch

    return features.to(device, getattr(torch, dtype))


def epochs_of(options: Options) -> int:
    """The epochs of stage 1; methods without epochs are scored once."""
    return options.epochs if isinstance(options, EpochOptions) else 1


RunListener = Callable[[int, EpochDone], None]
"""Called with the index of the run and its news."""
