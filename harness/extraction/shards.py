"""Shards: features over time of a few clips, each a safetensors file that is there whole or not at all. No torch.

Tensors: per modality the steps of all clips one after the other, ``visual`` (sum of Tv, Dv) and ``audio``, float32, and
``visual_steps``, ``audio_steps`` (clips,) int64. The metadata hold the key of what the shard was made from, and what
there is to tell of each clip. Dropped clips have no steps.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save

from avbench.harness.atomic import write_bytes
from avbench.harness.contract.encoder import Modality

MODALITIES: tuple[Modality, ...] = ("audio", "visual")


@dataclass(frozen=True)
class ClipNotes:
    """What there is to tell of a clip. A dropped one has no features, and at least one reason."""

    id: str
    dropped: bool = False
    reasons: tuple[str, ...] = ()


@dataclass(frozen=True)
class ClipSteps:
    """Features of one clip: (T, width) float32 each; (0, width) both where it was dropped."""

    notes: ClipNotes
    audio: NDArray[np.float32]
    visual: NDArray[np.float32]


def write_shard(path: Path, key: str, clips: Sequence[ClipSteps]) -> None:
    """The same clips give the same bytes."""
    tensors: dict[str, NDArray[Any]] = {}
    for modality in MODALITIES:
        steps: list[NDArray[np.float32]] = [getattr(clip, modality) for clip in clips]
        tensors[modality] = np.concatenate(steps)
        tensors[f"{modality}_steps"] = np.array([len(s) for s in steps], np.int64)
    notes = json.dumps([asdict(clip.notes) for clip in clips], ensure_ascii=True)
    write_bytes(path, save(tensors, metadata={"notes": notes, "key": key}))


def shard_notes(path: Path, key: str) -> tuple[ClipNotes, ...] | None:
    """What a shard tells of its clips; None where there is none, or one of something else, or a damaged one."""
    try:
        with safe_open(path, framework="numpy") as stored:
            metadata = stored.metadata() or {}
            if metadata.get("key") != key:
                return None
            return tuple(
                ClipNotes(note["id"], note["dropped"], tuple(note["reasons"])) for note in json.loads(metadata["notes"])
            )
    except (OSError, SafetensorError, ValueError, LookupError, TypeError):
        return None


def read_shard(path: Path) -> tuple[ClipSteps, ...]:
    """The clips of a shard that :func:`shard_notes` has found sound."""
    with safe_open(path, framework="numpy") as stored:
        notes = json.loads((stored.metadata() or {})["notes"])
        ends = {m: np.cumsum(stored.get_tensor(f"{m}_steps"))[:-1] for m in MODALITIES}
        audio, visual = (np.split(stored.get_tensor(m), ends[m]) for m in MODALITIES)
    return tuple(
        ClipSteps(ClipNotes(n["id"], n["dropped"], tuple(n["reasons"])), a, v)
        for n, a, v in zip(notes, audio, visual, strict=True)
    )


def shard_steps(path: Path) -> dict[Modality, NDArray[np.int64]]:
    """The number of steps of each clip."""
    with safe_open(path, framework="numpy") as stored:
        return {m: stored.get_tensor(f"{m}_steps") for m in MODALITIES}
