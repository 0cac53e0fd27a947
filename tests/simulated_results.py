"""Valid simulated result records with evidence: any method, track, protocol, seed and skill, thousands in seconds."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from functools import cache
from itertools import islice, product
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from avbench.harness.evaluation.evidence import TEST, VALIDATION, Evidence
from avbench.harness.evaluation.metrics import evaluate
from avbench.harness.evaluation.protocol import PROTOCOLS
from avbench.harness.plugins.declared import capabilities_of
from avbench.harness.plugins.registry import plugins
from avbench.harness.plugins.source_hash import source_hash
from avbench.harness.records.record import (
    Capabilities,
    Configuration,
    Environment,
    Failure,
    Measured,
    Metrics,
    Outcome,
    Plugin,
    ProtocolVersion,
    RunRecord,
    ValidationEpoch,
)
from avbench.harness.records.results import ResultsFolder, pack_evidence
from avbench.harness.tracks import Track
from avbench.splits import Split, load_split

OPTIONS = {"epochs": 50, "batches_per_epoch": 500, "batch_size": 256, "learning_rate": 0.001, "weight_decay": 0.0}
TRACKS = tuple(Track(d, f) for f in ("main", "cls") for d in ("ucf", "activitynet", "vggsound"))


def sha256(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def split_of(track: Track) -> Split:
    return load_split(track.dataset, "cls" if track.features == "cls" else "main")


def simulated_run(
    method: str = "avca",
    track: Track = Track("ucf", "main"),  # noqa: B008
    protocol: str = "aligned",
    seed: int = 0,
    skill: float = 0.3,
    *,
    clips: int | None = None,
    branches: Sequence[str] = (),
    options: Mapping[str, Any] = OPTIONS,
    feature_hash: str | None = None,
    **changes: Any,
) -> tuple[RunRecord, bytes]:
    """A record and its evidence file. The options of an installed method are filled up with its presets.

    ``skill`` 0..1 shifts all recalls; a method's classes differ in difficulty.

    ``clips``: clips per class instead of the split's own counts. ``changes``: fields of the record.
    """
    rules = PROTOCOLS[protocol]
    random = np.random.default_rng([int(sha256(f"{method} {track}")[:8], 16), seed])
    tables = {
        TEST: _evidence(random, track, ("test_seen", "test_unseen"), skill, clips),
        VALIDATION: _evidence(random, track, ("val_seen", "val_unseen"), skill, clips),
    }
    offsets = {"combined": rules.find_offset(tables[VALIDATION]).value}
    for name in branches:
        table = tables[f"{VALIDATION}.{name}"] = _evidence(random, track, ("val_seen", "val_unseen"), skill / 2, clips)
        offsets[name] = rules.find_offset(table).value
    offset = sum(offsets.values()) / len(offsets)
    evidence = pack_evidence(tables)
    configuration = configuration_of(method, track, protocol, seed, options=options, feature_hash=feature_hash)
    epochs = configuration.options.get("epochs", 5)
    assert isinstance(epochs, int)
    record = record_of(
        configuration,
        outcome=Outcome(
            metrics=Metrics(**vars(evaluate(tables[TEST], offset))),
            offset=offset,
            branch_offsets=offsets if branches else {},
            epochs=min(3, epochs),
            validation=_history(tables[VALIDATION], offsets["combined"], epochs),
            parameters=1_693_220,
            evidence=hashlib.sha256(evidence).hexdigest(),
        ),
        **changes,
    )
    return record, evidence


def configuration_of(
    method: str,
    track: Track,
    protocol: str,
    seed: int,
    *,
    options: Mapping[str, Any] = OPTIONS,
    feature_hash: str | None = None,
) -> Configuration:
    installed = plugins().methods.get(method)
    if installed and options.keys() <= installed.method.Options.model_fields.keys():
        options = installed.method.Options.effective(track, protocol, options).model_dump(mode="json")
    return Configuration(
        method=method,
        plugin=Plugin(
            distribution="avbench" if installed else f"package-of-{method}",
            version="0.1.0",
            source_hash=source_hash(installed) if installed else sha256(method),
        ),
        options=dict(options),
        dataset=track.dataset,
        features=track.features,
        feature_hash=feature_hash or sha256(str(track)),
        split_fingerprint=split_of(track).fingerprint,
        protocol=ProtocolVersion(name=protocol, version=PROTOCOLS[protocol].version),
        seed=seed,
    )


def record_of(configuration: Configuration, **fields: Any) -> RunRecord:
    """A record around an outcome, or around a failure where none is given."""
    failed = {"failure": Failure(type="ValueError", message="scores are NaN", traceback="Traceback ...")}
    return RunRecord(
        identity=configuration.identity,
        configuration=configuration,
        **{
            "simulated": configuration.track.simulated,
            "capabilities": _capabilities(configuration.method),
            "environment": Environment(
                avbench="0.1.0", python="3.11.9", torch="2.13.0", platform="Linux", device="cpu", threads=2
            ),
            "measured": Measured(
                started="2024-05-01T12:00:00Z",
                seconds_stage_1=60.0,
                seconds_stage_2=30.0,
                seconds=90.0 + configuration.seed,
                peak_memory_bytes=2**30,
            ),
            **(failed if "outcome" not in fields else {}),
            **fields,
        },
    )


def _capabilities(method: str) -> Capabilities:
    """Those of the installed method of that name, else the plainest."""
    registered = plugins().methods.get(method)
    plain = Capabilities(inputs="averaged", uses_unseen_names=False, generative=False)
    return capabilities_of(registered) if registered else plain


def store(root: Path, runs: Iterator[tuple[RunRecord, bytes]] | Sequence[tuple[RunRecord, bytes]]) -> ResultsFolder:
    """Write runs as :meth:`ResultsFolder.save` does, without its wait for the disk."""
    folder = ResultsFolder(root)
    for record, evidence in runs:
        path = folder.path(record.configuration)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(record.to_json(), "utf-8")
        folder.evidence_path(record).write_bytes(evidence)
    return folder


def many_runs(count: int, tracks: Sequence[Track] = TRACKS) -> Iterator[tuple[RunRecord, bytes]]:
    """``count`` valid runs: methods ``m000``, ``m001``, ... of differing skill on all tracks and protocols, 5 seeds."""
    methods = (f"m{number:03d}" for number in range(count))
    everything = (
        simulated_run(method, track, protocol, seed, 0.1 + 0.6 * (int(method[1:]) % 17) / 17)
        for method in methods
        for track, protocol, seed in product(tracks, PROTOCOLS, range(5))
    )
    return islice(everything, count)


def altered(record: RunRecord, **outcome: Any) -> RunRecord:
    """The record with other values in its outcome, as a cheat would write them."""
    assert record.outcome is not None
    return record.model_copy(update={"outcome": record.outcome.model_copy(update=outcome)})


def reconfigured(record: RunRecord, **configuration: Any) -> RunRecord:
    """The record with other values in its configuration, and the identity that follows from them."""
    changed = record.configuration.model_copy(update=configuration)
    return record.model_copy(update={"configuration": changed, "identity": changed.identity})


def _evidence(
    random: np.random.Generator, track: Track, parts: tuple[str, str], skill: float, clips: int | None
) -> Evidence:
    split = split_of(track)
    seen, unseen = (np.array(sorted(c.id for c in split.classes_of(part)), np.int32) for part in parts)
    counts = [
        clips or c.videos[part] or 10 for part in parts for c in sorted(split.classes_of(part), key=lambda c: c.id)
    ]
    label = np.repeat(np.concatenate([seen, unseen]), counts).astype(np.int32)
    is_seen = np.isin(label, seen)
    difficulty = _difficulty(track.dataset)[label] + random.normal(0, 0.3, split.classes[-1].id + 1)[label]
    right = random.random(label.size) < 1 / (1 + np.exp(difficulty - 6 * (skill - 0.5) - is_seen))
    margin = random.normal(0, 1, label.size) + np.where(is_seen, 1.5, 0.5)
    unseen_score = random.normal(0, 1, label.size).astype(np.float32)
    return Evidence(
        label=label,
        seen_class=_best(random, seen, label, right & is_seen),
        seen_score=(unseen_score + margin).astype(np.float32),
        unseen_class=_best(random, unseen, label, right & ~is_seen),
        unseen_score=unseen_score,
        seen_classes=seen,
        unseen_classes=unseen,
    )


def _best(
    random: np.random.Generator, space: NDArray[np.int32], label: NDArray[np.int32], right: NDArray[np.bool_]
) -> NDArray[np.int32]:
    return np.where(right, label, random.choice(space, label.size)).astype(np.int32)


@cache
def _difficulty(dataset: str) -> NDArray[np.float64]:
    """How hard each class is for every method."""
    classes = len(load_split(dataset, "main").classes)
    return np.random.default_rng(int(sha256(dataset)[:8], 16)).normal(0, 1, classes)


def _history(validation: Evidence, offset: float, epochs: int) -> list[ValidationEpoch]:
    """So many epochs, the third, or the last of fewer, the best."""
    best = evaluate(validation, offset)
    shares = (0.5, 0.8, 1.0)[-epochs:] + (0.9, 0.95, *[0.9] * epochs)[: max(0, epochs - 3)]
    return [ValidationEpoch(S=best.S * x, U=best.U * x, HM=best.HM * x, offset=offset) for x in shares]
