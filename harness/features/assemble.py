"""Making a feature set from arrays, and checking one that a stranger made."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from avbench.harness.contract.plain_arrays import odd_kind
from avbench.harness.errors import DataError
from avbench.harness.features.draft import NamedText, count_difference
from avbench.harness.features.featureset import FeatureSet, Offsets
from avbench.harness.features.hashing import content_hash
from avbench.harness.features.manifest import TEXT, Manifest, TextFacts
from avbench.harness.features.temporal_checks import over_time_hash, problems_over_time
from avbench.harness.features.temporal_draft import timeline
from avbench.harness.tracks import Track
from avbench.splits import PARTS, Split

if TYPE_CHECKING:
    from torch import Tensor

HASHED = ("audio", "visual", "class_id", "vectors")
CHUNK = 4096
"""Rows looked at at once in a check."""


@dataclass(frozen=True)
class Sequences:
    """Features of one modality over time: ``values`` (sum of T, D) of all clips end to end, float32 or float16.

    ``offsets`` (N + 1,) int64: clip i has the steps ``offsets[i]`` to ``offsets[i + 1] - 1``. ``seconds``: length of a
    step.
    """

    values: NDArray[np.floating[Any]]
    offsets: NDArray[np.int64]
    seconds: float

    def means(self) -> NDArray[np.float32]:
        """(N, D): the mean of each clip over its steps."""
        sums = np.add.reduceat(self.values, self.offsets[:-1], axis=0, dtype=np.float64)
        found: NDArray[np.float32] = (sums / np.diff(self.offsets)[:, None]).astype(np.float32)
        return found


def feature_set(
    track: Track,
    split: Split,
    *,
    counts: Mapping[str, int],
    class_id: NDArray[np.int64],
    audio: NDArray[np.float32],
    visual: NDArray[np.float32],
    vectors: NDArray[np.float32],
    source: str,
    simulated: bool = False,
    texts: Mapping[str, NamedText] | None = None,
) -> FeatureSet:
    """A feature set from arrays whose rows are ordered by part: train, val_seen, val_unseen, test_seen, test_unseen.

    ``counts``: clips of each part. ``class_id`` (N,) source class ids, ``audio`` (N, Da), ``visual`` (N, Dv),
    ``vectors`` (source classes, Dt), unit norm. ``source``: where the features come from, in words. ``texts``: named
    text vectors, where there are several kinds. The arrays are shared, not copied. Unless the features are simulated,
    the manifest warns of what differs from the split in number.
    """
    import torch

    named = texts or {}
    arrays: dict[str, NDArray[np.generic]] = {
        "audio": audio,
        "visual": visual,
        "class_id": class_id,
        "vectors": vectors,
        **{TEXT + name: text.vectors for name, text in named.items()},
    }
    _refuse_odd(arrays, track)
    manifest = Manifest(
        dataset=track.dataset,
        features=track.features,
        partition=split.partition,
        audio_dim=audio.shape[1],
        visual_dim=visual.shape[1],
        text_dim=vectors.shape[1],
        counts={part: counts[part] for part in PARTS},
        content_hash=content_hash(arrays),
        source=source,
        simulated=simulated,
        warnings=() if simulated else miscounted(class_id, part_rows(counts), split),
        texts={name: TextFacts(dim=text.vectors.shape[1], unit=text.unit) for name, text in named.items()},
    )
    return assembled(track, split, manifest, {name: torch.from_numpy(array) for name, array in arrays.items()})


def feature_set_over_time(
    track: Track,
    split: Split,
    *,
    counts: Mapping[str, int],
    class_id: NDArray[np.int64],
    audio: Sequences,
    visual: Sequences,
    vectors: NDArray[np.float32],
    source: str,
    simulated: bool = False,
    texts: Mapping[str, NamedText] | None = None,
) -> FeatureSet:
    """The same with features over time. The averaged view is a set of its own: :func:`feature_set` of their means."""
    import torch

    named = texts or {}
    offsets = audio.offsets, visual.offsets
    manifest = Manifest(
        dataset=track.dataset,
        features=track.features,
        partition=split.partition,
        audio_dim=audio.values.shape[1],
        visual_dim=visual.values.shape[1],
        text_dim=vectors.shape[1],
        counts={part: counts[part] for part in PARTS},
        content_hash="0" * 64,
        source=source,
        simulated=simulated,
        warnings=() if simulated else miscounted(class_id, part_rows(counts), split),
        time=timeline(offsets, (audio.seconds, visual.seconds), audio.values.dtype.name),
        texts={name: TextFacts(dim=text.vectors.shape[1], unit=text.unit) for name, text in named.items()},
    )
    arrays: dict[str, NDArray[np.generic]] = {
        "audio": audio.values,
        "visual": visual.values,
        "audio_offsets": audio.offsets,
        "visual_offsets": visual.offsets,
        "class_id": class_id,
        "vectors": vectors,
        **{TEXT + name: text.vectors for name, text in named.items()},
    }
    _refuse_odd(arrays, track)
    features = assembled(track, split, manifest, {name: torch.from_numpy(array) for name, array in arrays.items()})
    return replace(features, manifest=manifest.model_copy(update={"content_hash": over_time_hash(features)}))


def assembled(
    track: Track, split: Split, manifest: Manifest, tensors: Mapping[str, Tensor], file: Path | None = None
) -> FeatureSet:
    """A feature set from tensors under the names that they have in the store. ``file``: what they are mapped from."""
    texts = {name.removeprefix(TEXT): tensor for name, tensor in tensors.items() if name.startswith(TEXT)}
    over_time = manifest.time is not None
    return FeatureSet(
        track,
        split,
        manifest,
        rows=part_rows(manifest.counts),
        texts=texts,
        offsets=Offsets(tensors["audio_offsets"], tensors["visual_offsets"]) if over_time else None,
        file=file,
        **{name: tensors[name] for name in HASHED},
    )


def part_rows(counts: Mapping[str, int]) -> dict[str, slice]:
    """The rows of each part, one part after the other."""
    ends = np.cumsum([counts[part] for part in PARTS]).tolist()
    return {part: slice(end - counts[part], end) for part, end in zip(PARTS, ends, strict=True)}


def misplaced(class_id: NDArray[np.int64], rows: Mapping[str, slice], split: Split) -> str | None:
    """A part that holds clips of classes which have no place in it: above all, unseen classes in training."""
    for part, members in rows.items():
        if not np.isin(class_id[members], [c.id for c in split.classes_of(part)]).all():
            return part
    return None


def _refuse_odd(arrays: Mapping[str, object], track: Track) -> None:
    for name, array in arrays.items():
        if odd := odd_kind(array):
            raise DataError(f"{track}: {name} is {odd}")


def miscounted(class_id: NDArray[np.int64], rows: Mapping[str, slice], split: Split) -> tuple[str, ...]:
    """How the clips of each part differ from the split in number: what a manifest must warn of."""
    found = (count_difference(split, part, Counter(class_id[members].tolist())) for part, members in rows.items())
    return tuple(difference for difference in found if difference)


def check(features: FeatureSet, track: Track) -> None:
    """Refuse what a run cannot trust: raises :class:`DataError` that says what is wrong with features of a stranger."""
    import torch

    manifest, split = features.manifest, features.split
    count = sum(manifest.counts.values())
    if (features.track, Track(manifest.dataset, manifest.features)) != (track, track):
        raise DataError(f"{track}: the feature set calls itself {features.track}, its manifest {manifest.dataset}")
    if set(manifest.counts) != set(PARTS) or features.rows != part_rows(manifest.counts):
        raise DataError(f"{track}: rows are not ordered by part as the counts of the manifest say")
    expected: dict[str, tuple[torch.dtype, tuple[int, ...]]] = {
        "audio": (torch.float32, (count, manifest.audio_dim)),
        "visual": (torch.float32, (count, manifest.visual_dim)),
        "class_id": (torch.int64, (count,)),
        "vectors": (torch.float32, (len(split.classes), manifest.text_dim)),
    }
    if (features.offsets is None) != (manifest.time is None):
        raise DataError(f"{track}: the manifest must speak of time where the features have offsets, and only there")
    if manifest.time is not None:
        dtype = torch.float16 if manifest.time.dtype == "float16" else torch.float32
        expected["audio"] = (dtype, (manifest.time.audio.total, manifest.audio_dim))
        expected["visual"] = (dtype, (manifest.time.visual.total, manifest.visual_dim))
    if features.texts.keys() != manifest.texts.keys():
        raise DataError(f"{track}: the manifest names other text vectors than the features have")
    expected |= {TEXT + n: (torch.float32, (len(split.classes), t.dim)) for n, t in manifest.texts.items()}
    tensors: dict[str, Tensor] = {name: getattr(features, name) for name in HASHED}
    tensors |= {TEXT + name: vectors for name, vectors in features.texts.items()}
    _refuse_odd(tensors, track)
    for name, tensor in tensors.items():
        if (tensor.dtype, tuple(tensor.shape)) != expected[name]:
            raise DataError(f"{track}: {name} is {tensor.dtype} {tuple(tensor.shape)}, expected {expected[name]}")
    for name in ("audio", "visual"):
        if not all(bool(chunk.isfinite().all()) for chunk in torch.split(tensors[name], CHUNK)):
            raise DataError(f"{track}: {name} holds NaN or infinity")
    if part := misplaced(features.class_id.numpy(), features.rows, split):
        raise DataError(f"{track}: {part} holds clips of classes that do not belong there")
    if not manifest.simulated:
        found = miscounted(features.class_id.numpy(), features.rows, split)
        if unsaid := [warning for warning in found if warning not in manifest.warnings]:
            raise DataError(f"{track}: the warnings of the manifest do not say that {'; '.join(unsaid)}")
    if features.offsets is not None:
        if problems := problems_over_time(features):
            raise DataError(f"{track}: {'; '.join(problems)}")
    elif content_hash(tensors) != manifest.content_hash:
        raise DataError(f"{track}: the content hash of the manifest is not that of the features")
