"""The typed values that flow between harness and method. All tensors are float32 or int64 and live on one device.

This module does not import torch: listings stay fast.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True)
class Classes:
    """Classes in ascending class id. Methods know a class by its row here, its name and its label vector.

    ``names``: original class names, unique, length C. ``prompts``: the texts that were embedded, length C.
    ``vectors``: label vectors, (C, Dt) float32. ``trained``: (C,) bool, whether the fitted model saw clips of it.
    ``texts``: where a track has several text vectors for each class, all of them by name, (C, Dk) each; else empty.
    """

    names: tuple[str, ...]
    prompts: tuple[str, ...]
    vectors: Tensor
    trained: Tensor
    texts: Mapping[str, Tensor] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.names)


@dataclass(frozen=True)
class Time:
    """The steps of clips over time: how many of them each clip has, and how long one lasts.

    Step t of a modality covers ``t * step`` to ``(t + 1) * step`` seconds of the clip.
    """

    audio_lengths: Tensor
    """(N,) int64, at least 1."""
    visual_lengths: Tensor
    """(N,) int64, at least 1."""
    audio_step: float
    """Seconds."""
    visual_step: float
    """Seconds."""


@dataclass(frozen=True)
class Clips:
    """Clips to classify, float32. No labels, no ids, no seen or unseen mark.

    On an averaged track ``audio`` is (N, Da) and ``visual`` (N, Dv), and ``time`` is None. On a track over time they
    are (N, Ta, Da) and (N, Tv, Dv), and ``time`` says how many steps of each clip count: the rest is zero.
    """

    audio: Tensor
    visual: Tensor
    time: Time | None = field(default=None, kw_only=True)

    def __len__(self) -> int:
        return int(self.audio.shape[0])

    def take(self, rows: Tensor) -> Clips:
        """The clips of some rows, (n,) int64. Those over time keep their padding."""
        time = self.time and Time(
            self.time.audio_lengths[rows], self.time.visual_lengths[rows], self.time.audio_step, self.time.visual_step
        )
        return Clips(self.audio[rows], self.visual[rows], time=time)


@dataclass(frozen=True)
class TrainingSet:
    """What a method may learn from.

    ``clips``: N training clips. ``labels``: (N,) int64, rows of ``classes``. ``classes``: the training classes only.
    ``unseen``: names and vectors of the candidate unseen classes, only for methods that declare ``uses_unseen_names``;
    otherwise None. Clips of unseen classes are never here.

    On a track over time ``clips`` are :class:`avbench.harness.contract.packed.PackedClips`: they may be larger than
    memory, and ``clips.take(rows)`` gives a padded batch of some of them.
    """

    clips: Clips
    labels: Tensor
    classes: Classes
    unseen: Classes | None = None
