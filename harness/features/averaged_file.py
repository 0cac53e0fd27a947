"""Writing the tensors of an averaged feature set, group by group. Knows no torch."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import BinaryIO

import numpy as np
from numpy.typing import NDArray

from avbench.harness.errors import DataError
from avbench.harness.features.draft import ClipGroup, Draft, Report, sample
from avbench.harness.features.manifest import TEXT, Manifest, TextFacts
from avbench.harness.features.temporal_draft import TemporalDraft
from avbench.harness.features.tensorfile import Layout, TensorFile
from avbench.harness.tracks import Track

SPARE_DISK = 64 * 2**20
MAX_ID_BYTES = 255


def write_averaged(draft: Draft, ids: NDArray[np.uint8], stream: BinaryIO, folder: Path, report: Report) -> Manifest:
    """Write the tensors of a draft, group by group."""
    count = len(ids)
    layouts = {
        "class_id": Layout("<i8", (count,)),
        "audio": Layout("<f4", (count, draft.audio_dim)),
        "visual": Layout("<f4", (count, draft.visual_dim)),
        "vectors": Layout("<f4", draft.vectors.shape),
        **{TEXT + name: Layout("<f4", text.vectors.shape) for name, text in draft.texts.items()},
        "video_id": Layout("|u1", ids.shape),
    }
    file = TensorFile(stream, layouts)
    require_room(draft.track, folder, file.bytes)
    file.write("vectors", 0, draft.vectors)
    for name, text in draft.texts.items():
        file.write(TEXT + name, 0, text.vectors)
    file.write("video_id", 0, ids)
    row = 0
    for group in draft.groups:
        report(f"{draft.track}: storing", row, count)
        file.write("class_id", row, np.full(len(group.ids), group.owner.id))
        for name, features in zip(("audio", "visual"), group.read(), strict=True):
            _refuse_unusable(draft.track, group, name, features, layouts[name].shape[1])
            file.write(name, row, features)
        row += len(group.ids)
    report(f"{draft.track}: storing", row, count)
    return _manifest(draft, file.finish())


def id_matrix(draft: Draft | TemporalDraft) -> NDArray[np.uint8]:
    """All video ids, (N, W)."""
    texts = [video.encode() for group in draft.groups for video in group.ids]
    if (longest := max(map(len, texts))) > MAX_ID_BYTES:
        raise DataError(f"{draft.track}: a clip id of {longest:,} bytes; at most {MAX_ID_BYTES} are stored")
    ids = np.array(texts)
    return ids.view(np.uint8).reshape(len(ids), -1)


def _manifest(draft: Draft, found: str) -> Manifest:
    return Manifest.model_validate(
        {
            "dataset": draft.track.dataset,
            "features": draft.track.features,
            "partition": draft.split.partition,
            "audio_dim": draft.audio_dim,
            "visual_dim": draft.visual_dim,
            "text_dim": draft.vectors.shape[1],
            "counts": draft.counts,
            "content_hash": found,
            "source": draft.source,
            "simulated": draft.simulated,
            "warnings": draft.warnings,
            "extraction": draft.extraction,
            "texts": {n: TextFacts(dim=t.vectors.shape[1], unit=t.unit) for n, t in draft.texts.items()},
        }
    )


def _refuse_unusable(track: Track, group: ClipGroup, name: str, features: NDArray[np.float32], width: int) -> None:
    where = f"{track}: {name} features of {group.part}, class {group.owner.name!r}"
    if features.shape != (len(group.ids), width):
        raise DataError(f"{where}: shape {features.shape}, expected {(len(group.ids), width)}")
    bad = np.flatnonzero(~np.isfinite(features).all(axis=1))
    if len(bad):
        names = sample([group.ids[row] for row in bad])
        raise DataError(f"{where}: {len(bad)} of {len(group.ids)} clips hold NaN or infinity ({names})")


def require_room(track: Track, folder: Path, size: int) -> None:
    if (free := shutil.disk_usage(folder).free) < size + SPARE_DISK:
        raise DataError(
            f"{track}: needs {size / 1e6:,.0f} MB in {folder}, where {free / 1e6:,.0f} MB "
            "are free; make room, or set AVBENCH_HOME to another disk"
        )
