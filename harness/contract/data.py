"""The typed values that flow between harness and method. All tensors are float32 or int64 and live on one device.

This module does not import torch: listings stay fast.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True)
class Classes:
    """Classes in ascending class id. Methods know a class by its row here, its name and its label vector.

    ``names``: original class names, unique, length C. ``prompts``: the texts that were embedded, length C.
    ``vectors``: label vectors, (C, Dt) float32. ``trained``: (C,) bool, whether the fitted model saw clips of it.
    """

    names: tuple[str, ...]
    prompts: tuple[str, ...]
    vectors: Tensor
    trained: Tensor

    def __len__(self) -> int:
        return len(self.names)


@dataclass(frozen=True)
class Clips:
    """Clips to classify: ``audio`` (N, Da), ``visual`` (N, Dv), float32. No labels, no ids, no seen or unseen mark."""

    audio: Tensor
    visual: Tensor

    def __len__(self) -> int:
        return int(self.audio.shape[0])


@dataclass(frozen=True)
class TrainingSet:
    """What a method may learn from.

    ``clips``: N training clips. ``labels``: (N,) int64, rows of ``classes``. ``classes``: the training classes only.
    ``unseen``: names and vectors of the candidate unseen classes, only for methods that declare ``uses_unseen_names``;
    otherwise None. Clips of unseen classes are never here.
    """

    clips: Clips
    labels: Tensor
    classes: Classes
    unseen: Classes | None = None
